package endpoint_test

import (
	"errors"
	"reflect"
	"slices"
	"testing"

	"github.com/wxproxy/wxproxy/internal/endpoint"
)

func TestFamilies(t *testing.T) {
	t.Parallel()
	table, err := endpoint.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range [][3]string{
		{"POST", "/v3/pay/transactions/jsapi", "prepay"},
		{"POST", "/v3/pay/partner/transactions/native", "prepay"},
		{"POST", "/v3/combine-transactions/app", "prepay"},
		{"POST", "/v3/pay/transactions/out-trade-no/T1/close", "other"},
		{"GET", "/v3/pay/transactions/id/1", "query"},
		{"GET", "/v3/combine-transactions/out-trade-no/C1", "query"},
		{"POST", "/v3/refund/domestic/refunds", "refund"},
		{"GET", "/v3/refund/domestic/refunds/R1", "refund_query"},
		{"POST", "/v3/refund/domestic/refunds/5/apply-abnormal-refund", "abnormal_refund"},
		{"POST", "/v3/ecommerce/refunds/apply", "refund"},
		{"POST", "/v3/fund-app/mch-transfer/transfer-bills", "transfer"},
		{"GET", "/v3/transfer/batches/out-batch-no/B1", "transfer_query"},
		{"POST", "/v3/profitsharing/orders", "profitsharing"},
		{"GET", "/v3/bill/fundflowbill", "bill"},
		{"GET", "/v3/certificates", "certificates"},
		{"GET", "/v3/not/in/the/table", "other"},
		{"PATCH", "/v3/not/in/the/table", "other"},
	} {
		if got := table.Lookup(row[0], row[1]).Family; got != row[2] {
			t.Errorf("%s %s is in %s, want %s", row[0], row[1], got, row[2])
		}
	}
	used := make(map[string]bool)
	for _, e := range table.Endpoints() {
		used[e.Family] = true
	}
	for _, family := range endpoint.Families() {
		if !used[family] {
			t.Errorf("no call is in family %s", family)
		}
	}
}

// Whatever the table says of a call a user can correct.
func TestOverridesCoverEveryAttribute(t *testing.T) {
	t.Parallel()
	by := map[string][]string{
		"Method": {"Method"}, "Template": {"Template"}, "Unsigned": {"Unsigned"}, "Statement": {"Statement"},
		"IdempotencyKey": {"IdempotencyKey"}, "Repeatable": {"Repeatable"}, "FileUnchecked": {"FileUnchecked"},
		"Sensitive": {"SensitiveOff", "SensitiveRequest", "SensitiveQuery", "SensitiveResponse"},
		"Download":  {"Download"}, "EncryptedBy": {"Encrypted"}, "Family": {"Family"}, "Body": {"Notify"},
		"label": {"Label"}, "executed": {"Executed"},
	}
	override := reflect.TypeFor[endpoint.Override]()
	var unused []string
	for field := range override.Fields() {
		unused = append(unused, field.Name)
	}
	for field := range reflect.TypeFor[endpoint.Endpoint]().Fields() {
		names, ok := by[field.Name]
		if !ok {
			t.Errorf("nothing overrides %s", field.Name)
		}
		for _, name := range names {
			if _, ok := override.FieldByName(name); !ok {
				t.Errorf("%s is to be overridden by %s, which is not there", field.Name, name)
			}
			unused = slices.DeleteFunc(unused, func(s string) bool { return s == name })
		}
	}
	if len(unused) > 0 {
		t.Errorf("overrides of nothing: %v", unused)
	}
}

func TestOverridesOfFacts(t *testing.T) {
	t.Parallel()
	yes, no := true, false
	const order, bill, page = "/v3/pay/transactions/jsapi", "/v3/new/bill", "/v3/statements"
	table, err := endpoint.New([]endpoint.Override{
		{Method: "POST", Template: order, Family: "refund", Repeatable: &yes, Executed: []int{400, 500}},
		{Method: "GET", Template: bill, Encrypted: "cipher", Statement: &yes, Repeatable: &no},
		{Method: "GET", Template: page, Statement: &no},
	})
	if err != nil {
		t.Fatal(err)
	}
	if e := table.Lookup("POST", order); e.Family != "refund" || !e.Repeatable || !e.MayHaveExecuted(400) || e.MayHaveExecuted(503) || e.IdempotencyKey != "out_trade_no" {
		t.Errorf("got %+v", e)
	}
	if e := table.Lookup("GET", bill); e.EncryptedBy != "cipher" || !e.Statement || e.Repeatable || e.Family != "other" {
		t.Errorf("got %+v", e)
	}
	if table.Lookup("GET", page).Statement {
		t.Error("still a statement")
	}
	for name, o := range map[string]endpoint.Override{
		"family":             {Family: "refunds"},
		"status":             {Executed: []int{200}},
		"unsigned statement": {Unsigned: &yes, Statement: &yes},
		"parameter":          {Encrypted: "a b"},
		"executed GET":       {Method: "GET", Executed: []int{500}},
	} {
		o.Template = order
		if o.Method == "" {
			o.Method = "POST"
		}
		if _, err := endpoint.New([]endpoint.Override{o}); !errors.Is(err, endpoint.ErrBadOverride) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
