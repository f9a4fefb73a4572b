package proxy_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wxproxy/wxproxy/proxy"
)

// faulty is a WeChat Pay that fails as it is told: attempt after attempt, on
// whatever host. It lives in a bubble, in memory, so that time costs nothing.
type faulty struct {
	t *testing.T

	mu       sync.Mutex
	script   []string            // what becomes of the attempts; then all is well
	down     map[string]string   // what becomes of every attempt at a host
	dials    []string            // the hosts, in order
	at       []time.Duration     // when, since the start
	requests []call              // that were read whole
	executed int                 // requests that took effect
	numbers  map[string]struct{} // of those that take effect once
	start    time.Time
}

// faults are what can become of an attempt; true: the request takes effect.
var faults = map[string]bool{
	"refused": false, "hangs": false, "closes": false, "reset": true, "cut": true, "status 100": true,
	"500": true, "500 untouched": false, "502": true, "503": false, "504": true,
	"429": false, "429 later": false, "probe": true, "unsigned": true, "flipped": true, "400": false,
}

func newFaulty(t *testing.T, script ...string) *faulty {
	t.Helper()
	time.Sleep(3 * 365 * 24 * time.Hour) // to where timestamps have the digits of today's
	return &faulty{t: t, script: script, down: make(map[string]string), numbers: make(map[string]struct{}), start: time.Now()}
}

// dial is one attempt: connections are used once.
func (f *faulty) dial(ctx context.Context, _, address string) (net.Conn, error) {
	host, _, _ := net.SplitHostPort(address)
	f.mu.Lock()
	fault := f.down[host]
	if len(f.script) > 0 {
		fault, f.script = f.script[0], f.script[1:]
	}
	f.dials, f.at = append(f.dials, host), append(f.at, time.Since(f.start))
	f.mu.Unlock()
	switch fault {
	case "refused":
		return nil, errors.New("connection refused")
	case "hangs":
		<-ctx.Done()
		return nil, ctx.Err()
	}
	ours, theirs := net.Pipe()
	go func() {
		defer func() { _ = theirs.Close() }()
		f.serve(theirs, fault)
	}()
	return ours, nil
}

func (f *faulty) serve(conn net.Conn, fault string) {
	if fault == "closes" {
		return
	}
	r, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	f.note(call{Method: r.Method, Target: r.RequestURI, Header: r.Header, Body: body}, fault)
	text := `{"prepay_id":"wx26112221580621e9b071c00d9e093b0000"}`
	status, h := 200, http.Header{"Content-Type": {"application/json"}, "Connection": {"close"}}
	stamp(h, keys().platform, platformSerial, time.Now(), []byte(text))
	switch fault {
	case "reset":
		return
	case "status 100":
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\n\r\n")
		return
	case "probe":
		h.Set("Wechatpay-Signature", "WECHATPAY/SIGNTEST/"+h.Get("Wechatpay-Signature"))
	case "unsigned":
		h.Del("Wechatpay-Signature")
	case "flipped":
		text = strings.Replace(text, "wx", "xw", 1)
	case "429 later":
		h.Set("Retry-After", "2")
	}
	if n, err := fmt.Sscanf(fault, "%d", &status); n == 1 && err == nil {
		text = fmt.Sprintf(`{"code":"X%d","message":"m"}`, status)
		maps.DeleteFunc(h, func(name string, _ []string) bool { return strings.HasPrefix(name, "Wechatpay-") })
	}
	sent := text
	if fault == "cut" {
		sent = text[:10]
	}
	h.Set("Content-Length", fmt.Sprint(len(text)))
	_, _ = fmt.Fprintf(conn, "HTTP/1.1 %d %s\r\n", status, http.StatusText(status))
	_ = h.Write(conn)
	_, _ = io.WriteString(conn, "\r\n"+sent)
}

// note books a request; with its number it takes effect once.
func (f *faulty) note(c call, fault string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests = append(f.requests, c)
	if takes, known := faults[fault]; known && !takes {
		return
	}
	_, number, _ := strings.Cut(string(c.Body), `"out_trade_no":"`)
	if number, keyed := strings.CutSuffix(number, `"}`); keyed && c.Target == "/v3/pay/transactions/jsapi" {
		if _, again := f.numbers[number]; again {
			return
		}
		f.numbers[number] = struct{}{}
	}
	f.executed++
}

// face is an outbound face before two hosts of this WeChat Pay.
func (f *faulty) face(edits ...func(*setup)) (http.Handler, *proxy.Upstream) {
	f.t.Helper()
	s := &setup{upstream: proxy.UpstreamOptions{Bases: bases(f.t, "http://main", "http://backup"), Dial: f.dial}}
	s.Merchants, s.Table = []*proxy.Merchant{shop(f.t, newTrust())}, table(f.t)
	s.Limits = proxy.Limits{Request: 1 << 20, Response: 1 << 20, InFlight: 8 << 20}
	for _, edit := range edits {
		edit(s)
	}
	up, err := proxy.NewUpstream(s.upstream)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(up.Close)
	s.Upstream = up
	out, err := proxy.NewOutbound(s.OutboundOptions)
	if err != nil {
		f.t.Fatal(err)
	}
	return out.Handler(proxy.Listener{}), up
}

