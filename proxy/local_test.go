package proxy_test

import (
	"crypto"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/wxproxy/wxproxy/internal/secret"
	"github.com/wxproxy/wxproxy/proxy"
)

const (
	apiv2Key = "192006250b4c09247ec02edce69f6a2d"
	appID    = "wxd678efh567hg6787"
	prepayID = "wx201410272009395522657a690389285100"
	payBody  = `{"appid":"` + appID + `","prepay_id":"` + prepayID + `"}`
)

// withAPIv2 gives the merchants an APIv2 key.
func withAPIv2(s *setup) {
	for _, m := range s.Merchants {
		m.APIv2Key = func() secret.Value { return secret.NewValue([]byte(apiv2Key)) }
	}
}

// withDecrypt grants everything to a caller with a token.
func withDecrypt(s *setup) {
	s.Callers = []*proxy.Caller{{
		Name: "all", Token: func() secret.Value { return secret.NewValue([]byte("token")) },
		Endpoints: []string{"pay-params", "sign", "encrypt", "decrypt", "verify"},
	}}
}

func local(name string) string { return "/_wxproxy/v1/" + name }

// members reads an answer whose members are texts.
func (g got) members(t testing.TB) map[string]string {
	t.Helper()
	if g.status != http.StatusOK {
		t.Fatalf("got %d %s %s", g.status, g.header.Get("Wxproxy-Error"), g.body)
	}
	var m map[string]string
	if err := json.Unmarshal([]byte(g.body), &m); err != nil {
		t.Fatalf("%v: %s", err, g.body)
	}
	return m
}

// signed reports whether a signature is the merchant's over the lines.
func signed(t testing.TB, signature string, lines ...string) bool {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(signature)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte(strings.Join(lines, "\n") + "\n"))
	return rsa.VerifyPKCS1v15(&keys().merchant.PublicKey, crypto.SHA256, digest[:], raw) == nil
}

// apiv2Sign is APIv2's signature, written down once more.
func apiv2Sign(pairs map[string]string) string {
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(pairs)) {
		text.WriteString(name + "=" + pairs[name] + "&")
	}
	mac := hmac.New(sha256.New, []byte(apiv2Key))
	mac.Write([]byte(text.String() + "key=" + apiv2Key))
	return strings.ToUpper(hex.EncodeToString(mac.Sum(nil)))
}

func TestPayParams(t *testing.T) {
	t.Parallel()
	g := newRig(t, newWechat(t, nil))
	subsidy := strings.TrimSuffix(payBody, "}") + `,"subsidy_period_type":"PERIOD","selected_installment_number":"3"}`
	for name, tt := range map[string]struct {
		kind, body string
		want       map[string]string
		signed     []string // after timestamp and nonce
	}{
		"jsapi": {"jsapi", payBody, map[string]string{"appId": appID, "package": "prepay_id=" + prepayID, "signType": "RSA"}, []string{"prepay_id=" + prepayID}},
		"mini program, whose object has no appId": {
			"miniprogram", payBody, map[string]string{"package": "prepay_id=" + prepayID, "signType": "RSA"}, []string{"prepay_id=" + prepayID},
		},
		"app": {"app", payBody, map[string]string{"appid": appID, "partnerid": mchID, "prepayid": prepayID, "package": "Sign=WXPay"}, []string{prepayID}},
		"jsapi with a subsidy, which is signed": {
			"jsapi", subsidy,
			map[string]string{"appId": appID, "package": "prepay_id=" + prepayID + "&subsidy_period_type=PERIOD&selected_installment_number=3", "signType": "RSA"},
			[]string{"prepay_id=" + prepayID + "&subsidy_period_type=PERIOD&selected_installment_number=3"},
		},
		"app with a subsidy, which is not": {
			"app", subsidy,
			map[string]string{"appid": appID, "partnerid": mchID, "prepayid": prepayID, "package": "Sign=WXPay&subsidy_period_type=PERIOD&selected_installment_number=3"},
			[]string{prepayID},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer := g.do("POST", local("pay-params/"+tt.kind), tt.body)
			m := answer.members(t)
			var stamp [3]string // timestamp, nonce, signature
			for i, names := range [][]string{{"timeStamp", "timestamp"}, {"nonceStr", "noncestr"}, {"paySign", "sign"}} {
				for _, name := range names {
					stamp[i] += m[name]
					delete(m, name)
				}
			}
			if !maps.Equal(m, tt.want) {
				t.Errorf("got %v, want %v", m, tt.want)
			}
			if !regexp.MustCompile(`^\d{10}$`).MatchString(stamp[0]) || !regexp.MustCompile(`^[0-9A-Z]{26}$`).MatchString(stamp[1]) {
				t.Errorf("timestamp %q, nonce %q", stamp[0], stamp[1])
			}
			if !signed(t, stamp[2], append([]string{appID, stamp[0], stamp[1]}, tt.signed...)...) {
				t.Error("the signature does not hold")
			}
			if answer.header.Get("Wxproxy-Merchant") != "shop" || answer.header.Get("Cache-Control") != "no-store" || answer.header.Get("Wxproxy-Request-Id") == "" {
				t.Errorf("headers %v", answer.header)
			}
		})
	}
}

