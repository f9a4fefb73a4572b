package sim_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/wxproxy/wxproxy/internal/sim"
)

func command(s *sim.Sim, method, target, body string, change func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Host = "127.0.0.1:8088"
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return w
}

func TestControl(t *testing.T) {
	t.Parallel()
	s := newSim(t, sim.Options{RefundDelay: -1})
	order(t, s, "ORDER001", notifyURL)
	for _, row := range []struct {
		name, method, target, body string
		status                     int
		contains                   string
	}{
		{"overview", "GET", "/_sim/", "", 200, sim.SimulatedMchID},
		{"help", "GET", "/_sim/help", "", 200, "curl http://127.0.0.1:8088/_sim/pay"},
		{"log", "GET", "/_sim/log", "", 200, "ORDER001"},
		{"log to its end", "GET", "/_sim/log?since=1", "", 200, "[]"},
		{"log since when", "GET", "/_sim/log?since=x", "", 400, "since"},
		{"public key", "GET", "/_sim/pub_key.pem", "", 200, "-----BEGIN PUBLIC KEY-----"},
		{"pay", "POST", "/_sim/pay", `{"out_trade_no":"ORDER001"}`, 200, "ok"},
		{"pay again", "POST", "/_sim/pay", `{"out_trade_no":"ORDER001"}`, 409, "SUCCESS"},
		{"pay what is not there", "POST", "/_sim/pay", `{"out_trade_no":"ORDER002"}`, 404, "ORDER002"},
		{"misspelt", "POST", "/_sim/pay", `{"order":"ORDER001"}`, 400, "unknown field"},
		{"two commands", "POST", "/_sim/pay", `{"out_trade_no":"A"}{}`, 400, "follows"},
		{"not JSON", "POST", "/_sim/pay", `pay`, 400, "reading"},
		{"refund what is not there", "POST", "/_sim/refund", `{"out_refund_no":"R1"}`, 404, "R1"},
		{"transfer what is not there", "POST", "/_sim/transfer", `{"out_bill_no":"B1"}`, 404, "B1"},
		{"rotate", "POST", "/_sim/rotate", `{"step":"announce"}`, 200, "ok"},
		{"rotate badly", "POST", "/_sim/rotate", `{"step":"retire"}`, 409, "switch"},
		{"public key mode", "POST", "/_sim/public-key", `{"mode":"on","percent":50}`, 200, "ok"},
		{"bad mode", "POST", "/_sim/public-key", `{"mode":"half"}`, 400, "half"},
		{"fault", "POST", "/_sim/faults", `{"kind":"skew","skew":"-301s","match":"GET /v3/x"}`, 200, `"id": 1`},
		{"bad fault", "POST", "/_sim/faults", `{"kind":"skew","skew":"long"}`, 400, "duration"},
		{"faults", "GET", "/_sim/faults", "", 200, `"-5m1s"`},
		{"clear", "DELETE", "/_sim/faults", "", 200, "[]"},
		{"trigger", "POST", "/_sim/trigger", `{"event":"REFUND.SUCCESS","to":"http://127.0.0.1:1/n"}`, 200, "notify_id"},
		{"trigger nothing", "POST", "/_sim/trigger", `{"to":"http://127.0.0.1:1/n"}`, 400, "event"},
		{"trigger nowhere", "POST", "/_sim/trigger", `{"event":"X","to":"nowhere"}`, 400, "nowhere"},
		{"trigger for nobody", "POST", "/_sim/trigger", `{"event":"X","to":"http://127.0.0.1:1/n","mchid":"1"}`, 404, "merchant"},
		{"wrong method", "GET", "/_sim/pay", "", 405, ""},
		{"nothing there", "GET", "/_sim/nothing", "", 404, ""},
		{"too large", "POST", "/_sim/pay", `{"out_trade_no":"` + strings.Repeat("A", 1<<17) + `"}`, 400, "reading"},
	} {
		w := command(s, row.method, row.target, row.body, nil)
		if w.Code != row.status || !strings.Contains(w.Body.String(), row.contains) {
			t.Errorf("%s: got %d %s", row.name, w.Code, w.Body)
		}
	}
}

// Web pages must not reach the control API, neither directly nor by a name that
// was rebound to our address.
func TestControlRefusesPages(t *testing.T) {
	t.Parallel()
	s := newSim(t, sim.Options{})
	for _, row := range []struct {
		name   string
		change func(*http.Request)
		status int
	}{
		{"plain", nil, 200},
		{"localhost", func(r *http.Request) { r.Host = "localhost" }, 200},
		{"IPv6", func(r *http.Request) { r.Host = "[::1]:8088" }, 200},
		{"IPv6 without port", func(r *http.Request) { r.Host = "[::1]" }, 200},
		{"origin", func(r *http.Request) { r.Header.Set("Origin", "http://127.0.0.1:8088") }, 403},
		{"origin null", func(r *http.Request) { r.Header.Set("Origin", "null") }, 403},
		{"fetch metadata", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "none") }, 403},
		{"rebound name", func(r *http.Request) { r.Host = "evil.example.com:8088" }, 403},
		{"name that looks local", func(r *http.Request) { r.Host = "localhost.example.com" }, 403},
		{"no host", func(r *http.Request) { r.Host = "" }, 403},
		{"address of the network", func(r *http.Request) { r.Host = "192.168.0.1:8088" }, 403},
	} {
		if w := command(s, "GET", "/_sim/", "", row.change); w.Code != row.status {
			t.Errorf("%s: got %d, want %d", row.name, w.Code, row.status)
		}
	}
}

func TestOverviewCounts(t *testing.T) {
	t.Parallel()
	s := newSim(t, sim.Options{SpeedUp: 60, RefundDelay: -1})
	order(t, s, "ORDER001", notifyURL)
	if err := s.Pay("ORDER001"); err != nil {
		t.Fatal(err)
	}
	call(t, s, "POST", refunds, refundBody("ORDER001", "R1", 1, 100))
	var o sim.Overview
	if err := json.Unmarshal(command(s, "GET", "/_sim/", "", nil).Body.Bytes(), &o); err != nil {
		t.Fatal(err)
	}
	if o.Orders != 1 || o.Refunds != 1 || o.Waiting != 1 || o.LastSeq != 2 || o.SpeedUp != 60 || !o.Certificates[0].Signs {
		t.Errorf("got %+v", o)
	}
}

// What is remembered is bounded: the oldest is forgotten.
func TestLogIsBounded(t *testing.T) {
	t.Parallel()
	s := newSim(t, sim.Options{})
	for range 2500 {
		s.Handler().ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/v3/certificates", nil))
	}
	entries := s.Log(0)
	if len(entries) > 2000 || entries[len(entries)-1].Seq != 2500 || entries[0].Seq != 2500-int64(len(entries))+1 {
		t.Errorf("%d entries from %d to %d", len(entries), entries[0].Seq, entries[len(entries)-1].Seq)
	}
}
