//go:build e2e

package e2e

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// An order that leaves notify_url out is ordered with ours, every other byte
// as the app wrote it, and its notify arrives.
func TestNotifyURLFilledIn(t *testing.T) {
	t.Parallel()
	public := newRelay(t, "")
	s := newShop(t, func(c *setup) { c.env = []string{"WXPROXY_NOTIFY_PUBLIC_URL=" + public.url} })
	public.route(func(*http.Request) string { return s.notify })
	const rest = ` "appid": "wxd678efh567hg6787", "mchid":"1900000001",  "description":"一本书","out_trade_no":"FILLED","amount":{"total":100,"currency":"CNY"} }`
	got := curl(t, nil, post(s.outbound+"/v3/pay/transactions/native", "{"+rest)...).verified(t, 200)
	if hint := got.header.Get("Wxproxy-Hint"); hint != "" {
		t.Errorf("hint %q", hint)
	}
	if sent, want := string(s.wire.last(t).body), `{"notify_url":"`+public.url+`/notify/shop",`+rest; sent != want {
		t.Errorf("sent %s, want %s", sent, want)
	}
	s.wechat.pay("FILLED")
	if paid := s.app.take(204).resource(t)["out_trade_no"]; paid != "FILLED" {
		t.Errorf("the app was told of %v", paid)
	}
	// A refund of it, too; and a body that has one keeps it, with a hint.
	refund := `{"out_trade_no":"FILLED","out_refund_no":"R-FILLED","amount":{"refund":40,"total":100,"currency":"CNY"}}`
	curl(t, nil, post(s.outbound+"/v3/refund/domestic/refunds", refund)...).verified(t, 200)
	if event := s.app.take(204).header.Get("Wxproxy-Event-Type"); event != "REFUND.SUCCESS" {
		t.Errorf("the app was told of %s", event)
	}
	body := prepayBody(t, mchID, "FOREIGN", "https://old.example.com/paid")
	got = curl(t, nil, post(s.outbound+"/v3/pay/transactions/native", body)...).verified(t, 200)
	if hint := got.header.Get("Wxproxy-Hint"); hint != "notify_url_foreign /notify_url" || string(s.wire.last(t).body) != body {
		t.Errorf("hint %q, sent %s", hint, s.wire.last(t).body)
	}
}

// What WeChat Pay would refuse is named beside its refusal, and with refuse
// instead of it.
func TestHints(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	strict := newShop(t, func(c *setup) { c.outbound = "  hints: refuse" })
	order := func(change func(map[string]any)) string {
		var m map[string]any
		if err := json.Unmarshal([]byte(prepayBody(t, mchID, "HINTED", s.notify+"/notify/shop")), &m); err != nil {
			t.Fatal(err)
		}
		change(m)
		body, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	for want, body := range map[string]string{
		"amount_not_integer /amount/total": order(func(m map[string]any) { m["amount"] = map[string]any{"total": 1.5} }),
		"missing /mchid":                   order(func(m map[string]any) { delete(m, "mchid") }),
		"notify_url_query /notify_url":     order(func(m map[string]any) { m["notify_url"] = s.notify + "/notify/shop?a=b" }),
	} {
		path := "/v3/pay/transactions/native"
		if got := curl(t, nil, post(s.outbound+path, body)...); got.status != 400 || got.header.Get("Wxproxy-Hint") != want || got.header.Get("Wxproxy-Error") != "" {
			t.Errorf("want %s and WeChat Pay's refusal, got\n%s", want, got.raw)
		}
		got := curl(t, nil, post(strict.outbound+path, body)...).refused(t, 400, "bad_parameter")
		if pointer := want[strings.IndexByte(want, ' ')+1:]; !strings.Contains(got.body, `"field":"`+pointer+`"`) {
			t.Errorf("got %s", got.body)
		}
	}
}
