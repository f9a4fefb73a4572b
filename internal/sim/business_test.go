package sim_test

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/wxproxy/wxproxy/internal/sim"
)

// step is a request and what must come of it.
type step struct {
	name           string
	method, target string
	body           string
	status         int
	code           string // of an error
	want           map[string]any
}

func play(t *testing.T, s *sim.Sim, steps []step) {
	t.Helper()
	for _, p := range steps {
		status, answer := call(t, s, p.method, p.target, p.body)
		if status != p.status {
			t.Fatalf("%s: got %d %v, want %d", p.name, status, answer, p.status)
		}
		if p.code != "" && answer["code"] != p.code {
			t.Errorf("%s: got code %v, want %s", p.name, answer["code"], p.code)
		}
		for field, want := range p.want {
			if fmt.Sprint(answer[field]) != fmt.Sprint(want) {
				t.Errorf("%s: %s is %v, want %v", p.name, field, answer[field], want)
			}
		}
	}
}

const (
	orders    = "/v3/pay/transactions/"
	refunds   = "/v3/refund/domestic/refunds"
	notifyURL = "http://127.0.0.1:1/notify"
	mine      = "?mchid=" + sim.SimulatedMchID
)

func TestOrders(t *testing.T) {
	t.Parallel()
	s := newSim(t, sim.Options{RefundDelay: -1})
	first := order(t, s, "ORDER001", notifyURL)
	if again := order(t, s, "ORDER001", notifyURL); fmt.Sprint(again) != fmt.Sprint(first) {
		t.Errorf("the same order again: %v, before %v", again, first)
	}
	play(t, s, []step{
		{"other parameters", "POST", orders + "native", strings.Replace(orderBody("ORDER001", notifyURL), "100", "200", 1), 403, "OUT_TRADE_NO_USED", nil},
		{"other product", "POST", orders + "app", orderBody("ORDER001", notifyURL), 403, "OUT_TRADE_NO_USED", nil},
		{"not paid", "GET", orders + "out-trade-no/ORDER001" + mine, "", 200, "", map[string]any{"trade_state": "NOTPAY", "transaction_id": nil}},
		{"unknown", "GET", orders + "out-trade-no/ORDER002" + mine, "", 404, "ORDER_NOT_EXIST", nil},
		{"refund of the unpaid", "POST", refunds, refundBody("ORDER001", "R1", 1, 100), 404, "RESOURCE_NOT_EXISTS", nil},
	})
	if err := s.Pay("ORDER001"); err != nil {
		t.Fatal(err)
	}
	if err := s.Pay("ORDER001"); !errors.Is(err, sim.ErrState) {
		t.Errorf("paying twice: %v", err)
	}
	if err := s.Pay("ORDER002"); !errors.Is(err, sim.ErrUnknown) {
		t.Errorf("paying an unknown order: %v", err)
	}
	_, paid := call(t, s, "GET", orders+"out-trade-no/ORDER001"+mine, "")
	play(t, s, []step{
		{"paid, by transaction", "GET", orders + "id/" + fmt.Sprint(paid["transaction_id"]) + mine, "", 200, "", map[string]any{"trade_state": "SUCCESS", "out_trade_no": "ORDER001"}},
		{"order again when paid", "POST", orders + "native", orderBody("ORDER001", notifyURL), 400, "ORDERPAID", nil},
		{"close when paid", "POST", orders + "out-trade-no/ORDER001/close", `{"mchid":"` + sim.SimulatedMchID + `"}`, 400, "ORDERPAID", nil},
		{"close unknown", "POST", orders + "out-trade-no/ORDER009/close", `{"mchid":"` + sim.SimulatedMchID + `"}`, 404, "ORDER_NOT_EXIST", nil},
		{"second order", "POST", orders + "native", orderBody("ORDER003", notifyURL), 200, "", nil},
		{"close without mchid", "POST", orders + "out-trade-no/ORDER003/close", `{}`, 400, "PARAM_ERROR", nil},
		{"close", "POST", orders + "out-trade-no/ORDER003/close", `{"mchid":"` + sim.SimulatedMchID + `"}`, 204, "", nil},
		{"close again", "POST", orders + "out-trade-no/ORDER003/close", `{"mchid":"` + sim.SimulatedMchID + `"}`, 204, "", nil},
		{"order the closed", "POST", orders + "native", orderBody("ORDER003", notifyURL), 400, "ORDER_CLOSED", nil},
	})
	if err := s.Pay("ORDER003"); !errors.Is(err, sim.ErrState) {
		t.Errorf("paying a closed order: %v", err)
	}
}

