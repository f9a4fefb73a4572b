package main

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/wxproxy/wxproxy/internal/config"
)

const quitConfig = `outbound: {listen: "127.0.0.1:0", upstreams: ["http://127.0.0.1:9"]}
notify: {listen: "127.0.0.1:0", routes: [{path: /n, to: "http://127.0.0.1:9/"}]}
`

// runSidecar starts a sidecar that the test itself stops and awaits.
func runSidecar(t *testing.T, file string) (s *sidecar, stop func(), ended <-chan error) {
	t.Helper()
	cfg, err := config.Load(file, config.Sources{})
	if err != nil {
		t.Fatal(err)
	}
	if s, err = newSidecar(t.Context(), cfg, discard()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	return s, cancel, done
}

func TestQuitEndsServe(t *testing.T) {
	t.Parallel()
	_, file := setup(t, quitConfig)
	var stderr bytes.Buffer
	if code := runQuit(t.Context(), []string{"-c", file}, &stderr); code != exitFailed || !strings.Contains(stderr.String(), "no serve answers") {
		t.Errorf("without serve: %d %s", code, &stderr)
	}
	_, stop, ended := runSidecar(t, file)
	defer stop()
	if code := runQuit(t.Context(), []string{"-c", file}, &stderr); code != exitFine {
		t.Fatalf("%d %s", code, &stderr)
	}
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
}

// An app that is stopped at the same time still calls out after its last
// notify, until it says that it is done.
func TestOutboundLingersUntilQuit(t *testing.T) {
	t.Parallel()
	_, file := setup(t, quitConfig+"shutdown_grace: 2h\nshutdown_linger: 1h\n")
	s, stop, ended := runSidecar(t, file)
	stop()
	for { // until the notify port has closed
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.address(roleNotify))
		if err != nil {
			break
		}
		_ = c.Close()
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.address(roleOutbound)+"/v3/certificates", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
	if err != nil {
		t.Fatalf("outbound has stopped with notify: %v", err)
	}
	_ = answer.Body.Close()
	s.quit()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
}

// A load balancer sees that we leave before we do.
func TestNotReadyBeforeNotifyStops(t *testing.T) {
	t.Parallel()
	_, file := setup(t, quitConfig+"shutdown_grace: 2h\nshutdown_delay: 1h\n")
	s, stop, ended := runSidecar(t, file)
	stop()
	for !s.draining.Load() {
		time.Sleep(time.Millisecond)
	}
	if st := s.statuses()[0]; st.Ready {
		t.Errorf("ready while shutting down: %+v", st)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.address(roleNotify)+"/n", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
	if err != nil {
		t.Fatalf("notify stopped without delay: %v", err)
	}
	_ = answer.Body.Close()
	s.quit()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestConfigInAVariable(t *testing.T) {
	_, file := setup(t, quitConfig)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	if code := runQuit(t.Context(), []string{"-c", "env:SHOP_CONFIG"}, &stderr); code != exitUsage || !strings.Contains(stderr.String(), "not set") {
		t.Errorf("unset: %d %s", code, &stderr)
	}
	t.Setenv("SHOP_CONFIG", strings.ReplaceAll(string(text), "file:", "file:/nowhere/"))
	stderr.Reset()
	if code := runQuit(t.Context(), []string{"-c", "env:SHOP_CONFIG"}, &stderr); code != exitUsage || !strings.Contains(stderr.String(), "env:SHOP_CONFIG:3") {
		t.Errorf("faults do not name the variable and line: %d %s", code, &stderr)
	}
}
