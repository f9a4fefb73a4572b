package sim_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/wxproxy/wxproxy/internal/sim"
)

func TestLocalhostNamesAreThisMachine(t *testing.T) {
	t.Parallel()
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	t.Cleanup(app.Close)
	_, port, err := net.SplitHostPort(app.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for host, taken := range map[string]bool{
		"pay.localhost": true, "A.LocalHost": true, "localhost": true, "pay.localhost.example.com": false, "notlocalhost": false, "localhost.": false,
	} {
		s := newSim(t, sim.Options{})
		start(t, s)
		if _, err := s.Notify("http://"+host+":"+port+"/notify", sim.Notice{Event: "TRANSACTION.SUCCESS"}); err != nil {
			t.Fatal(err)
		}
		e, err := s.Await(t.Context(), 0, func(e sim.Entry) bool { return e.Kind == sim.KindNotify })
		if err != nil {
			t.Fatal(err)
		}
		if (e.Verdict == sim.VerdictTaken) != taken || !taken && !strings.Contains(e.Reason, "not on this machine") {
			t.Errorf("%s: %s %s", host, e.Verdict, e.Reason)
		}
	}
}