func TestRefunds(t *testing.T) {
	t.Parallel()
	s := newSim(t, sim.Options{RefundDelay: -1})
	order(t, s, "ORDER001", notifyURL)
	if err := s.Pay("ORDER001"); err != nil {
		t.Fatal(err)
	}
	play(t, s, []step{
		{"part", "POST", refunds, refundBody("ORDER001", "R1", 60, 100), 200, "", map[string]any{"status": "PROCESSING"}},
		{"the same again", "POST", refunds, refundBody("ORDER001", "R1", 60, 100), 200, "", map[string]any{"status": "PROCESSING"}},
		{"the number with other parameters", "POST", refunds, refundBody("ORDER001", "R1", 30, 100), 400, "INVALID_REQUEST", nil},
		{"more than was paid", "POST", refunds, refundBody("ORDER001", "R2", 41, 100), 403, "NOT_ENOUGH", nil},
		{"wrong total", "POST", refunds, refundBody("ORDER001", "R2", 40, 101), 400, "INVALID_REQUEST", nil},
		{"unknown order", "POST", refunds, refundBody("ORDER002", "R2", 40, 100), 404, "RESOURCE_NOT_EXISTS", nil},
		{"no order", "POST", refunds, refundBody("", "R2", 40, 100), 400, "PARAM_ERROR", nil},
		{"bad number", "POST", refunds, refundBody("ORDER001", "R 2", 40, 100), 400, "PARAM_ERROR", nil},
		{"nothing", "POST", refunds, refundBody("ORDER001", "R2", 0, 100), 400, "PARAM_ERROR", nil},
		{"the rest", "POST", refunds, refundBody("ORDER001", "R2", 40, 100), 200, "", nil},
		{"unknown refund", "GET", refunds + "/R3", "", 404, "RESOURCE_NOT_EXISTS", nil},
		{"order says so", "GET", orders + "out-trade-no/ORDER001" + mine, "", 200, "", map[string]any{"trade_state": "REFUND"}},
	})
	if err := s.EndRefund("R1", sim.RefundSuccess); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"twice":      s.EndRefund("R1", sim.RefundSuccess),
		"bad status": s.EndRefund("R2", "PROCESSING"),
	} {
		if !errors.Is(err, sim.ErrState) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := s.EndRefund("R9", sim.RefundSuccess); !errors.Is(err, sim.ErrUnknown) {
		t.Error(err)
	}
	// A refund that failed gives its amount back.
	if err := s.EndRefund("R2", sim.RefundClosed); err != nil {
		t.Fatal(err)
	}
	play(t, s, []step{
		{"done", "GET", refunds + "/R1", "", 200, "", map[string]any{"status": "SUCCESS"}},
		{"the rest again", "POST", refunds, refundBody("ORDER001", "R3", 40, 100), 200, "", nil},
	})
}

func TestAppIDOfTheMerchant(t *testing.T) {
	t.Parallel()
	s := newSim(t, sim.Options{Merchants: []sim.Merchant{{MchID: sim.SimulatedMchID, AppID: "wx2"}}})
	play(t, s, []step{
		{"other appid", "POST", orders + "native", orderBody("ORDER001", notifyURL), 400, "APPID_MCHID_NOT_MATCH", nil},
		{"its appid", "POST", orders + "native", strings.Replace(orderBody("ORDER001", notifyURL), "wx1", "wx2", 1), 200, "", nil},
	})
}

