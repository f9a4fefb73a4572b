//go:build e2e

package e2e

import (
	"context"
	"crypto/rsa"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/wechatpay-apiv3/wechatpay-go/core"
	"github.com/wechatpay-apiv3/wechatpay-go/core/auth/verifiers"
	"github.com/wechatpay-apiv3/wechatpay-go/core/option"
	"github.com/wechatpay-apiv3/wechatpay-go/services/certificates"
	partnerjsapi "github.com/wechatpay-apiv3/wechatpay-go/services/partnerpayments/jsapi"
	partnernative "github.com/wechatpay-apiv3/wechatpay-go/services/partnerpayments/native"
	paysapp "github.com/wechatpay-apiv3/wechatpay-go/services/payments/app"
	"github.com/wechatpay-apiv3/wechatpay-go/services/payments/h5"
	"github.com/wechatpay-apiv3/wechatpay-go/services/payments/jsapi"
	"github.com/wechatpay-apiv3/wechatpay-go/services/payments/native"
	"github.com/wechatpay-apiv3/wechatpay-go/services/refunddomestic"
	"github.com/wechatpay-apiv3/wechatpay-go/utils"
)

// sdkOptions are those of an official SDK in front of wxproxy: a throw-away key,
// and WeChat Pay's public key, which answers are signed with from here on.
func (s *shop) sdkOptions(t *testing.T) (options []core.ClientOption, id string, platform *rsa.PublicKey) {
	t.Helper()
	throwAway := newCredentials(t, mchID)
	platform, err := utils.LoadPublicKey(string(s.wechat.read("pub_key.pem")))
	if err != nil {
		t.Fatal(err)
	}
	s.wechat.command("public-key", `{"mode":"on","percent":100}`)
	id = s.wechat.publicKeyID()
	return []core.ClientOption{
		option.WithMerchantCredential(mchID, throwAway.serial(), throwAway.key),
		option.WithVerifier(verifiers.NewSHA256WithRSAPubkeyVerifier(id, *platform)),
		option.WithHTTPClient(&http.Client{Transport: otherHost{mustURL(t, s.outbound)}}),
	}, id, platform
}

// TestSDKServices drives services of the official SDK through wxproxy: it
// verifies each answer for itself, and the simulator judged each request.
func TestSDKServices(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	options, _, _ := s.sdkOptions(t)
	c, err := core.NewClient(t.Context(), options...)
	if err != nil {
		t.Fatal(err)
	}
	text, url := core.String, core.String(s.notify+"/notify/shop")
	for name, call := range map[string]func(context.Context) (any, error){
		"certificates": func(ctx context.Context) (any, error) {
			got, _, err := (&certificates.CertificatesApiService{Client: c}).DownloadCertificates(ctx)
			return got, err
		},
		"jsapi": func(ctx context.Context) (any, error) {
			got, _, err := (&jsapi.JsapiApiService{Client: c}).Prepay(ctx, jsapi.PrepayRequest{
				Appid: text(appID), Mchid: text(mchID), Description: text("一本书"), OutTradeNo: text("SDK-JSAPI"), NotifyUrl: url,
				Amount: &jsapi.Amount{Total: core.Int64(100)}, Payer: &jsapi.Payer{Openid: text("o")},
			})
			return got, err
		},
		"app": func(ctx context.Context) (any, error) {
			got, _, err := (&paysapp.AppApiService{Client: c}).Prepay(ctx, paysapp.PrepayRequest{
				Appid: text(appID), Mchid: text(mchID), Description: text("一本书"), OutTradeNo: text("SDK-APP"), NotifyUrl: url,
				Amount: &paysapp.Amount{Total: core.Int64(100)},
			})
			return got, err
		},
		"h5": func(ctx context.Context) (any, error) {
			got, _, err := (&h5.H5ApiService{Client: c}).Prepay(ctx, h5.PrepayRequest{
				Appid: text(appID), Mchid: text(mchID), Description: text("一本书"), OutTradeNo: text("SDK-H5"), NotifyUrl: url,
				Amount: &h5.Amount{Total: core.Int64(100)}, SceneInfo: &h5.SceneInfo{PayerClientIp: text("127.0.0.1"), H5Info: &h5.H5Info{Type: text("Wap")}},
			})
			return got, err
		},
		"partner jsapi": func(ctx context.Context) (any, error) {
			got, _, err := (&partnerjsapi.JsapiApiService{Client: c}).Prepay(ctx, partnerjsapi.PrepayRequest{
				SpAppid: text(appID), SpMchid: text(mchID), SubMchid: text("1900000109"), Description: text("一本书"), OutTradeNo: text("SDK-PARTNER-1"), NotifyUrl: url,
				Amount: &partnerjsapi.Amount{Total: core.Int64(100)}, Payer: &partnerjsapi.Payer{SpOpenid: text("o")},
			})
			return got, err
		},
		"partner native": func(ctx context.Context) (any, error) {
			got, _, err := (&partnernative.NativeApiService{Client: c}).Prepay(ctx, partnernative.PrepayRequest{
				SpAppid: text(appID), SpMchid: text(mchID), SubMchid: text("1900000109"), Description: text("一本书"), OutTradeNo: text("SDK-PARTNER-2"), NotifyUrl: url,
				Amount: &partnernative.Amount{Total: core.Int64(100)},
			})
			return got, err
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := call(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if text, err := json.Marshal(got); err != nil || len(text) < len(`{"":""}`) {
				t.Errorf("got %s, %v", text, err)
			}
		})
	}
	t.Run("native, paid, refunded", func(t *testing.T) { s.sdkRefund(t, c) })
	t.Run("combined", func(t *testing.T) { s.sdkCombine(t, c) })
}

