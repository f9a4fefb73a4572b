package sim_test

import (
	"errors"
	"fmt"
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
