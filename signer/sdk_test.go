package signer_test

import (
	"crypto/rsa"
	"fmt"
	"testing"

	"github.com/wechatpay-apiv3/wechatpay-go/core/auth/credentials"
	"github.com/wechatpay-apiv3/wechatpay-go/core/auth/signers"
	"github.com/wechatpay-apiv3/wechatpay-go/core/auth/verifiers"
	"github.com/wechatpay-apiv3/wechatpay-go/core/consts"

	"github.com/wxproxy/wxproxy/internal/wire"
)

// requests for which both sides must agree.
var requests = []struct{ method, target, body string }{
	{"GET", "/v3/certificates", ""},
	{"GET", "/v3/pay/transactions/out-trade-no/a%7Cb?mchid=1900007291", ""},
	{"POST", "/v3/pay/transactions/jsapi", `{"description":"Image形象店"}`},
	{"DELETE", "/v3/a", "{}\n"},
	{"POST", "/v3/a?", ""},
}

// TestSDKVerifiesOurs: our header holds before the official SDK's verifier,
// over the message in the SDK's own format.
func TestSDKVerifiesOurs(t *testing.T) {
	t.Parallel()
	s := newSigner(t)
	sdk := verifiers.NewSHA256WithRSAPubkeyVerifier(serial, *s.Public().(*rsa.PublicKey))
	for _, r := range requests {
		header, err := s.Authorization(r.method, r.target, []byte(r.body))
		if err != nil {
			t.Fatal(err)
		}
		a := parse(t, header)
		message := fmt.Sprintf(consts.SignatureMessageFormat, r.method, r.target, at1554208460().Unix(), a.Nonce, r.body)
		if err := sdk.Verify(t.Context(), a.Serial, message, a.Signature); err != nil {
			t.Errorf("%s %s: %v", r.method, r.target, err)
		}
		if err := sdk.Verify(t.Context(), a.Serial, message+" ", a.Signature); err == nil {
			t.Error("the oracle accepts anything")
		}
		if got, want := header, fmt.Sprintf(sdkOrder(consts.HeaderAuthorizationFormat),
			a.Scheme, a.ID, a.Nonce, a.Signature, at1554208460().Unix(), a.Serial); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// sdkOrder is the SDK's format with its fields in the order that we write.
func sdkOrder(format string) string {
	const want = `%s mchid="%s",nonce_str="%s",timestamp="%d",serial_no="%s",signature="%s"`
	if format != want {
		return "the SDK's format changed: " + format
	}
	return `%s mchid="%s",nonce_str="%s",signature="%s",timestamp="%d",serial_no="%s"`
}

// TestSDKCredentials: the SDK's header reads as ours, and the same message has
// the same signature, whether its own signer or ours is plugged in.
func TestSDKCredentials(t *testing.T) {
	t.Parallel()
	s := newSigner(t)
	for name, credential := range map[string]credentials.WechatPayCredentials{
		"its own signer": {Signer: &signers.SHA256WithRSASigner{
			MchID: mchID, CertificateSerialNo: serial, PrivateKey: vectors.PrivateKey(t, keyFile),
		}},
		"our signer": {Signer: s},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, r := range requests {
				header, err := credential.GenerateAuthorizationHeader(t.Context(), r.method, r.target, r.body)
				if err != nil {
					t.Fatal(err)
				}
				a := parse(t, header)
				if a.Scheme != wire.SchemeRSA || a.ID != mchID || a.Serial != serial {
					t.Errorf("got %+v", a)
				}
				message := wire.RequestMessage(r.method, r.target, a.Timestamp, a.Nonce, []byte(r.body))
				ours, err := s.Sign(t.Context(), string(message))
				if err != nil || ours.Signature != a.Signature {
					t.Errorf("%s %s: got %s, %v, want %s", r.method, r.target, ours.Signature, err, a.Signature)
				}
			}
		})
	}
}
