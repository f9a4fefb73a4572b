package proxy_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wxproxy/wxproxy/proxy"
)

// No connection to the first host: the second gets the call, newly signed.
func TestConnectRefusedGoesToTheNextHost(t *testing.T) {
	t.Parallel()
	w := newWechat(t, nil)
	r := newRig(t, nil, func(s *setup) { s.bases = []string{closedPort(t), w.URL} })
	g := r.do("POST", "/v3/pay/transactions/jsapi", `{"out_trade_no":"1"}`)
	g.passed(t, 200, "true")
	if v := g.header.Get("Wxproxy-Attempts"); v != "2" {
		t.Errorf("Wxproxy-Attempts is %s", v)
	}
	c := w.only(t)
	if _, err := authorized(c, c.Body, &keys().merchant.PublicKey); err != nil {
		t.Error(err)
	}
}

func TestAllHostsRefuse(t *testing.T) {
	t.Parallel()
	for _, hosts := range []int{1, 2, 3} {
		r := newRig(t, nil, func(s *setup) {
			for range hosts {
				s.bases = append(s.bases, closedPort(t))
			}
		})
		for _, method := range []string{"GET", "POST"} {
			g := r.do(method, "/v3/pay/transactions/jsapi", "")
			g.refused(t, 502, proxy.ReasonUnreachable)
			if g.header.Get("Wxproxy-Cause") != "" || g.header.Get("Wxproxy-Result") != "" || g.header.Get("Wxproxy-Attempts") != "3" {
				t.Errorf("nothing was sent, but: %v", g.header)
			}
		}
	}
}

// breaking answers the first n requests by breaking the connection.
func breaking(t *testing.T, n int, end func(net.Conn)) *rawUpstream {
	t.Helper()
	var broken atomic.Int32
	return newRawUpstream(t, func(u *rawUpstream, _ int, conn net.Conn, rd *bufio.Reader) {
		for u.request(rd) {
			if int(broken.Add(1)) <= n {
				end(conn)
				return
			}
			u.write(conn, "{}")
		}
	})
}

func TestBrokenConnection(t *testing.T) {
	t.Parallel()
	for how, end := range map[string]func(net.Conn){
		"reset":  reset,
		"closed": func(c net.Conn) { _ = c.Close() },
		"garbage": func(c net.Conn) {
			_, _ = io.WriteString(c, "SSH-2.0-OpenSSH\r\n\r\n")
			_ = c.Close()
		},
	} {
		t.Run("GET, "+how, func(t *testing.T) {
			t.Parallel()
			u := breaking(t, 1, end)
			r := newRig(t, nil, func(s *setup) { s.bases = []string{u.url()} })
			g := r.do("GET", "/v3/x", "")
			g.passed(t, 200, "true")
			if g.header.Get("Wxproxy-Attempts") != "2" {
				t.Errorf("attempts: %s", g.header.Get("Wxproxy-Attempts"))
			}
			freshlySigned(t, u.seen(), 2)
		})
		t.Run("GET three times, "+how, func(t *testing.T) {
			t.Parallel()
			u := breaking(t, 3, end)
			r := newRig(t, nil, func(s *setup) { s.bases = []string{u.url()} })
			r.do("GET", "/v3/x", "").refused(t, 502, proxy.ReasonBroken)
			freshlySigned(t, u.seen(), 3)
		})
		t.Run("POST with its number, "+how, func(t *testing.T) {
			t.Parallel()
			u := breaking(t, 1, end)
			r := newRig(t, nil, func(s *setup) { s.bases = []string{u.url(), u.url()} })
			r.do("POST", "/v3/pay/transactions/jsapi", `{"out_trade_no":"1"}`).passed(t, 200, "true")
			freshlySigned(t, u.seen(), 2)
		})
		for name, body := range map[string]string{"POST": `{"out_refund_no":"1"}`, "empty POST": ""} {
			t.Run(name+", "+how, func(t *testing.T) {
				t.Parallel()
				u := breaking(t, 1, end)
				r := newRig(t, nil, func(s *setup) { s.bases = []string{u.url(), u.url()} })
				r.do("POST", "/v3/pay/transactions/jsapi", body).unknown(t, proxy.ReasonBroken)
				freshlySigned(t, u.seen(), 1)
			})
		}
	}
}

