package certcache_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/wxproxy/wxproxy/certcache"
	"github.com/wxproxy/wxproxy/internal/secret"
	"github.com/wxproxy/wxproxy/internal/wire"
	"github.com/wxproxy/wxproxy/verifier"
)

// attempt is a download that is good but for the one thing a test flips.
type attempt struct {
	options  certcache.Options
	cert     issued
	item     wire.SealedCertificate
	signedBy int // key of the pool
	serial   string
	at       time.Time
	reply    reply
	err      error
}

// refresh plays the attempt: sealed changes what is signed, sent what was.
func (a *attempt) refresh(t *testing.T, sealed, sent func(*attempt)) (*certcache.Cache, error) {
	t.Helper()
	w := &wechat{}
	a.options = w.options()
	a.cert = issue(t, 0, epoch.Add(-year), epoch.Add(year))
	a.item = seal(t, apiv3Key, a.cert, a.cert.pem)
	a.serial, a.at = a.cert.serial, epoch
	if sealed != nil {
		sealed(a)
	}
	a.reply.status = http.StatusOK
	if a.reply.body == nil {
		a.reply.body = pack(t, a.item)
	}
	a.reply.sign(t, key(t, a.signedBy), a.serial, a.at)
	if sent != nil {
		sent(a)
	}
	w.set(a.reply, a.err)
	c := open(t, a.options)
	return c, c.Refresh(t.Context())
}

func flip(s string, i int) string {
	b := []byte(s)
	if b[i] == 'A' {
		b[i] = 'B'
	} else {
		b[i] = 'A'
	}
	return string(b)
}

