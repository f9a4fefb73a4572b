//go:build e2e

package e2e

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/wechatpay-apiv3/wechatpay-go/core"
	"github.com/wechatpay-apiv3/wechatpay-go/core/auth"
	"github.com/wechatpay-apiv3/wechatpay-go/core/auth/verifiers"
	"github.com/wechatpay-apiv3/wechatpay-go/core/option"
	"github.com/wechatpay-apiv3/wechatpay-go/services/payments/native"
	"github.com/wechatpay-apiv3/wechatpay-go/services/refunddomestic"
	"github.com/wechatpay-apiv3/wechatpay-go/utils"
)

// otherHost is how users put the SDK, whose host is fixed, in front of wxproxy.
type otherHost struct{ base *url.URL }

func (o otherHost) RoundTrip(r *http.Request) (*http.Response, error) {
	clone := r.Clone(r.Context())
	clone.URL.Scheme, clone.URL.Host, clone.Host = o.base.Scheme, o.base.Host, o.base.Host
	return http.DefaultTransport.RoundTrip(clone)
}

// goSDK takes a step with the official SDK.
func goSDK(t *testing.T, step string, s settings) (answer []byte, err error) {
	t.Helper()
	c, err := newGoSDK(t, s)
	if err != nil {
		return nil, err
	}
	var got any
	switch step {
	case "prepay":
		got, err = sdkPrepay(t.Context(), c, s)
	case "query":
		got, _, err = (&native.NativeApiService{Client: c}).QueryOrderByOutTradeNo(t.Context(),
			native.QueryOrderByOutTradeNoRequest{OutTradeNo: core.String(s.Order), Mchid: core.String(s.MchID)})
	case "refund":
		got, _, err = (&refunddomestic.RefundsApiService{Client: c}).Create(t.Context(), refunddomestic.CreateRequest{
			OutTradeNo: core.String(s.Order), OutRefundNo: core.String("R-" + s.Order), Reason: core.String("退货"),
			Amount: &refunddomestic.AmountReq{Refund: core.Int64(40), Total: core.Int64(100), Currency: core.String("CNY")},
		})
	}
	if err != nil {
		return nil, err
	}
	return json.Marshal(got)
}

func sdkPrepay(ctx context.Context, c *core.Client, s settings) (any, error) {
	answer, _, err := (&native.NativeApiService{Client: c}).Prepay(ctx, native.PrepayRequest{
		Appid: core.String("wxd678efh567hg6787"), Mchid: core.String(s.MchID), Description: core.String("一本书"),
		OutTradeNo: core.String(s.Order), NotifyUrl: core.String(s.NotifyURL),
		Amount: &native.Amount{Total: core.Int64(100), Currency: core.String("CNY")},
	})
	return answer, err
}

func newGoSDK(t *testing.T, s settings) (*core.Client, error) {
	t.Helper()
	return newGoSDKThrough(t, s, otherHost{mustURL(t, s.Base)})
}

func mustURL(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// withToken tells wxproxy who calls.
type withToken struct{ next http.RoundTripper }

func (w withToken) RoundTrip(r *http.Request) (*http.Response, error) {
	clone := r.Clone(r.Context())
	clone.Header.Set("Wxproxy-Token", callerToken)
	return w.next.RoundTrip(clone)
}

func newGoSDKThrough(t *testing.T, s settings, transport http.RoundTripper) (*core.Client, error) {
	t.Helper()
	var verifier auth.Verifier
	if strings.HasPrefix(s.PlatformID, "PUB_KEY_ID_") {
		key, err := utils.LoadPublicKey(s.PlatformKey)
		if err != nil {
			return nil, err
		}
		verifier = verifiers.NewSHA256WithRSAPubkeyVerifier(s.PlatformID, *key)
	} else {
		cert, err := utils.LoadCertificate(s.PlatformKey)
		if err != nil {
			return nil, err
		}
		verifier = verifiers.NewSHA256WithRSAVerifier(core.NewCertificateMapWithList([]*x509.Certificate{cert}))
	}
	return core.NewClient(t.Context(), option.WithMerchantCredential(s.MchID, s.Serial, s.throwAway.key),
		option.WithVerifier(verifier), option.WithHTTPClient(&http.Client{Transport: transport}))
}
