package verifier_test

import (
	"errors"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/wechatpay-apiv3/wechatpay-go/core/auth/validators"
	"github.com/wechatpay-apiv3/wechatpay-go/utils"

	"github.com/wxproxy/wxproxy/internal/wire"
	"github.com/wxproxy/wxproxy/verifier"
)

// FuzzParsePublicKey: every refusal has its kind; what we accept the official
// SDK loads as the same key. The SDK takes keys of any size, too.
func FuzzParsePublicKey(f *testing.F) {
	p := newPKI(f)
	f.Add(block("PUBLIC KEY", p.public))
	f.Add(block("PUBLIC KEY", p.curvePublic))
	f.Add(block("PUBLIC KEY", p.smallPublic))
	f.Add(block("CERTIFICATE", p.certificate))
	f.Add([]byte("-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		key, err := verifier.ParsePublicKey(text)
		if err != nil {
			if key != nil || !errors.Is(err, verifier.ErrPublicKey) || len(err.Error()) > 200 {
				t.Fatalf("error of another kind: %v", err)
			}
			return
		}
		if theirs, err := utils.LoadPublicKey(string(text)); err != nil || !key.Equal(theirs) || key.N.BitLen() < 2048 {
			t.Fatalf("the SDK: %v", err)
		}
	})
}

// FuzzParseCertificate is the same for certificates.
func FuzzParseCertificate(f *testing.F) {
	p := newPKI(f)
	f.Add(block("CERTIFICATE", p.certificate))
	f.Add(block("CERTIFICATE", p.curveCertificate))
	f.Add(block("CERTIFICATE", p.smallCertificate))
	f.Add(block("CERTIFICATE", p.public))
	f.Add(vectors.File(f, "go_notify_cert.pem"))
	f.Fuzz(func(t *testing.T, text []byte) {
		certificate, key, err := verifier.ParseCertificate(text)
		if err != nil {
			if certificate != nil || key != nil || !errors.Is(err, verifier.ErrCertificate) || len(err.Error()) > 200 {
				t.Fatalf("error of another kind: %v", err)
			}
			return
		}
		theirs, err := utils.LoadCertificate(string(text))
		if err != nil || !certificate.Equal(theirs) || key.N.BitLen() < 2048 {
			t.Fatalf("the SDK: %v", err)
		}
		if ours, their := wire.CertificateSerial(certificate), utils.GetCertificateSerialNumber(*theirs); ours != their {
			t.Fatalf("serial %s, the SDK %s", ours, their)
		}
	})
}

// FuzzVerifyAgainstSDK signs a message, changes it as the fuzzer likes, and
// asks the official SDK's validator of answers: what we accept it must accept.
// The reverse does not hold, on purpose: the SDK takes the first of doubled
// headers, trims white space, and lets line feeds and stray bits in the base64
// and any signature type pass.
func FuzzVerifyAgainstSDK(f *testing.F) {
	f.Add(int64(0), "", "593BEC0C930BF1AFEB40B4A08C8FB242", serial, "", []byte(body), 0, byte(0), byte(0))
	f.Add(int64(290), "0", "n", "5157F09EFD", "", []byte{}, 1, byte(1), byte(0))
	f.Add(int64(-290), "", "n", serial, "WECHATPAY/SIGNTEST/", []byte("\n"), 341, byte(1), byte(0))
	f.Add(int64(0), "+", "a\nb", serial, " ", []byte("{}"), 76, byte(0), byte(5))
	f.Add(int64(301), "", " n ", " "+serial, "", []byte("{}"), 5, byte(32), byte(31))
	k := newKeys(f)
	key := vectors.PrivateKey(f, keyFile)
	f.Fuzz(func(t *testing.T, skew int64, zeros, nonce, serial, prefix string, body []byte, at int, flip, doubled byte) {
		if skew > -310 && skew < -290 || skew > 290 && skew < 310 {
			t.Skip("the SDK has no clock to be set; the edge is in TestWindow")
		}
		now := time.Now()
		timestamp := zeros + strconv.FormatInt(now.Unix()+skew, 10)
		signature := []byte(sign(t, key, timestamp, nonce, string(body)))
		signature[uint(at)%uint(len(signature))] ^= flip
		m := &message{http.Header{}, string(body)}
		for i, field := range [][2]string{
			{"Wechatpay-Timestamp", timestamp}, {"Wechatpay-Nonce", nonce}, {"Wechatpay-Serial", serial},
			{"Wechatpay-Signature", prefix + string(signature)}, {"Wechatpay-Signature-Type", "WECHATPAY2-SHA256-RSA2048"},
		} {
			m.header.Add(field[0], field[1])
			if doubled&(1<<i) != 0 {
				m.header.Add(field[0], field[1])
			}
		}
		if err := verify(t.Context(), k, m, now); err != nil {
			return
		}
		if doubled&31 != 0 || flip != 0 || prefix != "" {
			t.Fatalf("accepted a changed message %+v", m)
		}
		if err := validators.NewWechatPayResponseValidator(sdkVerifier{k}).Validate(t.Context(), m.response()); err != nil {
			t.Fatalf("accepted what the SDK refuses: %v", err)
		}
	})
}
