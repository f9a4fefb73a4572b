package proxy_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/wxproxy/wxproxy/proxy"
)

// Each row flips one thing in a body that is accepted.
func TestLocalFormRefuses(t *testing.T) {
	t.Parallel()
	g := newRig(t, newWechat(t, nil), withAPIv2)
	change := func(name, value string) string {
		return strings.Replace(payBody, `"`+name+`":"`, `"`+name+`":"`+value, 1)
	}
	more := func(member string) string { return strings.TrimSuffix(payBody, "}") + "," + member + "}" }
	coupons := func(items string) string { return `{"coupons":[` + items + `]}` }
	const coupon = `{"stock_id":"1","out_request_no":"2"}`
	for _, good := range [][2]string{{"pay-params/jsapi", payBody}, {"pay-params/jsapi", " \n" + payBody + "\n"}, {"sign/couponPlugin", coupons(coupon)}} {
		if answer := g.do("POST", local(good[0]), good[1]); answer.status != http.StatusOK {
			t.Fatalf("%s: %d %s", good[1], answer.status, answer.body)
		}
	}
	for name, tt := range map[string]struct{ endpoint, body, field string }{
		"no body":                      {"pay-params/jsapi", "", ""},
		"not JSON":                     {"pay-params/jsapi", payBody[1:], ""},
		"cut short":                    {"pay-params/jsapi", payBody[:len(payBody)-1], ""},
		"two values":                   {"pay-params/jsapi", payBody + payBody, ""},
		"a list":                       {"pay-params/jsapi", "[" + payBody + "]", ""},
		"a member twice":               {"pay-params/jsapi", more(`"appid":"` + appID + `"`), ""},
		"not UTF-8":                    {"pay-params/jsapi", change("appid", "\xff"), ""},
		"half a surrogate":             {"pay-params/jsapi", change("appid", `\ud800`), ""},
		"a member too many":            {"pay-params/jsapi", more(`"package":"x"`), "/package"},
		"another letter case":          {"pay-params/jsapi", strings.Replace(payBody, "appid", "appId", 1), "/appId"},
		"timestamp is ours":            {"pay-params/jsapi", more(`"timeStamp":"1"`), "/timeStamp"},
		"nonce is ours":                {"pay-params/jsapi", more(`"nonceStr":"1"`), "/nonceStr"},
		"no appid":                     {"pay-params/jsapi", `{"prepay_id":"x"}`, "/appid"},
		"no prepay_id":                 {"pay-params/app", `{"appid":"` + appID + `"}`, "/prepay_id"},
		"null":                         {"pay-params/app", `{"appid":"` + appID + `","prepay_id":null}`, "/prepay_id"},
		"a number":                     {"pay-params/app", `{"appid":"` + appID + `","prepay_id":1}`, "/prepay_id"},
		"empty":                        {"pay-params/app", `{"appid":"` + appID + `","prepay_id":""}`, "/prepay_id"},
		"a line feed":                  {"pay-params/app", change("prepay_id", `\n`), "/prepay_id"},
		"a line feed at the end":       {"pay-params/app", strings.Replace(payBody, `"}`, `\n"}`, 1), "/prepay_id"},
		"a space":                      {"pay-params/app", change("prepay_id", " "), "/prepay_id"},
		"=":                            {"pay-params/app", change("prepay_id", "prepay_id="), "/prepay_id"},
		"&":                            {"pay-params/jsapi", change("prepay_id", "x&"), "/prepay_id"},
		"too long":                     {"pay-params/jsapi", change("prepay_id", strings.Repeat("x", 64)), "/prepay_id"},
		"a method as appid":            {"pay-params/jsapi", strings.Replace(payBody, appID, "POST", 1), "/appid"},
		"a number as appid":            {"pay-params/jsapi", strings.Replace(payBody, appID, "1700000000", 1), "/appid"},
		"instalments without a period": {"pay-params/jsapi", more(`"selected_installment_number":"3"`), "/subsidy_period_type"},
		"a period without instalments": {"pay-params/app", more(`"subsidy_period_type":"PERIOD"`), "/selected_installment_number"},
		"another period":               {"pay-params/app", more(`"subsidy_period_type":"X","selected_installment_number":"3"`), "/subsidy_period_type"},
		"instalments with more":        {"pay-params/app", more(`"subsidy_period_type":"PERIOD","selected_installment_number":"3&x"`), "/selected_installment_number"},
		"no list":                      {"sign/couponPlugin", `{"coupons":` + coupon + `}`, "/coupons"},
		"an empty list":                {"sign/couponPlugin", coupons(""), "/coupons"},
		"eleven coupons":               {"sign/couponPlugin", coupons(strings.TrimSuffix(strings.Repeat(coupon+",", 11), ",")), "/coupons"},
		"an item that is no object":    {"sign/couponPlugin", coupons(coupon + `,"x"`), "/coupons/1"},
		"an item lacks a member":       {"sign/couponPlugin", coupons(coupon + `,{"stock_id":"1"}`), "/coupons/1/out_request_no"},
		"an item has one too many":     {"sign/couponPlugin", coupons(`{"stock_id":"1","out_request_no":"2","x/y":"1"}`), "/coupons/0/x~1y"},
		"an item with &":               {"sign/couponPlugin", coupons(`{"stock_id":"1&key","out_request_no":"2"}`), "/coupons/0/stock_id"},
		"merchant is ours":             {"sign/couponPlugin", `{"coupons":[` + coupon + `],"send_coupon_merchant":"1"}`, "/send_coupon_merchant"},
		"mch_id is ours":               {"sign/wxpayScoreUse", `{"package":"x","mch_id":"1"}`, "/mch_id"},
		"a package of pairs":           {"sign/wxpayScoreUse", `{"package":"x&appid=wx"}`, "/package"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer := g.do("POST", local(tt.endpoint), tt.body)
			answer.refused(t, http.StatusBadRequest, proxy.ReasonBadParameter)
			if tt.field != "" && !strings.Contains(answer.body, `"field":"`+tt.field+`"`) {
				t.Errorf("got %s, want field %s", answer.body, tt.field)
			}
		})
	}
	g.do("POST", local("pay-params/jsapi"), strings.Repeat(" ", 64<<10)+payBody).refused(t, http.StatusRequestEntityTooLarge, proxy.ReasonBodyTooLarge)
	if g.out.HeldBytes() != 0 {
		t.Errorf("%d bytes are held", g.out.HeldBytes())
	}
}
