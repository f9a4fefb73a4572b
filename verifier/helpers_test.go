package verifier_test

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wxproxy/wxproxy/internal/wire/wiretest"
	"github.com/wxproxy/wxproxy/verifier"
)

const (
	vectors = wiretest.Dir("../internal/wire/testdata/vectors")

	keyFile   = "docs_test_key.pem" // signs as WeChat Pay in these tests
	otherFile = "go_sdk_key.pem"    // somebody else
	serial    = "PUB_KEY_ID_0119000000012024101500123456"
	nonce     = "593BEC0C930BF1AFEB40B4A08C8FB242"
	body      = `{"code_url":"weixin://wxpay/bizpayurl?pr=1"}`
	signedAt  = 1554208460
)

// keys is a verifier.Keys that counts.
type keys struct {
	known   map[string]*rsa.PublicKey
	err     error // for all others
	lookups atomic.Int32
}

func (k *keys) Lookup(_ context.Context, serial string) (*rsa.PublicKey, error) {
	k.lookups.Add(1)
	if key := k.known[serial]; key != nil {
		return key, nil
	}
	return nil, k.err
}

func newKeys(t testing.TB) *keys {
	t.Helper()
	return &keys{
		known: map[string]*rsa.PublicKey{
			serial:       &vectors.PrivateKey(t, keyFile).PublicKey,
			"5157F09EFD": &vectors.PrivateKey(t, otherFile).PublicKey,
		},
		err: verifier.ErrSerialUnknown,
	}
}

// sign makes a signature by the standard library over a message written out
// here, so that no code of ours vouches for itself.
func sign(t testing.TB, key *rsa.PrivateKey, timestamp, nonce, body string) string {
	t.Helper()
	digest := sha256.Sum256([]byte(timestamp + "\n" + nonce + "\n" + body + "\n"))
	signature, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(signature)
}

// message is an answer or a notify as it arrives.
type message struct {
	header http.Header
	body   string
}

func newMessage(t testing.TB, at int64, body string) *message {
	t.Helper()
	timestamp := strconv.FormatInt(at, 10)
	h := http.Header{}
	h.Set("Wechatpay-Timestamp", timestamp)
	h.Set("Wechatpay-Nonce", nonce)
	h.Set("Wechatpay-Serial", serial)
	h.Set("Wechatpay-Signature", sign(t, vectors.PrivateKey(t, keyFile), timestamp, nonce, body))
	h.Set("Wechatpay-Signature-Type", "WECHATPAY2-SHA256-RSA2048")
	return &message{h, body}
}

// verify is what a face of the proxy does with a message.
func verify(ctx context.Context, k verifier.Keys, m *message, now time.Time) error {
	stamp, err := verifier.Stamp(m.header, now)
	if err != nil {
		return err
	}
	return verifier.Verify(ctx, k, stamp, []byte(m.body))
}

func (m *message) response() *http.Response {
	return &http.Response{StatusCode: http.StatusOK, Header: m.header, Body: io.NopCloser(strings.NewReader(m.body))}
}

func (m *message) request(t testing.TB) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1/notify", strings.NewReader(m.body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = m.header
	return r
}
