package proxy_test

import (
	"bufio"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/wxproxy/wxproxy/proxy"
)

func prefixes(list ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, s := range list {
		all = append(all, netip.MustParsePrefix(s))
	}
	return all
}

func guarded(rules proxy.Guard) func(*proxy.NotifyOptions) {
	return func(o *proxy.NotifyOptions) { o.Guard = rules }
}

func TestNotifySources(t *testing.T) {
	t.Parallel()
	local := prefixes("127.0.0.0/8", "::1/128")
	for _, test := range []struct {
		name             string
		sources, trusted []netip.Prefix
		forwarded        []string
		status           int
	}{
		{"anyone", nil, nil, nil, 204},
		{"listed", local, nil, nil, 204},
		{"not listed", prefixes("101.226.103.0/25"), nil, nil, 403},
		{"forwarded, but by nobody we trust", prefixes("101.226.103.0/25"), nil, []string{"101.226.103.1"}, 403},
		{"forwarded", prefixes("101.226.103.0/25"), local, []string{"101.226.103.1"}, 204},
		{"forwarded, mapped", prefixes("101.226.103.0/25"), local, []string{"::ffff:101.226.103.1"}, 204},
		{"forwarded for a stranger", prefixes("101.226.103.0/25"), local, []string{"1.2.3.4"}, 403},
		{"claimed by a stranger", prefixes("101.226.103.0/25"), local, []string{"101.226.103.1, 1.2.3.4"}, 403},
		{"claimed in a header before", prefixes("101.226.103.0/25"), local, []string{"101.226.103.1", "1.2.3.4"}, 403},
		{"through two of ours", prefixes("101.226.103.0/25"), prefixes("127.0.0.0/8", "10.0.0.0/8"), []string{"1.2.3.4, 101.226.103.1, 10.0.0.1"}, 204},
		{"not an address", prefixes("101.226.103.0/25"), local, []string{"101.226.103.1, unknown"}, 403},
		{"with a zone", prefixes("fe80::/10"), local, []string{"fe80::1%eth0"}, 204},
		{"with a port", prefixes("101.226.103.0/25"), local, []string{"1.2.3.4, 101.226.103.1:5555"}, 204},
		{"with a port, IPv6", prefixes("2001:db8::/32"), local, []string{"[2001:db8::1]:5555"}, 204},
		{"in brackets", prefixes("2001:db8::/32"), local, []string{"[2001:db8::1]"}, 204},
		{"in half a bracket", prefixes("2001:db8::/32"), local, []string{"[2001:db8::1"}, 403},
		{"a stranger with a port", prefixes("101.226.103.0/25", "127.0.0.0/8"), local, []string{"1.2.3.4:5555"}, 403},
		{"a port that is none", prefixes("101.226.103.0/25"), local, []string{"101.226.103.1:x"}, 403},
		{"empty", prefixes("101.226.103.0/25"), local, []string{""}, 403},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			g := newGate(t, newApp(t, nil), guarded(proxy.Guard{Sources: test.sources, TrustedProxies: test.trusted}))
			got := g.post(notice{edit: func(r *http.Request) { r.Header["X-Forwarded-For"] = test.forwarded }})
			if got.status != test.status {
				t.Errorf("got %d, want %d", got.status, test.status)
			}
			if test.status == 403 {
				got.sentBack(t, 403)
			}
		})
	}
}

// Whoever may use the Unix socket says by X-Forwarded-For who has sent a notify.
func TestNotifySourcesBehindASocket(t *testing.T) {
	t.Parallel()
	a := newApp(t, nil)
	g := newGate(t, a, guarded(proxy.Guard{Sources: prefixes("101.226.103.0/25"), TrustedProxies: prefixes("10.0.0.0/8")}))
	for forwarded, want := range map[string]int{
		"101.226.103.1":           204,
		"101.226.103.1:55":        204,
		"101.226.103.1, 10.0.0.1": 204,
		"101.226.103.1, 1.2.3.4":  403,
		"unknown":                 403,
		"":                        403,
	} {
		for _, peer := range []string{"@", ""} {
			r := notice{}.request(t, "http://x")
			r.RemoteAddr = peer
			r.Header.Set("X-Forwarded-For", forwarded)
			w := httptest.NewRecorder()
			if g.notify.ServeHTTP(w, r); w.Code != want {
				t.Errorf("%q: got %d, want %d", forwarded, w.Code, want)
			}
		}
	}
}

func TestNotifyRateOfAll(t *testing.T) {
	t.Parallel()
	a := newApp(t, nil)
	g := newGate(t, a, func(o *proxy.NotifyOptions) {
		o.Guard = proxy.Guard{Rate: 1e-6, Burst: 2}
	})
	g.post(notice{id: "1"}).acknowledged(t)
	g.post(notice{id: "2"}).acknowledged(t)
	g.post(notice{id: "3"}).sentBack(t, 503)
	g.post(notice{id: "1"}).acknowledged(t) // once more: nothing is delivered
	if n := len(a.seen()); n != 2 {
		t.Errorf("%d deliveries, want 2", n)
	}
}

// Who failed too often causes no more refreshes and has no body read for a key
// that we do not know; a genuine notify from the same address is taken.
func TestSourceInDebt(t *testing.T) {
	t.Parallel()
	a := newApp(t, nil)
	g := newGate(t, a, func(o *proxy.NotifyOptions) {
		o.Guard = proxy.Guard{FailureRate: 1e-6, FailureBurst: 3}
	})
	forged := notice{key: keys().rotated, serial: rotatedSerial}
	for range 3 {
		g.post(forged).sentBack(t, 401)
	}
	if n := g.trust.refreshed(); n != 3 {
		t.Fatalf("%d refreshes before the debt", n)
	}
	g.post(forged).sentBack(t, 503)

	conn := dial(t, g.front.Listener.Addr().String())
	r := forged.request(t, "http://x")
	_, _ = io.WriteString(conn, "POST /notify/shop HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n")
	_ = r.Header.Write(conn)
	_, _ = io.WriteString(conn, "\r\n")
	readRaw(t, bufio.NewReader(conn), "POST").sentBack(t, 503) // without its body

	if n := g.trust.refreshed(); n != 3 {
		t.Errorf("a source in debt caused %d refreshes", n-3)
	}
	for _, id := range []string{"1", "2", "3", "4", "5"} {
		g.post(notice{id: id}).acknowledged(t)
	}
	g.post(notice{edit: header("Wechatpay-Signature", func(s string) string { return flip(s, 0) })}).sentBack(t, 401)
	if n := len(a.seen()); n != 5 {
		t.Errorf("%d genuine notifies taken, want 5", n)
	}
}

// Genuine notifies are never charged, whatever the app says to them.
func TestGenuineNotifiesAreNotCharged(t *testing.T) {
	t.Parallel()
	a := newApp(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
	g := newGate(t, a, func(o *proxy.NotifyOptions) {
		o.Guard = proxy.Guard{FailureRate: 1e-6, FailureBurst: 1}
	})
	for range 3 {
		g.post(notice{}).sentBack(t, 502)
	}
	g.post(notice{apiv3: otherAPIv3}).sentBack(t, 500)
	g.post(notice{key: keys().rotated, serial: rotatedSerial}).sentBack(t, 401)
	if n := g.trust.refreshed(); n != 1 {
		t.Errorf("%d refreshes, want 1: genuine notifies put their source in debt", n)
	}
}
