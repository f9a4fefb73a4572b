package certcache_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wxproxy/wxproxy/certcache"
	"github.com/wxproxy/wxproxy/internal/secret"
	"github.com/wxproxy/wxproxy/internal/wire"
)

const (
	apiv3Key   = "0123456789abcdefghijABCDEFGHIJ.."
	otherKey   = "another key of 32 bytes, not it!"
	pinnedID   = "PUB_KEY_ID_0119000000012026112300000001"
	hexUnknown = "7777777777777777777777777777777777777777"
)

// epoch is the time in tests; synctest has its own.
var epoch = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

const year = 365 * 24 * time.Hour

// keyPool has the RSA keys of all tests: making one takes long.
var keyPool = sync.OnceValues(func() ([4]*rsa.PrivateKey, error) {
	var pool [4]*rsa.PrivateKey
	for i := range pool {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return pool, err
		}
		pool[i] = key
	}
	return pool, nil
})

func key(t testing.TB, i int) *rsa.PrivateKey {
	t.Helper()
	pool, err := keyPool()
	if err != nil {
		t.Fatal(err)
	}
	return pool[i]
}

// issued is a platform certificate as WeChat Pay holds it.
type issued struct {
	key               *rsa.PrivateKey
	serial            string
	pem               []byte
	effective, expire time.Time // as the API tells them
}

// issue makes the certificate number i, which has the pool's key i, or the key
// that is its turn.
func issue(t testing.TB, i int, from, to time.Time) issued {
	t.Helper()
	k := key(t, i%4)
	template := &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(append([]byte{0x5A, byte(i)}, bytes.Repeat([]byte{0xC3}, 18)...)),
		Subject:      pkix.Name{CommonName: "Tenpay.com sign"},
		NotBefore:    from, NotAfter: to,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return issued{
		key: k, serial: wire.CertificateSerial(cert), effective: from, expire: to,
		pem: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
	}
}

// ecPEM is a certificate with a key that is not RSA and the serial number of c.
func ecPEM(t testing.TB, c issued) []byte {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, _ := new(big.Int).SetString(c.serial, 16)
	template := &x509.Certificate{SerialNumber: serial, NotBefore: c.effective, NotAfter: c.expire}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// seal is one item of the list.
func seal(t testing.TB, apiv3 string, c issued, text []byte) wire.SealedCertificate {
	t.Helper()
	const nonce, aad = "d215b0511e9c", "certificate"
	sealed, err := wire.Seal([]byte(apiv3), nonce, aad, text)
	if err != nil {
		t.Fatal(err)
	}
	return wire.SealedCertificate{
		SerialNo: c.serial, EffectiveTime: c.effective.Format(time.RFC3339), ExpireTime: c.expire.Format(time.RFC3339),
		EncryptCertificate: wire.Resource{Algorithm: wire.AlgorithmAESGCM, Ciphertext: sealed, Nonce: nonce, AssociatedData: aad},
	}
}

// reply is an answer of the certificates endpoint.
type reply struct {
	status int
	header http.Header
	body   []byte
}

func (r reply) response() *http.Response {
	return &http.Response{StatusCode: r.status, Header: r.header.Clone(), Body: io.NopCloser(bytes.NewReader(r.body))}
}

// sign puts the signature headers on, by k under the name serial.
func (r *reply) sign(t testing.TB, k *rsa.PrivateKey, serial string, at time.Time) {
	t.Helper()
	const nonce = "c5ac7061fccab6bf3e254dcf98995b8c"
	timestamp := wire.FormatTimestamp(at.Unix())
	digest := sha256.Sum256([]byte(timestamp + "\n" + nonce + "\n" + string(r.body) + "\n"))
	signature, err := rsa.SignPKCS1v15(nil, k, crypto.SHA256, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	r.header = http.Header{
		"Wechatpay-Timestamp": {timestamp}, "Wechatpay-Nonce": {nonce}, "Wechatpay-Serial": {serial},
		"Wechatpay-Signature": {base64.StdEncoding.EncodeToString(signature)}, "Wechatpay-Signature-Type": {wire.SchemeRSA},
	}
}

// pack makes the body of a list.
func pack(t testing.TB, items ...wire.SealedCertificate) []byte {
	t.Helper()
	body, err := json.Marshal(map[string]any{"data": items})
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// list is a genuine answer with the certificates given, signed by the first.
func list(t testing.TB, at time.Time, certs ...issued) reply {
	t.Helper()
	items := make([]wire.SealedCertificate, len(certs))
	for i, c := range certs {
		items[i] = seal(t, apiv3Key, c, c.pem)
	}
	r := reply{status: http.StatusOK, body: pack(t, items...)}
	r.sign(t, certs[0].key, certs[0].serial, at)
	return r
}

// noCertificates is the answer to a merchant that has the public key only.
func noCertificates() reply {
	return reply{status: http.StatusNotFound, body: []byte(`{"code":"RESOURCE_NOT_EXISTS","message":"无可用的平台证书"}`)}
}

// wechat is the other end of Fetch.
type wechat struct {
	calls, active atomic.Int64

	mu    sync.Mutex
	reply reply
	err   error
	hold  chan struct{} // when set, an answer waits for it to be closed
}

func (w *wechat) set(r reply, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reply, w.err = r, err
}

func (w *wechat) fetch(ctx context.Context) (*http.Response, error) {
	w.calls.Add(1)
	w.active.Add(1)
	defer w.active.Add(-1)
	w.mu.Lock()
	r, err, hold := w.reply, w.err, w.hold
	w.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if err != nil {
		return nil, err
	}
	return r.response(), nil
}

// options are those of a merchant with downloads and no pinned key.
func (w *wechat) options() certcache.Options {
	return certcache.Options{
		Name: "shop", Certificates: true, Fetch: w.fetch,
		APIv3Keys: func() []secret.Value { return []secret.Value{secret.NewValue([]byte(apiv3Key))} },
		Now:       func() time.Time { return epoch },
	}
}

func open(t testing.TB, o certcache.Options) *certcache.Cache {
	t.Helper()
	c, err := certcache.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// pinned returns Options.Pinned for the pool's key i.
func pinned(t testing.TB, i int) func() (string, *rsa.PublicKey) {
	t.Helper()
	k := key(t, i)
	return func() (string, *rsa.PublicKey) { return pinnedID, &k.PublicKey }
}