// do makes one call of the app.
func (f *faulty) do(face http.Handler, method, target, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(f.t.Context(), method, target, strings.NewReader(body))
	r.Host = "localhost"
	w := httptest.NewRecorder()
	face.ServeHTTP(w, r)
	return w
}

// kind is a call, and whether the table says that it may be repeated.
type kind struct {
	name, method, target, body string
	repeatable                 bool
	harmless                   bool // it changes nothing, or nothing twice
}

var kinds = []kind{
	{"GET", "GET", "/v3/pay/transactions/id/1", "", true, true},
	{"GET not in the table", "GET", "/v3/x", "", true, true},
	{"close", "POST", "/v3/pay/transactions/out-trade-no/1/close", `{"mchid":"1900000001"}`, true, true},
	{"order with its number", "POST", "/v3/pay/transactions/jsapi", `{"out_trade_no":"T1"}`, true, false},
	{"order without number", "POST", "/v3/pay/transactions/jsapi", `{"out_refund_no":"T1"}`, false, false},
	{"number is null", "POST", "/v3/pay/transactions/jsapi", `{"out_trade_no":null}`, false, false},
	{"POST not in the table", "POST", "/v3/x", `{"out_trade_no":"T1"}`, false, false},
	{"PUT", "PUT", "/v3/x", `{}`, false, false},
	{"PATCH", "PATCH", "/v3/x", `{}`, false, false},
	{"DELETE", "DELETE", "/v3/x", "", false, false},
}

// Whatever fails, and however often: a call that may not be repeated is never
// sent twice, and an app is never told that a call failed which took effect.
func TestFaultsHaveNoSecondEffect(t *testing.T) {
	t.Parallel()
	keys()
	var scripts [][]string
	for _, a := range slices.Sorted(maps.Keys(faults)) {
		scripts = append(scripts, []string{a}, []string{a, a, a}, []string{a, a, a, a})
	}
	different := []string{"refused", "closes", "reset", "cut", "500", "503", "429", "probe", "400"}
	for _, a := range different {
		for _, b := range different {
			scripts = append(scripts, []string{a, b}, []string{"refused", a, b})
		}
	}
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			for _, script := range scripts {
				synctest.Test(t, func(t *testing.T) {
					f := newFaulty(t, script...)
					face, _ := f.face()
					f.judge(k, f.do(face, k.method, k.target, k.body), script)
				})
				if t.Failed() {
					return
				}
			}
		})
	}
}

func (f *faulty) judge(k kind, w *httptest.ResponseRecorder, script []string) {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	wrong := func(format string, args ...any) {
		f.t.Helper()
		f.t.Errorf("%s, %v: %s; answer %d %v %s; attempts at %v after %v",
			k.name, script, fmt.Sprintf(format, args...), w.Code, w.Header(), w.Body, f.dials, f.at)
	}
	freshlySigned(f.t, f.requests, len(f.requests))
	if n := len(f.dials); n > 3 || w.Header().Get("Wxproxy-Attempts") != fmt.Sprint(n) {
		wrong("%d attempts", n)
	}
	if !k.repeatable && len(f.requests) > 1 {
		wrong("sent %d times", len(f.requests))
	}
	if !k.harmless && f.executed > 1 {
		wrong("took effect %d times", f.executed)
	}
	fine := w.Code == 200 && w.Header().Get("Wxproxy-Verified") == "true"
	unknown := w.Header().Get("Wxproxy-Error") == "result_unknown" || w.Header().Get("Wxproxy-Result") == "unknown"
	if fine && f.executed == 0 {
		wrong("nothing took effect")
	}
	if !fine && f.executed > 0 && !k.harmless && !unknown {
		wrong("it took effect, and the app is told that it did not")
	}
	if strings.Contains(w.Body.String(), "nothing was sent") && len(f.requests) > 0 {
		wrong("the app is told that nothing was sent")
	}
}

// What may be repeated gets through a trouble that two repeats outlast.
func TestRepeatsGetThrough(t *testing.T) {
	t.Parallel()
	keys()
	for fault := range faults {
		if fault == "400" {
			continue
		}
		for _, k := range kinds {
			if !k.repeatable {
				continue
			}
			synctest.Test(t, func(t *testing.T) {
				f := newFaulty(t, fault, fault)
				face, _ := f.face()
				if w := f.do(face, k.method, k.target, k.body); w.Code != 200 || w.Header().Get("Wxproxy-Attempts") != "3" {
					t.Errorf("%s, %s: %d after %s attempts", k.name, fault, w.Code, w.Header().Get("Wxproxy-Attempts"))
				}
			})
		}
	}
}