func TestPartnerAndCombinedOrders(t *testing.T) {
	t.Parallel()
	s := newSim(t, sim.Options{})
	partner := strings.NewReplacer(`"appid"`, `"sub_mchid":"1900000009","sp_appid"`, `"mchid"`, `"sp_mchid"`).Replace(orderBody("PARTNER1", notifyURL))
	combine := `{"combine_appid":"wx1","combine_mchid":"` + sim.SimulatedMchID + `","combine_out_trade_no":"COMBINE1","notify_url":"` + notifyURL + `","sub_orders":[` +
		`{"mchid":"1900000009","out_trade_no":"PART001","attach":"a","description":"d","amount":{"total_amount":10,"currency":"CNY"}},` +
		`{"mchid":"1900000009","out_trade_no":"PART002","attach":"b","description":"d","amount":{"total_amount":20,"currency":"CNY"}}]}`
	combined := "/v3/combine-transactions/"
	play(t, s, []step{
		{"partner", "POST", "/v3/pay/partner/transactions/native", partner, 200, "", nil},
		{"partner query", "GET", "/v3/pay/partner/transactions/out-trade-no/PARTNER1?sp_mchid=" + sim.SimulatedMchID + "&sub_mchid=1900000009", "", 200, "", map[string]any{"sp_mchid": sim.SimulatedMchID, "sub_mchid": "1900000009"}},
		{"combined", "POST", combined + "native", combine, 200, "", nil},
		{"combined again", "POST", combined + "native", combine, 200, "", nil},
		{"combined, other parameters", "POST", combined + "native", strings.Replace(combine, "20", "21", 1), 403, "OUT_TRADE_NO_USED", nil},
		{"combined query", "GET", combined + "out-trade-no/COMBINE1", "", 200, "", map[string]any{"combine_out_trade_no": "COMBINE1"}},
	})
	for _, no := range []string{"PARTNER1", "COMBINE1"} {
		if err := s.Pay(no); err != nil {
			t.Fatal(err)
		}
	}
	play(t, s, []step{
		{"refund of a part", "POST", refunds, refundBody("PART002", "RP2", 5, 20), 200, "", nil},
		{"close when paid", "POST", combined + "out-trade-no/COMBINE1/close", `{"combine_appid":"wx1"}`, 400, "ORDERPAID", nil},
		{"unknown", "GET", combined + "out-trade-no/COMBINE2", "", 404, "ORDER_NOT_EXIST", nil},
	})
}

// encrypt is a sensitive field as the caller makes it.
func encrypt(t *testing.T, key *rsa.PublicKey, plain string) string {
	t.Helper()
	sealed, err := rsa.EncryptOAEP(sha1.New(), rand.Reader, key, []byte(plain), nil)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(sealed)
}