func TestDownloadAccepted(t *testing.T) {
	t.Parallel()
	for name, sealed := range map[string]func(*attempt){
		"as it is":           nil,
		"signed 299 s ago":   func(a *attempt) { a.at = epoch.Add(-299 * time.Second) },
		"signed 299 s ahead": func(a *attempt) { a.at = epoch.Add(299 * time.Second) },
		"serial_no in lower case, zeros ahead": func(a *attempt) {
			a.item.SerialNo = "00" + strings.ToLower(a.item.SerialNo)
		},
		"signed by the pinned key": func(a *attempt) {
			a.options.Pinned, a.signedBy, a.serial = pinned(t, 1), 1, pinnedID
		},
		"sealed with the previous APIv3 key": func(a *attempt) {
			a.options.APIv3Keys = func() []secret.Value {
				return []secret.Value{secret.NewValue([]byte(otherKey)), secret.NewValue([]byte(apiv3Key))}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := &attempt{}
			c, err := a.refresh(t, sealed, nil)
			if err != nil {
				t.Fatal(err)
			}
			if k, ok := c.Find(a.cert.serial); !ok || !k.Equal(a.cert.key.Public()) {
				t.Error("the certificate is not trusted")
			}
			if err := c.Ready(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestDownloadRefused(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		sealed func(*attempt) // before the answer is signed
		sent   func(*attempt) // after
		want   error
		also   error
		says   string
	}{
		{name: "one byte of ciphertext", want: certcache.ErrAnswer, also: wire.ErrDecrypt, says: "APIv3 key",
			sealed: func(a *attempt) {
				a.item.EncryptCertificate.Ciphertext = flip(a.item.EncryptCertificate.Ciphertext, 100)
			}},
		{name: "one byte of nonce", want: certcache.ErrAnswer, also: wire.ErrDecrypt,
			sealed: func(a *attempt) { a.item.EncryptCertificate.Nonce = flip(a.item.EncryptCertificate.Nonce, 0) }},
		{name: "one byte of associated data", want: certcache.ErrAnswer, also: wire.ErrDecrypt,
			sealed: func(a *attempt) {
				a.item.EncryptCertificate.AssociatedData = flip(a.item.EncryptCertificate.AssociatedData, 0)
			}},
		{name: "nonce too short", want: certcache.ErrAnswer, also: wire.ErrResource,
			sealed: func(a *attempt) { a.item.EncryptCertificate.Nonce = "short" }},
		{name: "another algorithm", want: certcache.ErrAnswer, also: wire.ErrResource,
			sealed: func(a *attempt) { a.item.EncryptCertificate.Algorithm = "AEAD_SM4_GCM" }},
		{name: "wrong APIv3 key", want: certcache.ErrAnswer, also: wire.ErrDecrypt, says: "not its APIv2 key",
			sealed: func(a *attempt) { a.item = seal(t, otherKey, a.cert, a.cert.pem) }},
		{name: "no APIv3 key", want: certcache.ErrAnswer, says: "no APIv3 key",
			sealed: func(a *attempt) { a.options.APIv3Keys = func() []secret.Value { return nil } }},
		{name: "serial_no of another certificate", want: certcache.ErrAnswer, says: "serial_no",
			sealed: func(a *attempt) { a.item.SerialNo = flip(a.item.SerialNo, 5) }},
		{name: "serial_no malformed", want: certcache.ErrAnswer, also: wire.ErrSerial,
			sealed: func(a *attempt) { a.item.SerialNo = "5A:00" }},
		{name: "effective_time no time", want: certcache.ErrAnswer, says: "effective_time",
			sealed: func(a *attempt) { a.item.EffectiveTime = "2026-11-23" }},
		{name: "expire_time missing", want: certcache.ErrAnswer, says: "expire_time",
			sealed: func(a *attempt) { a.item.ExpireTime = "" }},
		{name: "EC certificate", want: certcache.ErrAnswer, also: verifier.ErrCertificate, says: "not RSA",
			sealed: func(a *attempt) { a.item = seal(t, apiv3Key, a.cert, ecPEM(t, a.cert)) }},
		{name: "no certificate inside", want: certcache.ErrAnswer, also: verifier.ErrCertificate,
			sealed: func(a *attempt) { a.item = seal(t, apiv3Key, a.cert, []byte("not PEM")) }},
		{name: "one good, one bad", want: certcache.ErrAnswer, also: wire.ErrDecrypt,
			sealed: func(a *attempt) { a.reply.body = pack(t, a.item, seal(t, otherKey, a.cert, a.cert.pem)) }},
		{name: "too many", want: certcache.ErrAnswer, says: "more than 16",
			sealed: func(a *attempt) {
				items := make([]wire.SealedCertificate, 17)
				for i := range items {
					items[i] = a.item
				}
				a.reply.body = pack(t, items...)
			}},
		{name: "truncated JSON", want: certcache.ErrAnswer, also: wire.ErrEnvelope,
			sealed: func(a *attempt) { b := pack(t, a.item); a.reply.body = b[:len(b)-1] }},
		{name: "empty list", want: certcache.ErrAnswer, also: wire.ErrEnvelope,
			sealed: func(a *attempt) { a.reply.body = []byte(`{"data":[]}`) }},
		{name: "more than 1 MiB", want: certcache.ErrAnswer, says: "longer than",
			sealed: func(a *attempt) { a.reply.body = append(pack(t, a.item), make([]byte, 1<<20)...) }},
		{name: "expired certificate signs", want: certcache.ErrAnswer, also: verifier.ErrSerialUnknown,
			sealed: func(a *attempt) {
				a.cert = issue(t, 0, epoch.Add(-2*year), epoch.Add(-time.Second))
				a.item = seal(t, apiv3Key, a.cert, a.cert.pem)
			}},
		{name: "signed by a key of no one", want: certcache.ErrAnswer, also: verifier.ErrSerialUnknown,
			sealed: func(a *attempt) { a.signedBy, a.serial = 1, hexUnknown }},
		{name: "signed by another key", want: certcache.ErrAnswer, also: verifier.ErrSignature,
			sealed: func(a *attempt) { a.signedBy = 1 }},
		{name: "signed by a public key not pinned", want: certcache.ErrAnswer, also: verifier.ErrSerialUnknown,
			sealed: func(a *attempt) { a.signedBy, a.serial = 1, pinnedID }},
		{name: "301 s old", want: certcache.ErrAnswer, also: verifier.ErrStale,
			sealed: func(a *attempt) { a.at = epoch.Add(-301 * time.Second) }},
		{name: "301 s ahead", want: certcache.ErrAnswer, also: verifier.ErrStale,
			sealed: func(a *attempt) { a.at = epoch.Add(301 * time.Second) }},

		{name: "one byte of signature", want: certcache.ErrAnswer, also: verifier.ErrSignature,
			sent: func(a *attempt) { h := a.reply.header["Wechatpay-Signature"]; h[0] = flip(h[0], 7) }},
		{name: "signature probe", want: certcache.ErrAnswer, also: verifier.ErrProbe,
			sent: func(a *attempt) {
				h := a.reply.header["Wechatpay-Signature"]
				h[0] = wire.ProbePrefix + h[0]
			}},
		{name: "timestamp one second later", want: certcache.ErrAnswer, also: verifier.ErrSignature,
			sent: func(a *attempt) {
				a.reply.header.Set("Wechatpay-Timestamp", wire.FormatTimestamp(epoch.Unix()+1))
			}},
		{name: "one byte of the signed nonce", want: certcache.ErrAnswer, also: verifier.ErrSignature,
			sent: func(a *attempt) { h := a.reply.header["Wechatpay-Nonce"]; h[0] = flip(h[0], 0) }},
		{name: "a space in the body", want: certcache.ErrAnswer, also: verifier.ErrSignature,
			sent: func(a *attempt) { a.reply.body = append(a.reply.body, ' ') }},
		{name: "not signed", want: certcache.ErrAnswer, also: verifier.ErrUnsigned,
			sent: func(a *attempt) { a.reply.header = http.Header{} }},
		{name: "header doubled", want: certcache.ErrAnswer, also: verifier.ErrHeaders,
			sent: func(a *attempt) { a.reply.header.Add("Wechatpay-Serial", a.serial) }},
		{name: "status 201", want: certcache.ErrFetch, says: "status 201", sent: func(a *attempt) { a.reply.status = 201 }},
		{name: "status 302", want: certcache.ErrFetch, says: "status 302", sent: func(a *attempt) { a.reply.status = 302 }},
		{name: "status 500", want: certcache.ErrFetch, says: "status 500 SYSTEM_ERROR",
			sent: func(a *attempt) { a.reply.status, a.reply.body = 500, []byte(`{"code":"SYSTEM_ERROR"}`) }},
		{name: "status 401", want: certcache.ErrFetch, says: "serial_no, private_key",
			sent: func(a *attempt) { a.reply.status, a.reply.body = 401, []byte(`{"code":"SIGN_ERROR"}`) }},
		{name: "status 404 of a gateway", want: certcache.ErrFetch, says: "status 404",
			sent: func(a *attempt) { a.reply.status, a.reply.body = 404, []byte("<html>") }},
		{name: "none for this merchant", want: certcache.ErrNoCertificates, sent: func(a *attempt) { a.reply = noCertificates() }},
		{name: "unreachable", want: certcache.ErrFetch, also: context.DeadlineExceeded,
			sent: func(a *attempt) { a.err = context.DeadlineExceeded }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := &attempt{}
			c, err := a.refresh(t, tt.sealed, tt.sent)
			if !errors.Is(err, tt.want) || (tt.also != nil && !errors.Is(err, tt.also)) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v; want %v, %v, saying %q", err, tt.want, tt.also, tt.says)
			}
			if c.Has(a.cert.serial) {
				t.Error("the certificate is trusted")
			}
			if err := c.Ready(); !errors.Is(err, certcache.ErrNoKey) {
				t.Errorf("got ready: %v", err)
			}
			if text := err.Error(); strings.Contains(text, apiv3Key) || strings.Contains(text, "<html>") {
				t.Errorf("the error repeats too much: %v", err)
			}
		})
	}
}