func (s *shop) sdkRefund(t *testing.T, c *core.Client) {
	t.Helper()
	text := core.String
	if _, _, err := (&native.NativeApiService{Client: c}).Prepay(t.Context(), native.PrepayRequest{
		Appid: text(appID), Mchid: text(mchID), Description: text("一本书"), OutTradeNo: text("SDK-NATIVE"), NotifyUrl: text(s.notify + "/notify/shop"),
		Amount: &native.Amount{Total: core.Int64(100)},
	}); err != nil {
		t.Fatal(err)
	}
	s.wechat.pay("SDK-NATIVE")
	if r := s.app.take(204).resource(t); r["out_trade_no"] != "SDK-NATIVE" {
		t.Errorf("got %v", r)
	}
	service := &refunddomestic.RefundsApiService{Client: c}
	made, _, err := service.Create(t.Context(), refunddomestic.CreateRequest{
		OutTradeNo: text("SDK-NATIVE"), OutRefundNo: text("SDK-REFUND"), Amount: &refunddomestic.AmountReq{Refund: core.Int64(40), Total: core.Int64(100), Currency: text("CNY")},
	})
	if err != nil || *made.OutRefundNo != "SDK-REFUND" {
		t.Fatalf("got %v, %v", made, err)
	}
	if got, _, err := service.QueryByOutRefundNo(t.Context(), refunddomestic.QueryByOutRefundNoRequest{OutRefundNo: text("SDK-REFUND")}); err != nil || *got.Amount.Refund != 40 {
		t.Errorf("got %v, %v", got, err)
	}
}

// sdkCombine makes a combined order with the SDK's client: it has no service for
// them.
func (s *shop) sdkCombine(t *testing.T, c *core.Client) {
	t.Helper()
	order := strings.ReplaceAll(`{"combine_appid":"`+appID+`","combine_mchid":"`+mchID+`","combine_out_trade_no":"SDK-COMBINED","notify_url":"NOTIFY","sub_orders":[
		{"mchid":"`+mchID+`","out_trade_no":"SDK-PART-1","description":"a book","attach":"a","amount":{"total_amount":100,"currency":"CNY"}},
		{"mchid":"1900000109","out_trade_no":"SDK-PART-2","description":"a pen","attach":"b","amount":{"total_amount":50,"currency":"CNY"}}]}`, "NOTIFY", s.notify+"/notify/shop")
	made, err := c.Post(t.Context(), "https://api.mch.weixin.qq.com/v3/combine-transactions/native", json.RawMessage(order))
	if err != nil {
		t.Fatal(err)
	}
	defer made.Response.Body.Close()
	if body, err := io.ReadAll(made.Response.Body); err != nil || !strings.Contains(string(body), "code_url") {
		t.Errorf("got %s, %v", body, err)
	}
	s.wechat.pay("SDK-PART-1")
	r := s.app.take(204).resource(t)
	if parts, _ := r["sub_orders"].([]any); r["combine_out_trade_no"] != "SDK-COMBINED" || len(parts) != 2 {
		t.Errorf("got %v", r)
	}
}