func TestTransfersDecryptTheName(t *testing.T) {
	t.Parallel()
	s := newSim(t, sim.Options{})
	id, key := s.PublicKey()
	const target = "/v3/fund-app/mch-transfer/transfer-bills"
	body := func(no, name string) string {
		return fmt.Sprintf(`{"appid":"wx1","out_bill_no":%q,"transfer_scene_id":"1000","openid":"o1","user_name":%q,"transfer_amount":200000,"transfer_remark":"r","notify_url":%q}`, no, name, notifyURL)
	}
	good, wrong := encrypt(t, key, "张三"), encrypt(t, s.Certificates()[0].PublicKey.(*rsa.PublicKey), "张三")
	for _, row := range []struct {
		name, body, serial string
		status             int
	}{
		{"encrypted", body("B1", good), id, 200},
		{"again", body("B1", good), id, 200},
		{"other parameters", body("B1", encrypt(t, key, "李四")), id, 400},
		{"no serial", body("B2", good), "", 400},
		{"for another key", body("B2", wrong), id, 400},
		{"in the clear", body("B2", "张三"), id, 400},
		{"missing", body("B2", ""), id, 400},
	} {
		r := newRequest(s, "POST", target, row.body)
		r.header["Wechatpay-Serial"] = row.serial
		if w := r.do(s); w.Code != row.status {
			t.Errorf("%s: %d %s", row.name, w.Code, w.Body)
		}
	}
	if err := s.EndTransfer("B1", sim.TransferSuccess); err != nil {
		t.Fatal(err)
	}
	if err := s.EndTransfer("B1", sim.TransferFail); !errors.Is(err, sim.ErrState) {
		t.Error(err)
	}
	play(t, s, []step{
		{"query", "GET", target + "/out-bill-no/B1", "", 200, "", map[string]any{"state": "SUCCESS"}},
		{"unknown", "GET", target + "/transfer-bill-no/9", "", 404, "NOT_FOUND", nil},
	})
}

func TestEcho(t *testing.T) {
	t.Parallel()
	s := newSim(t, sim.Options{})
	id, key := s.PublicKey()
	r := newRequest(s, "POST", "/v3/security/echo", `{"echo_message":"hi","encrypted_echo_message":"`+encrypt(t, key, "secret")+`"}`)
	if w := r.do(s); w.Code != http.StatusBadRequest {
		t.Errorf("without Wechatpay-Serial: %d", w.Code)
	}
	r.header["Wechatpay-Serial"] = id
	w := r.do(s)
	var answer map[string]string
	decodeJSON(t, w.Body.Bytes(), &answer)
	sealed, err := base64.StdEncoding.DecodeString(answer["encrypted_echo_message"])
	if err != nil {
		t.Fatal(err)
	}
	plain, err := rsa.DecryptOAEP(sha1.New(), nil, s.Merchants()[0].PrivateKey, sealed, nil)
	if err != nil || string(plain) != "secret" || answer["echo_message"] != "hi" {
		t.Errorf("got %v, %q, %v", answer, plain, err)
	}
}

func TestProfitSharing(t *testing.T) {
	t.Parallel()
	s := newSim(t, sim.Options{})
	order(t, s, "ORDER001", notifyURL)
	if err := s.Pay("ORDER001"); err != nil {
		t.Fatal(err)
	}
	_, paid := call(t, s, "GET", orders+"out-trade-no/ORDER001"+mine, "")
	id := fmt.Sprint(paid["transaction_id"])
	body := `{"appid":"wx1","transaction_id":"` + id + `","out_order_no":"P1","unfreeze_unsplit":true,"receivers":[{"type":"MERCHANT_ID","account":"1900000009","amount":1,"description":"d"}]}`
	play(t, s, []step{
		{"share", "POST", "/v3/profitsharing/orders", body, 200, "", map[string]any{"state": "PROCESSING"}},
		{"again", "POST", "/v3/profitsharing/orders", body, 200, "", nil},
		{"other parameters", "POST", "/v3/profitsharing/orders", strings.Replace(body, ":1,", ":2,", 1), 400, "INVALID_REQUEST", nil},
		{"unknown order", "POST", "/v3/profitsharing/orders", strings.Replace(body, id, "1", 1), 400, "INVALID_REQUEST", nil},
		{"query", "GET", "/v3/profitsharing/orders/P1?transaction_id=" + id, "", 200, "", map[string]any{"state": "FINISHED"}},
	})
}

