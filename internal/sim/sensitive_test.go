package sim_test

import (
	"crypto/rsa"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/wxproxy/wxproxy/internal/sim"
)

// reveal opens what the simulator encrypted for its merchant.
func reveal(t *testing.T, s *sim.Sim, text any) string {
	t.Helper()
	sealed, err := base64.StdEncoding.DecodeString(fmt.Sprint(text))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := rsa.DecryptOAEP(sha1.New(), nil, s.Merchants()[0].PrivateKey, sealed, nil)
	if err != nil {
		t.Fatalf("%v does not open: %v", text, err)
	}
	return string(plain)
}

// Each endpoint takes a name that is encrypted for the key in Wechatpay-Serial
// and refuses the same name in every other way.
func TestEndpointsThatDecrypt(t *testing.T) {
	t.Parallel()
	s := newSim(t, sim.Options{})
	id, key := s.PublicKey()
	order(t, s, "ORDER001", notifyURL)
	if err := s.Pay("ORDER001"); err != nil {
		t.Fatal(err)
	}
	_, paid := call(t, s, "GET", orders+"out-trade-no/ORDER001"+mine, "")
	good, wrong := encrypt(t, key, "张三"), encrypt(t, s.Certificates()[0].PublicKey.(*rsa.PublicKey), "张三")
	for _, endpoint := range []struct{ method, target, body, location, field string }{
		{"POST", "/v3/profitsharing/receivers/add", `{"appid":"wx1","type":"MERCHANT_ID","account":"1","relation_type":"PARTNER","name":"NAME"}`, "body", "/name"},
		{"POST", "/v3/profitsharing/orders", `{"appid":"wx1","transaction_id":"` + fmt.Sprint(paid["transaction_id"]) + `","out_order_no":"P1","receivers":[{"type":"PERSONAL_OPENID","account":"o","name":"NAME","amount":1,"description":"d"}]}`, "body", "/receivers/0/name"},
		{"POST", "/v3/transfer/batches", `{"appid":"wx1","out_batch_no":"B1","batch_name":"b","batch_remark":"r","total_amount":200000,"total_num":1,"transfer_detail_list":[{"out_detail_no":"D1","transfer_amount":200000,"transfer_remark":"r","openid":"o","user_name":"NAME"}]}`, "body", "/transfer_detail_list/0/user_name"},
		{"GET", "/v3/capital/capitallhh/banks/search-banks-by-bank-account?account_number=NAME", "", "query", "account_number"},
	} {
		for _, row := range []struct {
			name, value, serial string
			status              int
			field               string
		}{
			{"encrypted", good, id, 200, ""},
			{"no serial", good, "", 400, ""},
			{"for another key", wrong, id, 400, endpoint.field},
			{"in the clear", "13800138000", id, 400, endpoint.field},
			{"one byte less", good[:340], id, 400, endpoint.field},
		} {
			if row.status == 200 && endpoint.method == "GET" {
				row.value = encrypt(t, key, "6222021234567890")
			}
			target, body := strings.Replace(endpoint.target, "NAME", url.QueryEscape(row.value), 1), strings.Replace(endpoint.body, "NAME", row.value, 1)
			r := newRequest(s, endpoint.method, target, body)
			r.header["Wechatpay-Serial"] = row.serial
			w := r.do(s)
			if w.Code != row.status {
				t.Errorf("%s %s: %d %s", endpoint.target, row.name, w.Code, w.Body)
			}
			if row.field == "" {
				continue
			}
			var e refusal
			decodeJSON(t, w.Body.Bytes(), &e)
			if e.Code != "PARAM_ERROR" || e.Detail.Field != row.field || e.Detail.Location != endpoint.location {
				t.Errorf("%s %s: %+v", endpoint.target, row.name, e)
			}
		}
	}
	for _, text := range []string{`{"name":1}`, `{"name":{}}`, `{"name":["x"]}`} {
		r := newRequest(s, "POST", "/v3/profitsharing/receivers/add", text)
		r.header["Wechatpay-Serial"] = id
		if w := r.do(s); w.Code != 400 || !strings.Contains(w.Body.String(), `"field":"/name"`) {
			t.Errorf("%s: %d %s", text, w.Code, w.Body)
		}
	}
}

