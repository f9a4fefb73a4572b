package verifier_test

import (
	"errors"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/wxproxy/wxproxy/internal/wire"
	"github.com/wxproxy/wxproxy/verifier"
)

func header(timestamp, nonce, serial, signature string) http.Header {
	return http.Header{
		"Wechatpay-Timestamp": {timestamp}, "Wechatpay-Nonce": {nonce},
		"Wechatpay-Serial": {serial}, "Wechatpay-Signature": {signature},
	}
}

// TestNotifyVector walks a published notify from headers to plaintext.
func TestNotifyVector(t *testing.T) {
	t.Parallel()
	for _, v := range vectors.OfKind(t, "notify", 1) {
		unix, err := strconv.ParseInt(v.Timestamp, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		stamp, err := verifier.Stamp(header(v.Timestamp, v.Nonce, v.Serial, v.Signature), time.Unix(unix, 0))
		if err != nil {
			t.Fatal(err)
		}
		certificate, key, err := verifier.ParseCertificate(vectors.File(t, v.Cert))
		if err != nil || wire.CertificateSerial(certificate) != v.Serial {
			t.Fatalf("got certificate %s, %v, want %s", wire.CertificateSerial(certificate), err, v.Serial)
		}
		if err := verifier.Check(key, stamp, []byte(v.Body)); err != nil {
			t.Error(err)
		}
		if err := verifier.Check(key, stamp, []byte(v.Body+"\n")); !errors.Is(err, verifier.ErrSignature) {
			t.Errorf("one line feed more: got %v, want ErrSignature", err)
		}
		envelope, err := wire.ParseEnvelope([]byte(v.Body))
		if err != nil || envelope.EventType != "PAYSCORE.USER_OPEN_SERVICE" || envelope.Resource.OriginalType != "payscore" {
			t.Fatalf("got %+v, %v", envelope, err)
		}
		plain, err := envelope.Resource.Open([]byte(v.APIv3Key))
		if err != nil || len(plain) == 0 || plain[0] != '{' || plain[len(plain)-1] != '}' {
			t.Errorf("got %q, %v", plain, err)
		}
	}
}

// TestSM2Vector: a genuine signature of a kind that this build does not check
// is refused, not taken for RSA and not let through.
func TestSM2Vector(t *testing.T) {
	t.Parallel()
	for _, v := range vectors.OfKind(t, "sm2-verify", 1) {
		h := header("1554208460", nonce, v.Serial, v.Signature)
		h.Set("Wechatpay-Signature-Type", "WECHATPAY2-SM2-WITH-SM3")
		if _, err := verifier.Stamp(h, time.Unix(signedAt, 0)); !errors.Is(err, verifier.ErrHeaders) {
			t.Errorf("got %v, want ErrHeaders", err)
		}
		h.Del("Wechatpay-Signature-Type")
		stamp, err := verifier.Stamp(h, time.Unix(signedAt, 0))
		if err != nil {
			t.Fatal(err)
		}
		if err := verifier.Check(&vectors.PrivateKey(t, keyFile).PublicKey, stamp, []byte(v.Message)); !errors.Is(err, verifier.ErrSignature) {
			t.Errorf("without its type: got %v, want ErrSignature", err)
		}
	}
}