// When all tries are used up, what WeChat Pay said last passes as it is.
func TestLastAnswerPasses(t *testing.T) {
	t.Parallel()
	keys()
	for status, result := range map[string]string{"500": "unknown", "502": "unknown", "503": "unknown", "504": "unknown", "429": ""} {
		synctest.Test(t, func(t *testing.T) {
			f := newFaulty(t, status, status, status)
			face, _ := f.face()
			w := f.do(face, "POST", "/v3/pay/transactions/jsapi", `{"out_trade_no":"T1"}`)
			if fmt.Sprint(w.Code) != status || w.Body.String() != `{"code":"X`+status+`","message":"m"}` ||
				w.Header().Get("Wxproxy-Result") != result || w.Header().Get("Wxproxy-Verified") != "false" {
				t.Errorf("%s: got %d %s %v", status, w.Code, w.Body, w.Header())
			}
		})
	}
}

// The pauses double and vary, Retry-After counts, and no attempt begins after
// the deadline.
func TestPauses(t *testing.T) {
	t.Parallel()
	keys()
	for _, test := range []struct {
		name     string
		script   []string
		timeout  time.Duration
		attempts int
		least    []time.Duration // before each attempt
		most     []time.Duration
	}{
		{"doubling", []string{"500", "500", "500"}, 30 * time.Second, 3, []time.Duration{75, 150}, []time.Duration{125, 250}},
		{"elsewhere at once", []string{"refused"}, 30 * time.Second, 2, []time.Duration{0}, []time.Duration{0}},
		{"then as always", []string{"refused", "refused"}, 30 * time.Second, 3, []time.Duration{0, 150}, []time.Duration{0, 250}},
		{"Retry-After", []string{"429 later", "500"}, 30 * time.Second, 3, []time.Duration{2000, 150}, []time.Duration{2000, 250}},
		{"Retry-After after the deadline", []string{"429 later"}, time.Second, 1, nil, nil},
		{"no time for a pause", []string{"500"}, 50 * time.Millisecond, 1, nil, nil},
		{"time for one", []string{"500", "500", "500"}, 220 * time.Millisecond, 2, []time.Duration{75}, []time.Duration{125}},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFaulty(t, test.script...)
			face, _ := f.face(func(s *setup) { s.Timeout = test.timeout })
			w := f.do(face, "GET", "/v3/x", "")
			if len(f.dials) != test.attempts {
				t.Fatalf("%s: %d attempts, want %d: %d %s", test.name, len(f.dials), test.attempts, w.Code, w.Body)
			}
			for i := range test.least {
				pause := f.at[i+1] - f.at[i]
				if pause < test.least[i]*time.Millisecond || pause > test.most[i]*time.Millisecond {
					t.Errorf("%s: pause %d is %s", test.name, i+1, pause)
				}
			}
		})
	}
}

// A host that fails comes last for 30 seconds. Then a call that may be repeated
// finds out whether it is back, and others follow.
func TestBackupTakesOverAndHandsBack(t *testing.T) {
	t.Parallel()
	keys()
	for _, trouble := range []struct {
		fault string
		calls int // until the host is known to fail
	}{{"refused", 1}, {"hangs", 1}, {"503", 5}, {"reset", 5}} {
		synctest.Test(t, func(t *testing.T) {
			f := newFaulty(t)
			face, up := f.face()
			reg := prometheus.NewRegistry()
			reg.MustRegister(up)
			get := func() { f.do(face, "GET", "/v3/x", "") }
			write := func() { f.do(face, "POST", "/v3/x", "{}") }
			asked := func(call func(), want ...string) {
				t.Helper()
				f.dials = nil
				call()
				if !slices.Equal(f.dials, want) {
					t.Errorf("%s: asked %v, want %v", trouble.fault, f.dials, want)
				}
			}
			asked(get, "main")
			f.down["main"] = trouble.fault
			for range trouble.calls {
				asked(get, "main", "backup")
			}
			asked(get, "backup")
			asked(write, "backup")
			if open := openBreakers(t, reg); !maps.Equal(open, map[string]float64{"main": 1, "backup": 0}) {
				t.Errorf("%s: breakers %v", trouble.fault, open)
			}
			time.Sleep(29 * time.Second)
			asked(get, "backup")
			time.Sleep(2 * time.Second)
			asked(write, "backup") // it must not be the one that finds out
			asked(get, "main", "backup")
			asked(get, "backup")
			delete(f.down, "main")
			time.Sleep(31 * time.Second)
			asked(get, "main")
			asked(write, "main")
			if open := openBreakers(t, reg); open["main"] != 0 {
				t.Errorf("%s: the breaker stays open", trouble.fault)
			}

			// With no host left the first is asked all the same.
			f.down["main"], f.down["backup"] = "refused", "refused"
			asked(get, "main", "backup", "main")
			clear(f.down)
			asked(write, "main")
		})
	}
}

func openBreakers(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	open := make(map[string]float64)
	for _, f := range families {
		if f.GetName() != "wxproxy_upstream_breaker_open" {
			continue
		}
		for _, m := range f.GetMetric() {
			open[m.GetLabel()[0].GetValue()] = m.GetGauge().GetValue()
		}
	}
	return open
}
