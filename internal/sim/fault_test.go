package sim_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxproxy/wxproxy/internal/sim"
)

func TestStatusFaults(t *testing.T) {
	t.Parallel()
	s := newSim(t, sim.Options{})
	for _, row := range []struct {
		fault  sim.Fault
		status int
		code   string
		exists bool // whether the order was made all the same
	}{
		{sim.Fault{Kind: sim.FaultStatus}, 503, "SERVICE_UNAVAILABLE", false},
		{sim.Fault{Kind: sim.FaultStatus, Status: 429}, 429, "FREQUENCY_LIMITED", false},
		{sim.Fault{Kind: sim.FaultStatus, Status: 500}, 500, "SYSTEM_ERROR", false},
		{sim.Fault{Kind: sim.FaultStatus, Status: 502, Code: "MINE"}, 502, "MINE", false},
		{sim.Fault{Kind: sim.FaultStatus, Status: 500, After: true}, 500, "SYSTEM_ERROR", true},
	} {
		if _, err := s.Fault(row.fault); err != nil {
			t.Fatal(err)
		}
		no := fmt.Sprintf("FAULT%d%v%s", row.status, row.exists, row.fault.Code)
		status, answer := call(t, s, "POST", orders+"native", orderBody(no, notifyURL))
		if status != row.status || answer["code"] != row.code {
			t.Errorf("%+v: got %d %v", row.fault, status, answer)
		}
		if e := last(t, s); e.Fault != sim.FaultStatus {
			t.Errorf("%+v: log: %+v", row.fault, e)
		}
		status, _ = call(t, s, "GET", orders+"out-trade-no/"+no+mine, "")
		if exists := status == http.StatusOK; exists != row.exists {
			t.Errorf("%+v: the order exists: %v", row.fault, exists)
		}
	}
}

// A fault happens where it was ordered and as often, and is not used up where it
// can have no effect.
func TestFaultsMatchAndCount(t *testing.T) {
	t.Parallel()
	s := newSim(t, sim.Options{})
	if _, err := s.Fault(sim.Fault{Kind: sim.FaultUnsigned, Match: "GET /v3/cert", Count: 2}); err != nil {
		t.Fatal(err)
	}
	signed := func(method, target, body string) bool {
		return newRequest(s, method, target, body).do(s).Header().Get("Wechatpay-Signature") != ""
	}
	order(t, s, "ORDER001", notifyURL)
	r := newRequest(s, "GET", "/v3/certificates", "")
	r.nonce, r.signed = "x", "not this"
	if w := r.do(s); w.Code != http.StatusUnauthorized {
		t.Fatal(w.Code)
	}
	for i, want := range []bool{false, false, true} {
		if got := signed("GET", "/v3/certificates", ""); got != want {
			t.Errorf("answer %d is signed: %v", i, got)
		}
	}
	if left := s.Faults(); len(left) != 0 {
		t.Errorf("left: %+v", left)
	}
	if _, err := s.Fault(sim.Fault{Kind: sim.FaultUnsigned, Count: -1}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if signed("GET", "/v3/certificates", "") {
			t.Error("signed, although a fault stands until it is cleared")
		}
	}
	s.ClearFaults()
	if !signed("GET", "/v3/certificates", "") {
		t.Error("unsigned after the faults were cleared")
	}
}

func TestBadFaults(t *testing.T) {
	t.Parallel()
	s := newSim(t, sim.Options{})
	for _, f := range []sim.Fault{
		{},
		{Kind: "wobbly"},
		{Kind: sim.FaultReset, On: sim.OnNotify},
		{Kind: sim.FaultDuplicate, On: sim.OnAnswer},
		{Kind: sim.FaultProbe, On: "both"},
		{Kind: sim.FaultStatus, Status: 200},
		{Kind: sim.FaultSlow, Delay: sim.Duration(time.Hour)},
		{Kind: sim.FaultSlow, Delay: -1},
	} {
		if _, err := s.Fault(f); !errors.Is(err, sim.ErrFault) {
			t.Errorf("%+v: %v", f, err)
		}
	}
	for i := range 101 {
		if _, err := s.Fault(sim.Fault{Kind: sim.FaultProbe}); (err != nil) != (i == 100) {
			t.Errorf("fault %d: %v", i, err)
		}
	}
	if _, err := s.Send(t.Context(), "http://127.0.0.1:1", sim.Notice{Event: "X"}, &sim.Fault{Kind: sim.FaultDrop}); !errors.Is(err, sim.ErrFault) {
		t.Errorf("sending with a fault that spoils no delivery: %v", err)
	}
}

// A reset breaks the connection inside the body that was promised.
func TestReset(t *testing.T) {
	t.Parallel()
	s := newSim(t, sim.Options{})
	server := httptest.NewUnstartedServer(s.Handler())
	server.Start()
	t.Cleanup(server.Close)
	if _, err := s.Fault(sim.Fault{Kind: sim.FaultReset}); err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r := newRequest(s, "GET", "/v3/certificates", "").build()
	r.Host = "127.0.0.1"
	if err := r.Write(conn); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if !errors.Is(err, io.ErrUnexpectedEOF) || int64(len(body)) != resp.ContentLength/2 {
		t.Errorf("read %d of %d bytes, then %v", len(body), resp.ContentLength, err)
	}
}

func TestSlowAnswers(t *testing.T) {
	t.Parallel()
	keys := newKeys()
	for _, kind := range []string{sim.FaultSlow, sim.FaultStall} {
		synctest.Test(t, func(t *testing.T) {
			s := newSim(t, sim.Options{NewKey: keys})
			if _, err := s.Fault(sim.Fault{Kind: kind, Delay: sim.Duration(7 * time.Second)}); err != nil {
				t.Fatal(err)
			}
			begin := time.Now()
			w := newRequest(s, "GET", "/v3/certificates", "").do(s)
			if took := time.Since(begin); took != 7*time.Second || w.Code != http.StatusOK {
				t.Errorf("%s: %d after %v", kind, w.Code, took)
			}
			if fmt.Sprint(w.Body.Len()) != w.Header().Get("Content-Length") {
				t.Errorf("%s: %d bytes of %s", kind, w.Body.Len(), w.Header().Get("Content-Length"))
			}
		})
	}
}
