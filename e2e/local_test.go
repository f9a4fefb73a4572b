//go:build e2e

package e2e

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/wechatpay-apiv3/wechatpay-go/core"
	paysapp "github.com/wechatpay-apiv3/wechatpay-go/services/payments/app"
	"github.com/wechatpay-apiv3/wechatpay-go/services/payments/jsapi"
	"github.com/wechatpay-apiv3/wechatpay-go/utils"
)

const (
	apiv2Key = "192006250b4c09247ec02edce69f6a2d"
	appID    = "wxd678efh567hg6787"
)

// newLocal is a shop whose only caller is granted everything.
func newLocal(t *testing.T) *shop {
	t.Helper()
	return newShop(t, func(c *setup) {
		c.merchants += "\n    apiv2_key: env:APIV2"
		c.outbound = "  callers: [{name: web, token: env:CALLER, endpoints: [pay-params, sign, encrypt, decrypt, verify]}]"
		c.env = []string{"CALLER=" + callerToken, "APIV2=" + apiv2Key}
	})
}

// settings are those of a client that holds the merchant's real key.
func (s *shop) settings(t *testing.T) settings {
	t.Helper()
	cert := s.wechat.read("apiclient_cert.pem")
	key, err := utils.LoadPrivateKey(string(s.wechat.read("apiclient_key.pem")))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(cert)
	parsed, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	own := credentials{key, parsed}
	return settings{
		Base: s.outbound, MchID: mchID, Serial: own.serial(), PrivateKey: string(own.keyPEM(t)), Certificate: string(cert),
		PlatformID: s.wechat.publicKeyID(), PlatformKey: string(s.wechat.read("pub_key.pem")),
		NotifyURL: s.notify + "/notify/shop", Order: "LOCAL", Token: callerToken, APIv2Key: apiv2Key, throwAway: own,
	}
}

// Other makers' builders, with the real key, make what wxproxy makes.
func TestLocalAgainstNode(t *testing.T) {
	t.Parallel()
	s := newLocal(t)
	for step, want := range map[string]string{"pay": "same", "pairs": "same", "seal": "same", "openapi": "valid"} {
		t.Run(step, func(t *testing.T) {
			answer, err := node("local.mjs")(t, step, s.settings(t))
			if err != nil || !strings.Contains(string(answer), want) {
				t.Errorf("got %s, %v", answer, err)
			}
		})
	}
	log := s.out.String()
	if !strings.Contains(log, "/_wxproxy/v1/sign/wxpayScoreUse") || !strings.Contains(log, "/_wxproxy/v1/decrypt") {
		t.Error("the log does not say what was asked for")
	}
	for _, secret := range []string{apiv2Key, callerToken, "张三", "prepay_id"} {
		if strings.Contains(log, secret) {
			t.Errorf("%s stands in the log", secret)
		}
	}
}

// PrepayWithRequestPayment of the official SDK, which holds the real key, and
// pay-params for the same order: the same members, both signatures the
// merchant's over the message that WeChat documents.
func TestPayParamsAgainstGoSDK(t *testing.T) {
	t.Parallel()
	s := newLocal(t)
	given := s.settings(t)
	s.wechat.command("public-key", `{"mode":"on","percent":100}`)
	client, err := newGoSDKThrough(t, given, withToken{otherHost{mustURL(t, given.Base)}})
	if err != nil {
		t.Fatal(err)
	}
	t.Run("jsapi", func(t *testing.T) {
		theirs, _, err := (&jsapi.JsapiApiService{Client: client}).PrepayWithRequestPayment(t.Context(), jsapi.PrepayRequest{
			Appid: core.String(appID), Mchid: core.String(mchID), Description: core.String("一本书"), OutTradeNo: core.String("SDKJSAPI"),
			NotifyUrl: core.String(given.NotifyURL), Amount: &jsapi.Amount{Total: core.Int64(100)}, Payer: &jsapi.Payer{Openid: core.String("oUpF8uMuAJO_M2pxb1Q9zNjWeS6o")},
		})
		if err != nil {
			t.Fatal(err)
		}
		ours := s.payParams(t, "jsapi", *theirs.PrepayId)
		given.signed(t, *theirs.PaySign, *theirs.Appid, *theirs.TimeStamp, *theirs.NonceStr, *theirs.Package)
		given.signed(t, ours["paySign"], ours["appId"], ours["timeStamp"], ours["nonceStr"], ours["package"])
		if ours["package"] != *theirs.Package || ours["appId"] != *theirs.Appid || ours["signType"] != *theirs.SignType {
			t.Errorf("ours %v, the SDK's %s", ours, theirs)
		}
	})
	t.Run("app", func(t *testing.T) {
		theirs, _, err := (&paysapp.AppApiService{Client: client}).PrepayWithRequestPayment(t.Context(), paysapp.PrepayRequest{
			Appid: core.String(appID), Mchid: core.String(mchID), Description: core.String("一本书"), OutTradeNo: core.String("SDKAPP"),
			NotifyUrl: core.String(given.NotifyURL), Amount: &paysapp.Amount{Total: core.Int64(100)},
		})
		if err != nil {
			t.Fatal(err)
		}
		ours := s.payParams(t, "app", *theirs.PrepayId)
		given.signed(t, *theirs.Sign, appID, *theirs.TimeStamp, *theirs.NonceStr, *theirs.PrepayId)
		given.signed(t, ours["sign"], ours["appid"], ours["timestamp"], ours["noncestr"], ours["prepayid"])
		if ours["package"] != *theirs.Package || ours["partnerid"] != *theirs.PartnerId {
			t.Errorf("ours %v, the SDK's %s", ours, theirs)
		}
	})
}

