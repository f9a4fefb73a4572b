package endpoint_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/wxproxy/wxproxy/internal/endpoint"
)

// What is told of a few bodies, as WeChat Pay's field tables have it.
func TestBody(t *testing.T) {
	t.Parallel()
	table := newTable(t)
	for path, want := range map[string]struct{ required, notify, amount, text string }{
		"/v3/pay/transactions/jsapi":                   {"appid mchid", "notify_url", "/amount/total", `{"amount":{"total":1}}`},
		"/v3/pay/partner/transactions/h5":              {"sp_appid sp_mchid sub_mchid", "notify_url", "/amount/total", `{"amount":{"total":1}}`},
		"/v3/combine-transactions/jsapi":               {"combine_appid combine_mchid", "notify_url", "/sub_orders/0/amount/total_amount", `{"sub_orders":[{"amount":{"total_amount":1}}]}`},
		"/v3/refund/domestic/refunds":                  {"", "notify_url", "/amount/refund", `{"amount":{"refund":1}}`},
		"/v3/fund-app/mch-transfer/transfer-bills":     {"appid", "notify_url", "/transfer_amount", `{"transfer_amount":1}`},
		"/v3/profitsharing/orders":                     {"", "", "/receivers/0/amount", `{"receivers":[{"amount":1}]}`},
		"/v3/merchant-service/complaint-notifications": {"", "url", "", `{}`},
		"/v3/payscore/serviceorder":                    {"appid", "notify_url", "/risk_fund/amount", `{"risk_fund":{"amount":1}}`},
	} {
		b := table.Lookup("POST", path).Body
		if b == nil {
			t.Errorf("%s: nothing is known", path)
			continue
		}
		required := slices.Sorted(slices.Values(b.Required[""]))
		if got := strings.Join(required, " "); got != want.required || b.Notify != want.notify {
			t.Errorf("%s: required %q, notify %q", path, got, b.Notify)
		}
		found, err := b.Amounts.Find([]byte(want.text))
		if err != nil || (want.amount == "") != (len(found) == 0) || len(found) > 0 && found[0].Pointer != want.amount {
			t.Errorf("%s: amounts %+v, %v", path, found, err)
		}
	}
	if table.Lookup("POST", "/v3/unheard-of").Body != nil || table.Lookup("GET", "/v3/certificates").Body != nil {
		t.Error("something is claimed of what the table does not know")
	}
}

func TestOverrideNotify(t *testing.T) {
	t.Parallel()
	const known, unknown = "/v3/refund/domestic/refunds", "/v3/brand-new/orders"
	table := newTable(t, endpoint.Override{Method: "POST", Template: known, Notify: "none"}, endpoint.Override{Method: "POST", Template: unknown, Notify: "callback_url"})
	if b := table.Lookup("POST", known).Body; b.Notify != "" || len(b.Required) != 0 {
		t.Errorf("got %+v", b)
	}
	if b := table.Lookup("POST", unknown).Body; b == nil || b.Notify != "callback_url" {
		t.Errorf("got %+v", b)
	}
	if b := newTable(t).Lookup("POST", known).Body; b.Notify != "notify_url" {
		t.Errorf("another table changed: %+v", b)
	}
	if _, err := endpoint.New([]endpoint.Override{{Method: "POST", Template: known, Notify: "a.b"}}); err == nil {
		t.Error("a path was taken for a name")
	}
}
