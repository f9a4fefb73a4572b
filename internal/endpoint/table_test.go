package endpoint_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/wxproxy/wxproxy/internal/endpoint"
)

func newTable(t testing.TB, overrides ...endpoint.Override) *endpoint.Table {
	t.Helper()
	table, err := endpoint.New(overrides)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func TestEveryTemplateFindsItself(t *testing.T) {
	t.Parallel()
	table := newTable(t)
	all := table.Endpoints()
	if len(all) < 1000 {
		t.Fatalf("%d endpoints, the table is larger", len(all))
	}
	for _, e := range all {
		if got := table.Lookup(e.Method, e.Template); got != e {
			t.Errorf("%s %s finds %s %s", e.Method, e.Template, got.Method, got.Template)
		}
		if got := e.Label(); got != e.Template {
			t.Errorf("label of %s is %q", e.Template, got)
		}
	}
}

func TestLookupFinds(t *testing.T) {
	t.Parallel()
	table := newTable(t)
	for _, tt := range []struct{ name, method, path, want string }{
		{"literal", "POST", "/v3/pay/transactions/jsapi", "/v3/pay/transactions/jsapi"},
		{"variable", "GET", "/v3/pay/transactions/id/42", "/v3/pay/transactions/id/{transaction_id}"},
		{"literal before variable", "POST", "/v3/merchant-service/images/upload", "/v3/merchant-service/images/upload"},
		{"the method decides", "GET", "/v3/merchant-service/images/upload", "/v3/merchant-service/images/{media_id}"},
		{"backtracking", "POST", "/v3/payscore/serviceorder/direct-complete/cancel", "/v3/payscore/serviceorder/{out_order_no}/cancel"},
		{"escaped variable", "GET", "/v3/pay/transactions/out-trade-no/a%7Cb%2Fc", "/v3/pay/transactions/out-trade-no/{out_trade_no}"},
		{"dots inside a variable", "GET", "/v3/pay/transactions/out-trade-no/a..b", "/v3/pay/transactions/out-trade-no/{out_trade_no}"},
		{"trailing slash that belongs", "POST", "/v3/applyment4sub/applyment/", "/v3/applyment4sub/applyment/"},
		{"sources differ in the name", "GET", "/v3/inspolicymgr/deduct/policies/7", "/v3/inspolicymgr/deduct/policies/{out_insurance_no_or_policy_id}"},
		{"certificates", "GET", "/v3/certificates", "/v3/certificates"},
		{"global certificates", "GET", "/v3/global/certificates", "/v3/global/certificates"},
		{"echo", "POST", "/v3/security/echo", "/v3/security/echo"},
		{"hk", "GET", "/hk/v3/transactions/id/42", "/hk/v3/transactions/id/{transaction_id}"},

		{"trailing slash missing", "POST", "/v3/applyment4sub/applyment", "other"},
		{"trailing slash too many", "POST", "/v3/pay/transactions/jsapi/", "other"},
		{"letter case of the path", "POST", "/v3/pay/transactions/JSAPI", "other"},
		{"letter case of the method", "post", "/v3/pay/transactions/jsapi", "other"},
		{"HEAD", "HEAD", "/v3/certificates", "other"},
		{"no method", "", "/v3/certificates", "other"},
		{"wrong method", "DELETE", "/v3/certificates", "other"},
		{"escaped literal", "GET", "/v3/certificate%73", "other"},
		{"longer", "GET", "/v3/certificates/1", "other"},
		{"shorter", "GET", "/v3", "other"},
		{"root", "GET", "/", "other"},
		{"empty", "GET", "", "other"},
		{"no leading slash", "GET", "v3/certificates", "other"},
		{"doubled slash", "GET", "/v3//certificates", "other"},
		{"empty variable", "GET", "/v3/merchant-service/images/", "other"},
		{"dot variable", "GET", "/v3/merchant-service/images/.", "other"},
		{"dot dot variable", "GET", "/v3/merchant-service/images/..", "other"},
		{"escaped dot dot variable", "GET", "/v3/merchant-service/images/%2e%2E", "other"},
		{"query left on", "GET", "/v3/certificates?x=1", "other"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := table.Lookup(tt.method, tt.path).Label(); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestUnsignedAnswers(t *testing.T) {
	t.Parallel()
	var unsigned, statement []string
	for _, e := range newTable(t).Endpoints() {
		if e.Unsigned {
			unsigned = append(unsigned, e.Method+" "+e.Template)
		}
		if e.Statement {
			statement = append(statement, e.Method+" "+e.Template)
		}
		if e.Unsigned && e.Statement {
			t.Errorf("%s is both", e.Template)
		}
	}
	compare(t, unsigned, []string{
		"GET /v3/bill/downloadurl",
		"GET /v3/billdownload/file",
		"GET /v3/global/merchant-service/images/{media_id}",
		"GET /v3/merchant-service/images/{media_id}",
		"GET /v3/new-tax-control-fapiao/download",
		"GET /v3/payscore/bill/downloadurl",
		"GET /v3/transferbilldownload/elecvoucherfile",
		"GET /v3/transferdownload/elecvoucherfile",
		"GET /v3/transferdownload/signfile",
	})
	compare(t, statement, []string{
		"GET /hk/v3/statements",
		"GET /v3/global/statements",
		"GET /v3/statements",
	})
}

func compare(t *testing.T, got, want []string) {
	t.Helper()
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("got:\n%s\nwant:\n%s", g, w)
	}
}

func TestIdempotencyKeys(t *testing.T) {
	t.Parallel()
	table := newTable(t)
	for _, tt := range []struct{ method, path, key string }{
		{"POST", "/v3/pay/transactions/native", "out_trade_no"},
		{"POST", "/v3/pay/partner/transactions/h5", "out_trade_no"},
		{"POST", "/v3/combine-transactions/app", "combine_out_trade_no"},
		{"POST", "/v3/refund/domestic/refunds", "out_refund_no"},
		{"POST", "/v3/fund-app/mch-transfer/transfer-bills", "out_bill_no"},
		{"POST", "/v3/transfer/batches", "out_batch_no"},
		{"POST", "/v3/profitsharing/orders", "out_order_no"},
		{"POST", "/v3/profitsharing/return-orders", "out_return_no"},
		{"POST", "/v3/payscore/serviceorder", "out_order_no"},
		{"POST", "/v3/marketing/favor/users/o1/coupons", "out_request_no"},
		// A scanned payment code is charged at once; nothing says that it may be repeated.
		{"POST", "/v3/pay/transactions/codepay", ""},
		{"POST", "/v3/merchant/media/upload", ""},
		{"POST", "/v3/nowhere", ""},
	} {
		if got := table.Lookup(tt.method, tt.path).IdempotencyKey; got != tt.key {
			t.Errorf("%s %s: got key %q, want %q", tt.method, tt.path, got, tt.key)
		}
	}
}

func TestRepeatable(t *testing.T) {
	t.Parallel()
	table := newTable(t)
	for _, tt := range []struct {
		method, path string
		want         bool
	}{
		{"GET", "/v3/certificates", true},
		{"GET", "/v3/nowhere", true},
		{"HEAD", "/v3/nowhere", true},
		{"POST", "/v3/pay/transactions/out-trade-no/1/close", true},
		{"POST", "/hk/v3/transactions/id/1/close", true},
		{"POST", "/v3/pay/transactions/out-trade-no/1/reverse", false},
		{"POST", "/v3/pay/transactions/jsapi", false},
		{"POST", "/v3/nowhere", false},
		{"DELETE", "/v3/nowhere", false},
		{"BREW", "/v3/nowhere", false},
	} {
		if got := table.Lookup(tt.method, tt.path).Repeatable; got != tt.want {
			t.Errorf("%s %s: got %v, want %v", tt.method, tt.path, got, tt.want)
		}
	}
}

func TestMayHaveExecuted(t *testing.T) {
	t.Parallel()
	table := newTable(t)
	const order, refund, query, unknown = "POST /v3/pay/transactions/jsapi", "POST /v3/refund/domestic/refunds",
		"GET /v3/certificates", "PATCH /v3/nowhere"
	for _, tt := range []struct {
		call   string
		status int
		want   bool
	}{
		{order, 500, true}, {order, 502, true}, {order, 503, true},
		{order, 200, false}, {order, 400, false}, {order, 401, false}, {order, 429, false}, {order, 501, false},
		{refund, 429, true}, {refund, 500, true}, {refund, 400, false},
		{query, 500, false}, {query, 503, false},
		{unknown, 500, true}, {unknown, 429, false},
	} {
		method, path, _ := strings.Cut(tt.call, " ")
		if got := table.Lookup(method, path).MayHaveExecuted(tt.status); got != tt.want {
			t.Errorf("%s, %d: got %v, want %v", tt.call, tt.status, got, tt.want)
		}
	}
}

func TestLookupDoesNotAllocate(t *testing.T) {
	table := newTable(t)
	for _, path := range []string{
		"/v3/pay/transactions/jsapi",
		"/v3/payscore/serviceorder/direct-complete/cancel",
		"/v3/nowhere/at/all",
	} {
		if n := testing.AllocsPerRun(100, func() { table.Lookup("POST", path) }); n != 0 {
			t.Errorf("%s: %v allocations", path, n)
		}
	}
}

func BenchmarkLookup(b *testing.B) {
	table := newTable(b)
	for _, path := range []string{
		"/v3/pay/transactions/jsapi",
		"/v3/payscore/serviceorder/direct-complete/cancel",
		"/v3/nowhere",
	} {
		b.Run(path[1:], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				table.Lookup("POST", path)
			}
		})
	}
}

var variables = regexp.MustCompile(`\{[^/}]*\}`)

// BenchmarkLookupEvery looks up a path of every row, one after the other, each
// of which must find its own.
func BenchmarkLookupEvery(b *testing.B) {
	table := newTable(b)
	type request struct {
		method, path string
		want         *endpoint.Endpoint
	}
	var requests []request
	for _, e := range table.Endpoints() {
		requests = append(requests, request{e.Method, variables.ReplaceAllString(e.Template, "4200001234202611251234567890"), e})
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		r := requests[i%len(requests)]
		if table.Lookup(r.method, r.path) != r.want {
			b.Fatalf("%s %s finds another row", r.method, r.path)
		}
	}
	b.ReportMetric(float64(len(requests)), "rows")
}

// A slash at the end is part of a path: with one more or less it is another
// call, or none.
func TestTrailingSlashOfEveryRow(t *testing.T) {
	t.Parallel()
	table := newTable(t)
	for _, e := range table.Endpoints() {
		path := variables.ReplaceAllString(e.Template, "x1")
		other, cut := strings.CutSuffix(path, "/")
		if !cut {
			other = path + "/"
		}
		if got := table.Lookup(e.Method, path); got != e {
			t.Errorf("%s %s is taken for %s", e.Method, path, got.Label())
		}
		if got := table.Lookup(e.Method, other); got == e {
			t.Errorf("%s %s is taken for %s", e.Method, other, e.Label())
		}
	}
}

func FuzzLookup(f *testing.F) {
	table := newTable(f)
	labels := map[string]bool{"other": true}
	for _, e := range table.Endpoints() {
		labels[e.Label()] = true
	}
	f.Add("GET", "/v3/pay/transactions/id/1")
	f.Add("POST", "/v3/merchant-service/images/upload")
	f.Add("GET", "/v3/merchant-service/images/%2e%2e")
	f.Add("GET", "//")
	f.Add("", "")
	f.Fuzz(func(t *testing.T, method, path string) {
		e := table.Lookup(method, path)
		if !labels[e.Label()] {
			t.Fatalf("label %q is not of the closed set", e.Label())
		}
		if e.Template != "" && !fits(e.Template, path) {
			t.Fatalf("%q found %q", path, e.Template)
		}
	})
}

// fits says in the plainest way whether a path has a template's form.
func fits(template, path string) bool {
	want, got := strings.Split(template, "/"), strings.Split(path, "/")
	if len(want) != len(got) {
		return false
	}
	for i := range want {
		if strings.HasPrefix(want[i], "{") && got[i] != "" {
			continue
		}
		if want[i] != got[i] {
			return false
		}
	}
	return true
}
