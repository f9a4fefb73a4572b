//go:build e2e

package e2e

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// Events that ask the merchant something: the app's words go back, signed where
// WeChat Pay wants that. The simulator judges them.
func TestQuestions(t *testing.T) {
	t.Parallel()
	const ok = `{"code":"SUCCESS","message":"好","total_amount":1500}`
	type said struct {
		status int
		text   string
	}
	says, asked := make(chan said, 1), make(chan string, 1)
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		asked <- string(body)
		reply := <-says
		w.WriteHeader(reply.status)
		_, _ = io.WriteString(w, reply.text)
	}))
	t.Cleanup(app.Close)
	s := newShop(t, func(c *setup) {
		c.routes = strings.ReplaceAll(route("/notify/shop", "shop", app.URL), "}", `, events: ["*"]}`) +
			strings.ReplaceAll(route("/notify/shop", "shop", app.URL), "}", `, events: ["NEW.QUESTION"], answer: signed}`) +
			strings.ReplaceAll(route("/notify/shop", "shop", app.URL), "}", `, events: ["OTHER.QUESTION"], answer: app}`)
	})
	for event, want := range map[string]struct{ field, signed string }{
		"PARKING_FEE.QUERY_TRANS_INFO":     {"plate_number", ""},
		"ENTRUST.TERMINATE_RETENTION":      {"contract_id", ""},
		"CROSS_BORDER_PAY.GET_MCH_INFO":    {"qr_cd_mp", "Authorization: WECHATPAY2-SHA256-RSA2048 mchid"},
		"CROSS_BORDER_PAY.PUSH_ORDER_INFO": {"bank_type", "Authorization: WECHATPAY2-SHA256-RSA2048 mchid"},
		"NEW.QUESTION":                     {"note", "Authorization: WECHATPAY2-SHA256-RSA2048 mchid"},
		"OTHER.QUESTION":                   {"note", ""},
	} {
		says <- said{http.StatusOK, ok}
		code, text := s.trigger(t, event)
		if question := <-asked; code != 0 || !strings.Contains(question, `"`+want.field+`"`) || !strings.Contains(text, `\"total_amount\":1500`) {
			t.Errorf("%s: exit code %d\n%s\nasked %s", event, code, text, question)
		}
		if got := strings.Contains(text, "Authorization: "); got != (want.signed != "") || !strings.Contains(text, want.signed) {
			t.Errorf("%s: signed is not as wanted\n%s", event, text)
		}
		says <- said{http.StatusBadRequest, `{"code":"FAIL","message":"no"}`}
		if code, text := s.trigger(t, event); code == 0 || !strings.Contains(text, "answered 400") || !strings.Contains(text, `\"no\"`) {
			t.Errorf("%s: a refusal gave exit code %d\n%s", event, code, text)
		}
		<-asked
	}
	// All others are acknowledged and no more.
	says <- said{http.StatusOK, ok}
	if code, text := s.trigger(t, "TRANSACTION.SUCCESS"); code != 0 || !strings.Contains(text, "answered 204") || strings.Contains(text, "total_amount") {
		t.Errorf("exit code %d\n%s", code, text)
	}
}

// Orders of a service provider and of several merchants at once belong to who
// signed them, also where a merchant that they name is configured too.
func TestPartnerAndCombinedNotifies(t *testing.T) {
	t.Parallel()
	c := newTwo(t)
	partner := strings.NewReplacer("NOTIFY", c.notify+"/notify").Replace(`{"sp_appid":"wxd678efh567hg6787","sp_mchid":"1900000001",
		"sub_mchid":"1900000002","description":"a book","out_trade_no":"PARTNER-1","notify_url":"NOTIFY","amount":{"total":100,"currency":"CNY"}}`)
	combined := strings.NewReplacer("NOTIFY", c.notify+"/notify").Replace(`{"combine_appid":"wxd678efh567hg6787","combine_mchid":"1900000001",
		"combine_out_trade_no":"COMBINED-1","notify_url":"NOTIFY","sub_orders":[
		{"mchid":"1900000001","out_trade_no":"PART-0001","description":"a book","attach":"a","amount":{"total_amount":100,"currency":"CNY"}},
		{"mchid":"1900000002","out_trade_no":"PART-0002","description":"a pen","attach":"b","amount":{"total_amount":50,"currency":"CNY"}}]}`)
	call := func(path, body, merchant string) answer {
		return curl(t, nil, post(c.outbound+path, body, "-H", "Wxproxy-Merchant: "+merchant)...)
	}
	const partnerPath, combinedPath = "/v3/pay/partner/transactions/native", "/v3/combine-transactions/native"
	call(partnerPath, partner, "branch").refused(t, 400, "merchant_mismatch")
	call(combinedPath, combined, "branch").refused(t, 400, "merchant_mismatch")
	call(partnerPath, partner, "shop").verified(t, 200)
	call(combinedPath, combined, "shop").verified(t, 200)

	c.a.pay("PARTNER-1")
	if r := c.appA.take(204).resource(t); r["sp_mchid"] != "1900000001" || r["sub_mchid"] != "1900000002" || r["out_trade_no"] != "PARTNER-1" {
		t.Errorf("got %v", r)
	}
	c.a.pay("PART-0001")
	d := c.appA.take(204)
	r := d.resource(t)
	parts, _ := r["sub_orders"].([]any)
	if r["combine_mchid"] != "1900000001" || r["combine_out_trade_no"] != "COMBINED-1" || len(parts) != 2 || r["out_trade_no"] != nil ||
		d.header.Get("Wxproxy-Merchant") != "shop" {
		t.Errorf("got %v %s", d.header, d.body)
	}
	c.appB.idle()
	query := curl(t, nil, c.outbound+"/v3/combine-transactions/out-trade-no/COMBINED-1", "-H", "Wxproxy-Merchant: shop").verified(t, 200)
	if !strings.Contains(query.body, `"PART-0002"`) {
		t.Errorf("got %s", query.body)
	}
}