func TestSignPairMessages(t *testing.T) {
	t.Parallel()
	g := newRig(t, newWechat(t, nil), withAPIv2)
	score := []string{"mch_id", "nonce_str", "sign_type", "timestamp"}
	for name, tt := range map[string]struct {
		body string
		has  []string
	}{
		"wxpayScoreUse":    {`{"package":"DJIOSQPYWDxsjdldeuwhdodwxasd_dDiodnwjh9we"}`, append(score, "package")},
		"wxpayScoreEnable": {`{"service_id":"88888888000011","out_request_no":"1234323JKHDFE1243252"}`, append(score, "out_request_no", "service_id")},
		"wxpayScoreDetail": {`{"service_id":"88888888000011","out_order_no":"1234323JKHDFE1243252"}`, append(score, "out_order_no", "service_id")},
		"couponH5":         {`{"stock_id":"1","out_request_no":"2","open_id":"oX"}`, []string{"open_id", "out_request_no", "send_coupon_merchant", "stock_id"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := g.do("POST", local("sign/"+name), tt.body).members(t)
			sign := m["sign"]
			delete(m, "sign")
			if address, ok := m["url"]; ok {
				const want = "https://action.weixin.qq.com/busifavor/getcouponinfo?open_id=oX&out_request_no=2&send_coupon_merchant=" + mchID + "&sign="
				if address != want+sign+"&stock_id=1#wechat_pay&wechat_redirect" {
					t.Errorf("got %s", address)
				}
				delete(m, "url")
			}
			if got, want := slices.Sorted(maps.Keys(m)), slices.Sorted(slices.Values(tt.has)); !slices.Equal(got, want) {
				t.Errorf("got members %v, want %v", got, want)
			}
			if want := apiv2Sign(m); sign != want {
				t.Errorf("got %s, want %s", sign, want)
			}
			if id, ok := m["mch_id"]; ok && id != mchID {
				t.Errorf("mch_id %s", id)
			}
		})
	}
}

func TestSignCouponPlugin(t *testing.T) {
	t.Parallel()
	g := newRig(t, newWechat(t, nil), withAPIv2)
	answer := g.do("POST", local("sign/couponPlugin"),
		`{"coupons":[{"stock_id":"123","out_request_no":"R123"},{"stock_id":"456","out_request_no":"R456","coupon_code":"c"}]}`)
	want := apiv2Sign(map[string]string{
		"send_coupon_merchant": mchID, "stock_id0": "123", "out_request_no0": "R123", "stock_id1": "456", "out_request_no1": "R456", "coupon_code1": "c",
	})
	const coupons = `[{"out_request_no":"R123","stock_id":"123"},{"coupon_code":"c","out_request_no":"R456","stock_id":"456"}]`
	if full := `{"send_coupon_merchant":"` + mchID + `","send_coupon_params":` + coupons + `,"sign":"` + want + `"}`; strings.TrimSpace(answer.body) != full {
		t.Errorf("got %s, want %s", answer.body, full)
	}
}

func TestSignDiscountCard(t *testing.T) {
	t.Parallel()
	g := newRig(t, newWechat(t, nil))
	m := g.do("POST", local("sign/discountCard"), `{"appid":"`+appID+`","discount_card_id":"87789b2f","out_trade_no":"6e83@|*-_"}`).members(t)
	if !signed(t, m["sign"], appID, m["timestamp"], m["nonce_str"], "87789b2f", mchID, "6e83@|*-_") {
		t.Errorf("the signature does not hold: %v", m)
	}
	if m["serial_no"] != merchantSerial || m["mch_id"] != mchID || m["sign_type"] != "WECHATPAY2-SHA256-RSA2048" || len(m) != 9 {
		t.Errorf("got %v", m)
	}
}

// Without an APIv2 key the payer's signature cannot be made, and the message
// says what to configure.
func TestSignWithoutAPIv2Key(t *testing.T) {
	t.Parallel()
	g := newRig(t, newWechat(t, nil))
	answer := g.do("POST", local("sign/wxpayScoreUse"), `{"package":"x"}`)
	answer.refused(t, http.StatusServiceUnavailable, proxy.ReasonKeyUnavailable)
	if !strings.Contains(answer.body, "set apiv2_key") {
		t.Errorf("the message does not help: %s", answer.body)
	}
}

func TestPayParamsWithoutKey(t *testing.T) {
	t.Parallel()
	g := newRig(t, newWechat(t, nil), func(s *setup) { s.Merchants[0].PrivateKey = noKey })
	for _, name := range []string{"pay-params/jsapi", "pay-params/miniprogram", "pay-params/app"} {
		g.do("POST", local(name), payBody).refused(t, http.StatusServiceUnavailable, proxy.ReasonKeyUnavailable)
	}
}
