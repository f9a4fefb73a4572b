package sim

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/wxproxy/wxproxy/internal/wire"
)

// call is one API request, read and being judged.
type call struct {
	method string
	target string // as on the wire, which is what was signed
	path   string // of target, escaped
	query  url.Values
	vars   map[string]string // of the path, decoded
	header http.Header
	base   string // scheme and host by which the caller reached us

	merchant *Merchant
	body     []byte  // as sent
	signed   []byte  // what the signature covers: body, or the meta of an upload
	upload   *upload // nil but for uploads
	serial   string  // Wechatpay-Serial of the request; empty: none

	entry Entry // what the log will say
}

// route is one endpoint that the simulator has.
type route struct {
	method   string
	segments []string
	agent    bool // refuses requests without User-Agent or Accept
	upload   bool
	// sensitive are the paths of fields that callers encrypt; the endpoint gets
	// them in plain.
	sensitive []string
	handle    func(*call) (answer, error)
}

func newRoute(method, template string, handle func(*call) (answer, error)) route {
	return route{method: method, segments: strings.Split(template, "/"), handle: handle}
}

// match compares the path, escaped as on the wire, with the template and
// returns the decoded variables.
func (t *route) match(path string) (map[string]string, bool) {
	parts := strings.Split(path, "/")
	if len(parts) != len(t.segments) {
		return nil, false
	}
	vars := make(map[string]string)
	for i, want := range t.segments {
		if !strings.HasPrefix(want, "{") {
			if parts[i] != want {
				return nil, false
			}
			continue
		}
		value, err := url.PathUnescape(parts[i])
		if err != nil || value == "" {
			return nil, false
		}
		vars[strings.Trim(want, "{}")] = value
	}
	return vars, true
}

// find returns the route of a request, or whether the path exists with
// another method.
func (s *Sim) find(method, path string) (found *route, vars map[string]string, otherMethod bool) {
	for i := range s.routes {
		t := &s.routes[i]
		v, ok := t.match(path)
		if !ok {
			continue
		}
		if t.method == method {
			return t, v, false
		}
		otherMethod = true
	}
	return nil, nil, otherMethod
}

// table lists the endpoints, literal paths before those that they could match.
func (s *Sim) table() []route {
	var list []route
	add := func(method, template string, handle func(*call) (answer, error)) *route {
		list = append(list, newRoute(method, template, handle))
		return &list[len(list)-1]
	}
	for _, family := range []string{"/v3/pay/transactions", "/v3/pay/partner/transactions"} {
		for _, product := range []string{"jsapi", "native", "app", "h5"} {
			add("POST", family+"/"+product, s.prepay(product))
		}
		add("GET", family+"/id/{transaction_id}", s.queryOrder)
		add("GET", family+"/out-trade-no/{out_trade_no}", s.queryOrder)
		add("POST", family+"/out-trade-no/{out_trade_no}/close", s.closeOrder)
	}
	for _, product := range []string{"jsapi", "native", "app", "h5"} {
		add("POST", "/v3/combine-transactions/"+product, s.combinePrepay(product))
	}
	add("GET", "/v3/combine-transactions/out-trade-no/{combine_out_trade_no}", s.queryCombined)
	add("POST", "/v3/combine-transactions/out-trade-no/{combine_out_trade_no}/close", s.closeCombined)
	add("POST", "/v3/refund/domestic/refunds", s.refund).agent = true
	add("GET", "/v3/refund/domestic/refunds/{out_refund_no}", s.queryRefund).agent = true
	for _, path := range []string{"/v3/certificates", "/v3/global/certificates", "/hk/v3/certificates"} {
		add("GET", path, s.listCertificates).agent = true
	}
	add("POST", "/v3/security/echo", s.echo).sensitive = []string{"encrypted_echo_message"}
	add("GET", "/v3/bill/tradebill", s.bill(tradeBill))
	add("GET", "/v3/bill/fundflowbill", s.bill(fundFlowBill))
	add("GET", "/v3/bill/sub-merchant-fundflowbill", s.encryptedBill("algorithm", pathEncryptedBill))
	add("GET", "/v3/ecommerce/bill/fundflowbill", s.encryptedBill("algorithm", pathEncryptedBill))
	add("GET", "/v3/payscore/merchant-bill", s.encryptedBill("encryption_algorithm", pathPayScoreBill))
	add("GET", "/v3/fund-app/mch-transfer/elecsign/out-bill-no/{out_bill_no}", s.receipt)
	for _, path := range []string{pathBill, pathEncryptedBill, pathPayScoreBill, pathReceipt} {
		add("GET", path, s.download)
	}
	add("GET", "/v3/merchant-service/images/{media_id}", s.downloadImage)
	for _, prefix := range []string{"", "/hk"} {
		add("GET", prefix+"/v3/statements", s.statement)
	}
	add("GET", "/v3/global/statements", s.statement)
	for i := range forms {
		add("POST", forms[i].template, forms[i].upload).upload = true
	}
	add("POST", "/v3/fund-app/mch-transfer/transfer-bills", s.transfer).sensitive = []string{"user_name"}
	add("GET", "/v3/fund-app/mch-transfer/transfer-bills/out-bill-no/{out_bill_no}", s.queryTransfer)
	add("GET", "/v3/fund-app/mch-transfer/transfer-bills/transfer-bill-no/{transfer_bill_no}", s.queryTransfer)
	add("POST", "/v3/transfer/batches", s.transferBatch).sensitive = []string{"transfer_detail_list[].user_name"}
	add("GET", "/v3/transfer/batches/out-batch-no/{out_batch_no}/details/out-detail-no/{out_detail_no}", s.queryBatchDetail)
	add("POST", "/v3/profitsharing/receivers/add", s.addReceiver).sensitive = []string{"name"}
	add("GET", "/v3/merchant-service/complaints-v2", s.listComplaints)
	add("GET", "/v3/merchant-service/complaints-v2/{complaint_id}", s.queryComplaint)
	add("GET", "/v3/capital/capitallhh/banks/search-banks-by-bank-account", s.searchBank)
	add("POST", "/v3/profitsharing/orders", s.shareProfit).sensitive = []string{"receivers[].name"}
	add("GET", "/v3/profitsharing/orders/{out_order_no}", s.querySharing)
	return list
}

// newCall takes the request target from the request line: nothing may clean or
// decode it before the signature is verified.
func newCall(r *http.Request) *call {
	c := &call{method: r.Method, target: r.RequestURI, header: r.Header}
	var query string
	c.path, query, _ = strings.Cut(c.target, "?")
	c.query, _ = url.ParseQuery(query)
	c.base = "http://" + r.Host
	if r.TLS != nil {
		c.base = "https://" + r.Host
	}
	if v := r.Header[wire.HeaderSerial]; len(v) > 0 {
		c.serial = v[0]
	}
	c.entry = Entry{Kind: KindRequest, Method: c.method, Target: cut(c.target, 256)}
	return c
}

// cut bounds a text from outside that goes to the log.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n] + "…"
}
