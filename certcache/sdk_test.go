package certcache_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/wechatpay-apiv3/wechatpay-go/core"
	"github.com/wechatpay-apiv3/wechatpay-go/core/auth/validators"
	"github.com/wechatpay-apiv3/wechatpay-go/core/auth/verifiers"
	"github.com/wechatpay-apiv3/wechatpay-go/utils"

	"github.com/wxproxy/wxproxy/certcache"
	"github.com/wxproxy/wxproxy/verifier"
)

var _ core.CertificateGetter = certcache.SDK{}

// TestOfficialSDK: the SDK agrees with our reading of a list, and can use the
// cache in place of its own certificate manager.
func TestOfficialSDK(t *testing.T) {
	t.Parallel()
	now := time.Now() // the SDK has no other clock
	cert := issue(t, 0, now.Add(-year), now.Add(year))
	answer := list(t, now, cert)
	w := &wechat{reply: answer}
	o := w.options()
	o.Now = time.Now
	c := open(t, o)
	sdk := c.ForSDK(certcache.Outbound)
	if _, err := sdk.GetSerial(t.Context()); !errors.Is(err, certcache.ErrNoKey) {
		t.Errorf("before the download: got %v", err)
	}
	if err := c.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}

	var body struct {
		Data []struct {
			EncryptCertificate struct {
				Nonce          string `json:"nonce"`
				AssociatedData string `json:"associated_data"`
				Ciphertext     string `json:"ciphertext"`
			} `json:"encrypt_certificate"`
		} `json:"data"`
	}
	if err := json.Unmarshal(answer.body, &body); err != nil {
		t.Fatal(err)
	}
	sealed := body.Data[0].EncryptCertificate
	text, err := utils.DecryptAES256GCM(apiv3Key, sealed.AssociatedData, sealed.Nonce, sealed.Ciphertext)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := utils.LoadCertificate(text)
	if err != nil || utils.GetCertificateSerialNumber(*theirs) != cert.serial {
		t.Errorf("the SDK reads serial number %s, %v", utils.GetCertificateSerialNumber(*theirs), err)
	}

	for name, v := range map[string]interface {
		Validate(r *http.Response) error
	}{
		"auth.Verifier":          validator{validators.NewWechatPayResponseValidator(sdk), t},
		"core.CertificateGetter": validator{validators.NewWechatPayResponseValidator(verifiers.NewSHA256WithRSAVerifier(sdk)), t},
	} {
		if err := v.Validate(answer.response()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		bad := answer
		bad.body = bytes.Clone(answer.body)
		bad.body[20] ^= 1
		if err := v.Validate(bad.response()); err == nil {
			t.Errorf("%s takes a changed body", name)
		}
	}
	if serial, err := sdk.GetSerial(t.Context()); err != nil || serial != cert.serial || sdk.GetNewestSerial(t.Context()) != cert.serial {
		t.Errorf("got %q, %v", serial, err)
	}
	if all := sdk.GetAll(t.Context()); len(all) != 1 || !all[cert.serial].Equal(theirs) {
		t.Errorf("got %v", all)
	}
	if _, ok := sdk.Get(t.Context(), hexUnknown); ok {
		t.Error("an unknown certificate is found")
	}
	if err := sdk.Verify(t.Context(), cert.serial, "message", "WECHATPAY/SIGNTEST/abc"); !errors.Is(err, verifier.ErrSignature) {
		t.Errorf("a probe: got %v", err)
	}
}

// validator gives the SDK's validator the test's context.
type validator struct {
	*validators.WechatPayResponseValidator
	t *testing.T
}

func (v validator) Validate(r *http.Response) error {
	r.Header.Set("Request-Id", strings.Repeat("0", 40))
	return v.WechatPayResponseValidator.Validate(v.t.Context(), r)
}