// What came in encrypted comes back encrypted, for the merchant's key.
func TestNamesComeBack(t *testing.T) {
	t.Parallel()
	s := newSim(t, sim.Options{})
	id, key := s.PublicKey()
	send := func(target, body string) map[string]any {
		r := newRequest(s, "POST", target, body)
		r.header["Wechatpay-Serial"] = id
		w := r.do(s)
		if w.Code != 200 {
			t.Fatalf("%s: %d %s", target, w.Code, w.Body)
		}
		var answer map[string]any
		decodeJSON(t, w.Body.Bytes(), &answer)
		return answer
	}
	name := encrypt(t, key, "张三")
	added := send("/v3/profitsharing/receivers/add", `{"appid":"wx1","type":"PERSONAL_OPENID","account":"o","relation_type":"PARTNER","name":"`+name+`"}`)
	if got := reveal(t, s, added["name"]); got != "张三" {
		t.Errorf("a receiver came back as %q", got)
	}
	send("/v3/transfer/batches", `{"appid":"wx1","out_batch_no":"B1","batch_name":"b","batch_remark":"r","total_amount":2,"total_num":2,"transfer_detail_list":[{"out_detail_no":"D1","transfer_amount":1,"transfer_remark":"r","openid":"o"},{"out_detail_no":"D2","transfer_amount":1,"transfer_remark":"r","openid":"o","user_name":"`+name+`"}]}`)
	details := "/v3/transfer/batches/out-batch-no/B1/details/out-detail-no/"
	if _, d := call(t, s, "GET", details+"D2", ""); reveal(t, s, d["user_name"]) != "张三" || d["detail_status"] != "SUCCESS" {
		t.Errorf("got %v", d)
	}
	if _, d := call(t, s, "GET", details+"D1", ""); d["user_name"] != nil {
		t.Errorf("got %v", d)
	}
	send("/v3/fund-app/mch-transfer/transfer-bills", `{"appid":"wx1","out_bill_no":"T1","transfer_scene_id":"1000","openid":"o1","user_name":"`+name+`","transfer_amount":1,"transfer_remark":"r"}`)
	if _, d := call(t, s, "GET", "/v3/fund-app/mch-transfer/transfer-bills/out-bill-no/T1", ""); reveal(t, s, d["user_name"]) != "张三" {
		t.Errorf("got %v", d)
	}
}

func TestComplaints(t *testing.T) {
	t.Parallel()
	s := newSim(t, sim.Options{})
	const target = "/v3/merchant-service/complaints-v2"
	_, all := call(t, s, "GET", target+"?begin_date=2026-01-01&end_date=2026-01-31&limit=2&offset=1", "")
	list, _ := all["data"].([]any)
	if len(list) != 2 || all["total_count"] != 3.0 {
		t.Fatalf("got %v", all)
	}
	second := list[0].(map[string]any)
	if got := reveal(t, s, second["payer_phone"]); got != "13800138002" {
		t.Errorf("got %q", got)
	}
	if _, there := list[1].(map[string]any)["payer_phone"]; there {
		t.Error("the last payer left a phone number")
	}
	one := fmt.Sprint(target, "/", second["complaint_id"])
	if _, c := call(t, s, "GET", one, ""); reveal(t, s, c["payer_phone"]) != "13800138002" {
		t.Errorf("got %v", c)
	}
	if _, err := s.Fault(sim.Fault{Kind: sim.FaultBadField, Match: "GET " + target}); err != nil {
		t.Fatal(err)
	}
	_, c := call(t, s, "GET", one, "")
	sealed, _ := base64.StdEncoding.DecodeString(fmt.Sprint(c["payer_phone"]))
	if _, err := rsa.DecryptOAEP(sha1.New(), nil, s.Merchants()[0].PrivateKey, sealed, nil); err == nil || len(sealed) != 256 {
		t.Error("the fault changed nothing")
	}
	play(t, s, []step{
		{"no dates", "GET", target, "", 400, "PARAM_ERROR", nil},
		{"a large page", "GET", target + "?begin_date=2026-01-01&end_date=2026-01-31&limit=51", "", 400, "PARAM_ERROR", nil},
		{"unknown", "GET", target + "/1", "", 404, "RESOURCE_NOT_EXISTS", nil},
	})
}

func TestBatchRefusals(t *testing.T) {
	t.Parallel()
	s := newSim(t, sim.Options{})
	const target = "/v3/transfer/batches"
	body := `{"appid":"wx1","out_batch_no":"B1","batch_name":"b","batch_remark":"r","total_amount":1,"total_num":1,"transfer_detail_list":[{"out_detail_no":"D1","transfer_amount":1,"transfer_remark":"r","openid":"o"}]}`
	change := func(old, with string) string { return strings.Replace(body, old, with, 1) }
	play(t, s, []step{
		{"good", "POST", target, body, 200, "", map[string]any{"batch_status": "ACCEPTED"}},
		{"again", "POST", target, body, 200, "", nil},
		{"other parameters", "POST", target, change(`"batch_name":"b"`, `"batch_name":"c"`), 400, "PARAM_ERROR", nil},
		{"sum", "POST", target, change(`"total_amount":1`, `"total_amount":2`), 400, "PARAM_ERROR", nil},
		{"number", "POST", target, change(`"total_num":1`, `"total_num":2`), 400, "PARAM_ERROR", nil},
		{"batch number", "POST", target, change(`"B1"`, `"B-1"`), 400, "PARAM_ERROR", nil},
		{"nothing", "POST", target, change(`"transfer_amount":1`, `"transfer_amount":0`), 400, "PARAM_ERROR", nil},
		{"no name for much", "POST", target, strings.NewReplacer(`"total_amount":1`, `"total_amount":200000`, `"transfer_amount":1`, `"transfer_amount":200000`).Replace(body), 400, "PARAM_ERROR", nil},
		{"unknown batch", "GET", target + "/out-batch-no/B2/details/out-detail-no/D1", "", 404, "NOT_FOUND", nil},
		{"unknown detail", "GET", target + "/out-batch-no/B1/details/out-detail-no/D2", "", 404, "NOT_FOUND", nil},
	})
}
