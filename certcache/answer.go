package certcache

import (
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"time"

	"github.com/wxproxy/wxproxy/internal/wire"
	"github.com/wxproxy/wxproxy/verifier"
)

// maxAnswer bounds the body of an answer; a genuine one has about 5 KB.
const maxAnswer = 1 << 20

// codePattern is what WeChat Pay's error codes look like. Anything else from
// outside is not repeated in errors.
var codePattern = regexp.MustCompile(`^[A-Z0-9_]{1,64}$`)

// answer is what came from WeChat Pay, not believed yet.
type answer struct {
	header http.Header
	body   []byte
}

// download gets a list, believes it or not, and swaps it in whole.
func (c *Cache) download(ctx context.Context) error {
	response, err := c.options.Fetch(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFetch, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err != nil {
		return fmt.Errorf("%w: reading the answer: %w", ErrFetch, err)
	}
	if response.StatusCode != http.StatusOK {
		return refusal(response.StatusCode, body)
	}
	if len(body) > maxAnswer {
		return fmt.Errorf("%w: longer than %d bytes", ErrAnswer, maxAnswer)
	}
	a := answer{header: response.Header, body: body}
	stamp, err := verifier.Stamp(a.header, c.now())
	if err != nil {
		return fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	listed, err := c.open(a.body)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	keys := candidates{cache: c, listed: listed, counts: func(e entry) bool { return e.verifies(c.now()) }}
	if err := verifier.Verify(ctx, keys, stamp, a.body); err != nil {
		return fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	c.swap(listed)
	c.keep(a)
	return nil
}

// refusal explains an error status. Such answers come unsigned, so their code
// is only a hint: the worst a forged one does is to delay the next download.
func refusal(status int, body []byte) error {
	var reason struct {
		Code string `json:"code"`
	}
	if json.Unmarshal(body, &reason) != nil || !codePattern.MatchString(reason.Code) {
		return fmt.Errorf("%w: WeChat Pay answered with status %d", ErrFetch, status)
	}
	if status == http.StatusNotFound && reason.Code == "RESOURCE_NOT_EXISTS" {
		return ErrNoCertificates
	}
	err := fmt.Errorf("%w: WeChat Pay answered with status %d %s", ErrFetch, status, reason.Code)
	if status == http.StatusUnauthorized {
		return fmt.Errorf("%w; check mchid, serial_no, private_key and the clock", err)
	}
	return err
}

// open decrypts and parses every certificate of a list. One that does not fit
// refuses the whole: a list is WeChat Pay's as it stands or not at all.
func (c *Cache) open(body []byte) ([]entry, error) {
	sealed, err := wire.ParseCertificates(body)
	if err != nil {
		return nil, err
	}
	if len(sealed) > maxCertificates {
		return nil, fmt.Errorf("%d certificates, more than %d", len(sealed), maxCertificates)
	}
	listed := make([]entry, 0, len(sealed))
	for i, s := range sealed {
		e, err := c.openOne(s)
		if err != nil {
			return nil, fmt.Errorf("certificate %d of %d: %w", i+1, len(sealed), err)
		}
		listed = append(listed, e)
	}
	return listed, nil
}

func (c *Cache) openOne(s wire.SealedCertificate) (entry, error) {
	if err := wire.CheckSerial(s.SerialNo); err != nil {
		return entry{}, fmt.Errorf("serial_no: %w", err)
	}
	effective, err1 := time.Parse(time.RFC3339, s.EffectiveTime)
	expire, err2 := time.Parse(time.RFC3339, s.ExpireTime)
	if err1 != nil || err2 != nil {
		return entry{}, errors.New("effective_time or expire_time is not a time")
	}
	text, err := c.decrypt(s.EncryptCertificate)
	if err != nil {
		return entry{}, err
	}
	cert, key, err := verifier.ParseCertificate(text)
	if err != nil {
		return entry{}, err
	}
	if wire.CanonicalSerial(s.SerialNo) != wire.CanonicalSerial(wire.CertificateSerial(cert)) {
		return entry{}, errors.New("serial_no is not that of the certificate")
	}
	if cert.NotAfter.Before(expire) {
		expire = cert.NotAfter
	}
	return entry{
		serial: s.SerialNo, der: cert.Raw, notAfter: cert.NotAfter,
		key: key, effective: effective, expire: expire,
	}, nil
}

// decrypt tries the current APIv3 key, then the previous: WeChat Pay does not
// change over at the moment we do.
func (c *Cache) decrypt(r wire.Resource) ([]byte, error) {
	err := errors.New("no APIv3 key is loaded")
	for _, key := range c.options.APIv3Keys() {
		var text []byte
		if text, err = r.Open(key.Bytes()); err == nil {
			return text, nil
		}
	}
	if errors.Is(err, wire.ErrDecrypt) {
		return nil, fmt.Errorf("%w: check that apiv3_key is the APIv3 key of merchant %s as last set in the merchant console, not its APIv2 key", err, c.options.Name)
	}
	return nil, err
}

// candidates are the keys that may have signed a list: a pinned or trusted
// one, or one in the list itself, since WeChat Pay may sign with the new
// certificate from the first answer on that shows it. That those are sealed
// with the APIv3 key is what makes them count.
type candidates struct {
	cache  *Cache
	listed []entry
	counts func(entry) bool
}

// Lookup implements verifier.Keys and never waits.
func (k candidates) Lookup(_ context.Context, serial string) (*rsa.PublicKey, error) {
	if key, ok := k.cache.Find(serial); ok {
		return key, nil
	}
	for _, e := range k.listed {
		if wire.CanonicalSerial(e.serial) == wire.CanonicalSerial(serial) && k.counts(e) {
			return e.key, nil
		}
	}
	return nil, fmt.Errorf("%w: the list is signed by a key that is neither trusted nor valid in it", verifier.ErrSerialUnknown)
}

// swap makes the listed certificates trusted beside those of before.
func (c *Cache) swap(listed []entry) {
	c.mu.Lock() // Load may run beside a download
	now := c.now()
	before := c.trusted.Load()
	after := before.merge(listed, now)
	c.trusted.Store(after)
	c.mu.Unlock()
	if c.options.Changed != nil {
		c.options.Changed()
	}
	for id, e := range after.entries {
		if _, known := before.entries[id]; !known {
			c.log.Info("platform certificate trusted", "serial", e.serial,
				"effective", e.effective, "expire", e.expire, "not_after", e.notAfter)
		}
	}
}
