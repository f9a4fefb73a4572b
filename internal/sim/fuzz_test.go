package sim_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/wxproxy/wxproxy/internal/sim"
)

// Whatever is sent, signed or not, is answered: nothing panics, and nothing but
// a success is signed.
func FuzzRequest(f *testing.F) {
	s := newSim(f, sim.Options{})
	order(f, s, "ORDER001", notifyURL)
	meta := "--X\r\nContent-Disposition: form-data; name=\"meta\"\r\n\r\n{}\r\n--X--\r\n"
	for _, seed := range [][4]string{
		{"POST", "/v3/pay/transactions/native", "application/json", orderBody("ORDER002", notifyURL)},
		{"POST", "/v3/combine-transactions/app", "application/json", `{"sub_orders":[{}]}`},
		{"GET", "/v3/pay/transactions/out-trade-no/ORDER001?mchid=1900000001", "", ""},
		{"POST", "/v3/pay/transactions/out-trade-no/ORDER001/close", "application/json", `{"mchid":"1900000001"}`},
		{"POST", "/v3/refund/domestic/refunds", "application/json", refundBody("ORDER001", "R1", 1, 100)},
		{"POST", "/v3/fund-app/mch-transfer/transfer-bills", "application/json", `{"out_bill_no":"1","user_name":"AAAA"}`},
		{"POST", "/v3/security/echo", "application/json", `{"echo_message":"a"}`},
		{"POST", "/v3/profitsharing/orders", "application/json", `{"receivers":[{"name":"x"}]}`},
		{"POST", "/v3/merchant/media/upload", "multipart/form-data; boundary=X", meta},
		{"GET", "/v3/bill/tradebill?bill_date=2026-01-01&tar_type=GZIP", "", ""},
		{"GET", "/v3/certificates", "", ""},
		{"DELETE", "/v3/%zz/..//", "text/plain", "x"},
	} {
		f.Add(seed[0], seed[1], seed[2], seed[3], true)
		f.Add(seed[0], seed[1], seed[2], seed[3], false)
	}
	f.Fuzz(func(t *testing.T, method, target, contentType, body string, signed bool) {
		r := httptest.NewRequest("GET", "/", strings.NewReader(body))
		if signed {
			r.Header.Set("Authorization", newRequest(s, method, target, body).sign(method, target))
		}
		r.Method, r.RequestURI = method, target
		r.Header.Set("User-Agent", "fuzz")
		r.Header.Set("Accept", "*/*")
		r.Header.Set("Content-Type", contentType)
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		if has := w.Header().Get("Wechatpay-Signature") != ""; has && w.Code >= http.StatusMultipleChoices {
			t.Errorf("%q %q answered %d, signed", method, target, w.Code)
		}
	})
}

// Orders of the control API must not panic either.
func FuzzControl(f *testing.F) {
	s := newSim(f, sim.Options{})
	for _, seed := range [][2]string{
		{"pay", `{"out_trade_no":"ORDER001"}`},
		{"refund", `{"out_refund_no":"R","status":"CLOSED"}`},
		{"faults", `{"kind":"slow","delay":"1s"}`},
		{"public-key", `{"mode":"on","percent":1e-3}`},
		{"trigger", `{"event":"X","to":"http://127.0.0.1/n","resource":[1]}`},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, name, body string) {
		if name == "rotate" {
			return // makes keys, which is slow and takes nothing else from outside
		}
		r := httptest.NewRequest("POST", "/_sim/", strings.NewReader(body))
		r.URL.Path, r.Host = "/_sim/"+name, "localhost"
		s.Handler().ServeHTTP(httptest.NewRecorder(), r)
		s.ClearFaults()
	})
}