func (s *shop) payParams(t *testing.T, kind, prepayID string) map[string]string {
	t.Helper()
	got := curl(t, nil, post(s.outbound+"/_wxproxy/v1/pay-params/"+kind, `{"appid":"`+appID+`","prepay_id":"`+prepayID+`"}`, "-H", "Wxproxy-Token: "+callerToken)...)
	var m map[string]string
	if err := json.Unmarshal([]byte(got.body), &m); err != nil || got.status != http.StatusOK {
		t.Fatalf("%v: %s", err, got.raw)
	}
	return m
}

// signed checks a signature with the merchant's certificate.
func (s settings) signed(t *testing.T, signature string, lines ...string) {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(signature)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte(strings.Join(lines, "\n") + "\n"))
	if err := rsa.VerifyPKCS1v15(s.throwAway.cert.PublicKey.(*rsa.PublicKey), crypto.SHA256, digest[:], raw); err != nil {
		t.Errorf("%v over %q", err, lines)
	}
}

// An app that receives callbacks by itself asks whether they are genuine, and
// has them opened.
func TestVerifyAndOpenHandedOn(t *testing.T) {
	t.Parallel()
	s := newLocal(t)
	callbacks := newRelay(t, s.notify)
	curl(t, nil, post(s.outbound+"/v3/pay/transactions/native", prepayBody(t, mchID, "HANDED", callbacks.url+"/notify/shop"), "-H", "Wxproxy-Token: "+callerToken)...).verified(t, 200)
	s.wechat.pay("HANDED")
	s.app.take(204)
	x := callbacks.first(t)
	args := func(endpoint, body string) []string {
		list := []string{s.outbound + "/_wxproxy/v1/" + endpoint, "-H", "Wxproxy-Token: " + callerToken, "--data-binary", body}
		for _, name := range []string{"Timestamp", "Nonce", "Signature", "Serial"} {
			list = append(list, "-H", "Wechatpay-"+name+": "+x.header.Get("Wechatpay-"+name))
		}
		return list
	}
	body := string(x.body)
	if got := curl(t, nil, args("verify", body)...); !strings.HasPrefix(got.body, `{"valid":true,`) {
		t.Errorf("got %s", got.raw)
	}
	if got := curl(t, nil, args("verify", body+" ")...); !strings.HasPrefix(got.body, `{"valid":false,"reason":"bad_signature"`) {
		t.Errorf("got %s", got.raw)
	}
	if got := curl(t, nil, args("decrypt/notify", body)...); got.status != 200 || !strings.Contains(got.body, `"out_trade_no":"HANDED"`) {
		t.Errorf("got %s", got.raw)
	}
	curl(t, nil, args("decrypt/notify", body+" ")...).refused(t, 400, "notify_invalid")
}

// Without callers, whoever reaches the port has all but decrypt.
func TestLocalWithoutCallers(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	for _, endpoint := range []string{"pay-params/jsapi", "sign/discountCard", "encrypt"} {
		curl(t, nil, post(s.outbound+"/_wxproxy/v1/"+endpoint, "{}")...).refused(t, 400, "bad_parameter")
	}
	for _, endpoint := range []string{"decrypt", "decrypt/notify"} {
		curl(t, nil, post(s.outbound+"/_wxproxy/v1/"+endpoint, "{}")...).refused(t, 403, "forbidden")
	}
	curl(t, nil, post(s.outbound+"/_wxproxy/v1/sign/wxpayScoreUse", `{"package":"x"}`)...).refused(t, 503, "key_unavailable")
}

// first waits until the relay has carried an exchange both ways.
func (r *relay) first(t *testing.T) exchange {
	t.Helper()
	deadline := time.After(patience)
	for tick := time.NewTicker(20 * time.Millisecond); ; {
		if list := r.all(); len(list) > 0 {
			tick.Stop()
			return list[0]
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("nothing passed the relay")
		}
	}
}