// freshlySigned checks that n requests came, each with a signature and nonce of
// its own.
func freshlySigned(t *testing.T, calls []call, n int) {
	t.Helper()
	if len(calls) != n {
		t.Fatalf("sent %d times, want %d", len(calls), n)
	}
	nonces := make(map[string]bool)
	for _, c := range calls {
		credential, err := authorized(c, c.Body, &keys().merchant.PublicKey)
		if err != nil {
			t.Error(err)
		}
		if nonces[credential.Nonce] {
			t.Error("a signature was sent twice")
		}
		nonces[credential.Nonce] = true
	}
}

// net/http repeats a request by itself when a kept-alive connection turns out
// to be dead. It must not: that would be the old signature, and nobody would
// know that a call went out twice.
func TestNetHTTPRepeatsNothing(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		method, body string
		headers      []string
		sent         int // after the call that warmed the connection
	}{
		"GET":                             {"GET", "", nil, 2},
		"HEAD":                            {"HEAD", "", nil, 3}, // its answer lacks the body that was signed
		"GET with key":                    {"GET", "", []string{"X-Idempotency-Key", "1"}, 2},
		"POST":                            {"POST", "{}", nil, 1},
		"POST with key":                   {"POST", "{}", []string{"Idempotency-Key", "1", "X-Idempotency-Key", "1"}, 1},
		"empty POST":                      {"POST", "", nil, 1},
		"empty POST with key":             {"POST", "", []string{"Idempotency-Key", "1"}, 1},
		"empty POST with the other's key": {"POST", "", []string{"X-Idempotency-Key", "1"}, 1},
		"empty DELETE":                    {"DELETE", "", nil, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// The connection answers once, stays open, and is reset by the
			// second request, unanswered.
			u := newRawUpstream(t, func(u *rawUpstream, number int, conn net.Conn, rd *bufio.Reader) {
				for i := 1; u.request(rd); i++ {
					if number == 1 && i == 2 {
						reset(conn)
						return
					}
					u.write(conn, "{}")
				}
			})
			r := newRig(t, nil, func(s *setup) { s.bases = []string{u.url()} })
			r.do("GET", "/v3/warm", "").passed(t, 200, "true")
			g := r.do(test.method, "/v3/x", test.body, test.headers...)
			if test.sent == 1 {
				g.unknown(t, proxy.ReasonBroken)
			}
			freshlySigned(t, u.seen(), 1+test.sent)
			for _, c := range u.seen() {
				if c.Chunked {
					t.Errorf("%s went out chunked", c.Method)
				}
			}
		})
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	w := newWechat(t, nil)
	elsewhere := newWechat(t, nil)
	w.reply = func(rw http.ResponseWriter, r *http.Request) {
		answer{status: 307, headers: map[string]string{"Location": elsewhere.URL + "/v3/x"}}.serve(rw, r)
	}
	r := newRig(t, w)
	r.front.Client().CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	r.do("POST", "/v3/x", "{}").passed(t, 307, "true")
	if len(elsewhere.seen()) != 0 {
		t.Error("followed")
	}
}

// The merchant's rate lets a call wait within its deadline, or says 429 at
// once; each merchant has its own.
func TestRate(t *testing.T) {
	t.Parallel()
	w := newWechat(t, nil)
	r := newRig(t, w, func(s *setup) {
		s.Merchants = append(s.Merchants, otherShop(t, newTrust()))
		s.Rate = proxy.Rate{PerSecond: 0.01, Burst: 2}
	})
	for range 2 {
		r.do("GET", "/v3/x", "", "Wxproxy-Merchant", "shop").passed(t, 200, "true")
	}
	start := time.Now()
	g := r.do("POST", "/v3/x", "{}", "Wxproxy-Merchant", "shop")
	g.refused(t, 429, proxy.ReasonRateLimited)
	if g.header.Get("Retry-After") == "" || time.Since(start) > 10*time.Second {
		t.Errorf("after %s, with %v", time.Since(start), g.header)
	}
	r.do("GET", "/v3/x", "", "Wxproxy-Merchant", "other").passed(t, 200, "true")
	if n := len(w.seen()); n != 3 {
		t.Errorf("%d requests were sent, want 3", n)
	}
	r.settled(t)
}

func TestRateWaits(t *testing.T) {
	t.Parallel()
	w := newWechat(t, nil)
	r := newRig(t, w, func(s *setup) { s.Rate = proxy.Rate{PerSecond: 20, Burst: 1} })
	for range 3 {
		r.do("GET", "/v3/x", "").passed(t, 200, "true")
	}
}