func TestBills(t *testing.T) {
	t.Parallel()
	second := sim.Merchant{MchID: "1900000002"}
	s := newSim(t, sim.Options{Merchants: []sim.Merchant{{MchID: sim.SimulatedMchID}, second}})
	for _, path := range []string{"tradebill?bill_date=2026-01-31", "fundflowbill?bill_date=2026-01-31", "tradebill?bill_date=2026-01-31&tar_type=GZIP"} {
		_, answer := call(t, s, "GET", "/v3/bill/"+path, "")
		link, found := strings.CutPrefix(fmt.Sprint(answer["download_url"]), "http://example.com")
		if !found {
			t.Fatalf("%s: download_url %v is not on this host", path, answer["download_url"])
		}
		r := newRequest(s, "GET", link, "")
		w := r.do(s)
		if w.Code != 200 || w.Header().Get("Wechatpay-Signature") != "" {
			t.Fatalf("%s: download answered %d, or signed", path, w.Code)
		}
		content := w.Body.Bytes()
		if strings.Contains(path, "GZIP") {
			content = gunzip(t, content)
		}
		sum := sha1.Sum(content)
		if hex.EncodeToString(sum[:]) != answer["hash_value"] || bytes.Count(content, []byte("\n")) < 300 {
			t.Errorf("%s: %d lines that do not have the promised hash", path, bytes.Count(content, []byte("\n")))
		}
		other := newRequest(s, "GET", link, "")
		m := s.Merchants()[1]
		other.merchant, other.mchID, other.serial = &m, m.MchID, fmt.Sprintf("%X", m.Certificate.SerialNumber)
		if w := other.do(s); w.Code != http.StatusForbidden {
			t.Errorf("%s: another merchant got %d", path, w.Code)
		}
	}
	play(t, s, []step{
		{"no date", "GET", "/v3/bill/tradebill", "", 400, "PARAM_ERROR", nil},
		{"tomorrow", "GET", "/v3/bill/tradebill?bill_date=2999-01-01", "", 400, "NO_STATEMENT_EXIST", nil},
		{"bad token", "GET", "/v3/billdownload/file?token=x", "", 400, "PARAM_ERROR", nil},
	})
}

func gunzip(t *testing.T, b []byte) []byte {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// Of an upload the meta is signed, and promises the file.
func TestUploadRefusals(t *testing.T) {
	t.Parallel()
	s := newSim(t, sim.Options{})
	sum := sha256.Sum256([]byte("picture"))
	meta := fmt.Sprintf(`{"filename":"a.png","sha256":"%x"}`, sum)
	form := func(meta, file string) string {
		return "--X\r\nContent-Disposition: form-data; name=\"meta\"\r\nContent-Type: application/json\r\n\r\n" + meta +
			"\r\n--X\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.png\"\r\nContent-Type: image/png\r\n\r\n" + file + "\r\n--X--\r\n"
	}
	for _, row := range []struct {
		name, body, signed, kind string
		status                   int
	}{
		{"good", form(meta, "picture"), meta, "multipart/form-data; boundary=X", 200},
		{"other file", form(meta, "Picture"), meta, "multipart/form-data; boundary=X", 400},
		{"other meta signed", form(meta, "picture"), meta + " ", "multipart/form-data; boundary=X", 401},
		{"whole body signed", form(meta, "picture"), form(meta, "picture"), "multipart/form-data; boundary=X", 401},
		{"other file type", form(strings.Replace(meta, "png", "exe", 1), "picture"), strings.Replace(meta, "png", "exe", 1), "multipart/form-data; boundary=X", 400},
		{"no boundary", form(meta, "picture"), meta, "multipart/form-data", 400},
		{"no meta", "--X\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\ny\r\n--X--\r\n", "", "multipart/form-data; boundary=X", 400},
		{"cut off", form(meta, "picture")[:200], meta, "multipart/form-data; boundary=X", 400},
		{"JSON", meta, meta, "application/json", 400},
	} {
		r := newRequest(s, "POST", "/v3/merchant/media/upload", row.body)
		r.signed, r.header["Content-Type"] = row.signed, row.kind
		if w := r.do(s); w.Code != row.status {
			t.Errorf("%s: got %d %s, want %d", row.name, w.Code, w.Body, row.status)
		}
	}
}
