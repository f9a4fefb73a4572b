package proxy_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/wxproxy/wxproxy/proxy"
)

func TestRequestLimit(t *testing.T) {
	t.Parallel()
	const limit = 1 << 16
	w := newWechat(t, nil)
	r := newRig(t, w, func(s *setup) { s.Limits.Request = limit })
	for _, test := range []struct {
		name    string
		size    int
		chunked bool
		status  int
	}{
		{"exactly", limit, false, 200},
		{"over", limit + 1, false, 413},
		{"exactly, chunked", limit, true, 200},
		{"over, chunked", limit + 1, true, 413},
		{"far over, chunked", limit * 20, true, 413},
	} {
		t.Run(test.name, func(t *testing.T) {
			body := strings.Repeat("x", test.size)
			req, err := http.NewRequestWithContext(t.Context(), "POST", r.front.URL+"/v3/x", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			if test.chunked {
				req.ContentLength = -1
			}
			g := r.send(req)
			if test.status == 200 {
				g.passed(t, 200, "true")
			} else {
				g.refused(t, 413, proxy.ReasonBodyTooLarge)
			}
		})
	}
	for _, c := range w.seen() {
		if len(c.Body) != limit || c.Chunked {
			t.Errorf("sent %d bytes, chunked %v", len(c.Body), c.Chunked)
		}
	}
	if n := len(w.seen()); n != 2 {
		t.Errorf("%d requests were sent, want 2", n)
	}
	r.settled(t)
}

// settled waits for the budget to be given back in full: that happens just
// after the app has its answer.
func (r *rig) settled(t testing.TB) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); r.out.HeldBytes() != 0; {
		if time.Now().After(end) {
			t.Fatalf("%d bytes of the budget were never given back", r.out.HeldBytes())
		}
		time.Sleep(time.Millisecond)
	}
}

// What is in flight is what bodies hold: the budget is used up while one call
// waits for its answer, and free again afterwards.
func TestInFlightBudget(t *testing.T) {
	t.Parallel()
	arrived, release := make(chan struct{}), make(chan struct{})
	w := newWechat(t, func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v3/slow" {
			arrived <- struct{}{}
			<-release
		}
		answer{body: "{}"}.serve(rw, r)
	})
	r := newRig(t, w, func(s *setup) {
		s.Limits = proxy.Limits{Request: 1 << 20, Response: 1 << 20, InFlight: 128 << 10}
	})
	slow := make(chan got, 1)
	go func() { slow <- r.do("POST", "/v3/slow", strings.Repeat("x", 80<<10)) }()
	<-arrived
	g := r.do("POST", "/v3/x", strings.Repeat("x", 64<<10))
	g.refused(t, 503, proxy.ReasonBusy)
	if g.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	r.do("GET", "/v3/x", "").passed(t, 200, "true") // needs next to nothing
	close(release)
	(<-slow).passed(t, 200, "true")
	r.settled(t)
	r.do("POST", "/v3/x", strings.Repeat("x", 64<<10)).passed(t, 200, "true")
	r.settled(t)
}

// Calls without bodies hold no bytes while they wait, however many they are.
func TestWaitingCallsHoldNoBudget(t *testing.T) {
	t.Parallel()
	const calls = 8
	arrived, release := make(chan struct{}, calls), make(chan struct{})
	w := newWechat(t, func(rw http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-release
		answer{body: "{}"}.serve(rw, r)
	})
	r := newRig(t, w)
	done := make(chan got, calls)
	for range calls {
		go func() { done <- r.do("GET", "/v3/x", "") }()
	}
	for range calls {
		<-arrived
	}
	if held := r.out.HeldBytes(); held != 0 {
		t.Errorf("%d calls without a body hold %d bytes", calls, held)
	}
	close(release)
	for range calls {
		(<-done).passed(t, 200, "true")
	}
}

func TestBudgetComesBackOnEveryPath(t *testing.T) {
	t.Parallel()
	body := strings.Repeat("x", 100<<10)
	for name, reply := range map[string]http.HandlerFunc{
		"verified":     answer{body: body}.serve,
		"unverified":   answer{body: body, bare: true}.serve,
		"bad":          answer{body: body, signed: "y"}.serve,
		"error":        answer{body: body, bare: true, status: 500}.serve,
		"too large":    answer{body: strings.Repeat(body, 11)}.serve,
		"broken off":   answer{body: body, headers: map[string]string{"Content-Length": "200000"}}.serve,
		"no answer":    func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"odd status":   answer{body: body, status: 101}.serve,
		"redirect":     answer{status: 302, headers: map[string]string{"Location": "/"}}.serve,
		"empty answer": answer{}.serve,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, newWechat(t, reply))
			r.do("POST", "/v3/x", body)
			r.settled(t)
		})
	}
	t.Run("refused", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, newWechat(t, nil), func(s *setup) { s.Merchants[0].PrivateKey = noKey })
		r.do("POST", "/v3/x", body).refused(t, 503, proxy.ReasonKeyUnavailable)
		r.do("POST", "/v3/x", `{"mchid":"1","x":"`+body+`"}`).refused(t, 400, proxy.ReasonMerchantMismatch)
		r.settled(t)
	})
}

// A status below 200 is no answer, whatever is signed; net/http would panic.
func TestStatusThatIsNone(t *testing.T) {
	t.Parallel()
	for _, status := range []string{"042", "000", "101"} {
		u := newRawUpstream(t, func(u *rawUpstream, _ int, conn net.Conn, rd *bufio.Reader) {
			if u.request(rd) {
				h := make(http.Header)
				stamp(h, keys().platform, platformSerial, time.Now(), []byte("{}"))
				_, _ = fmt.Fprintf(conn, "HTTP/1.1 %s Odd\r\nContent-Length: 2\r\nConnection: close\r\n", status)
				_ = h.Write(conn)
				_, _ = io.WriteString(conn, "\r\n{}")
			}
		})
		r := newRig(t, nil, func(s *setup) { s.bases = []string{u.url()} })
		r.do("POST", "/v3/x", "{}").unknown(t, proxy.ReasonBroken)
		r.settled(t)
	}
}

// An app that sends its body too slowly is cut off at the deadline.
func TestSlowBody(t *testing.T) {
	t.Parallel()
	for name, head := range map[string]string{
		"with length": "Content-Length: 10\r\n\r\n{",
		"chunked":     "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
		"nothing":     "Content-Length: 10\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWechat(t, nil)
			r := newRig(t, w, func(s *setup) { s.Timeout = 200 * time.Millisecond })
			conn := dial(t, r.address())
			start := time.Now()
			_, err := io.WriteString(conn, "POST /v3/x HTTP/1.1\r\nHost: localhost\r\n"+head)
			if err != nil {
				t.Fatal(err)
			}
			rd := bufio.NewReader(conn)
			readRaw(t, rd, "POST").refused(t, 400, proxy.ReasonBadRequest)
			if _, err := rd.ReadByte(); err == nil {
				t.Error("the connection lives on in the middle of a body")
			}
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("cut after %s", took)
			}
			if len(w.seen()) != 0 {
				t.Error("half a body was sent")
			}
			r.settled(t)
		})
	}
}

// A refusal does not wait for a body that nobody will read, nor for ever for
// one that is too large.
func TestRefusalDoesNotWaitForTheBody(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		head   string
		status int
	}{
		"not admitted": {"Host: evil.example\r\nContent-Length: 1000\r\n\r\n", 403},
		"no merchant":  {"Host: localhost\r\nWxproxy-Merchant: x\r\nContent-Length: 1000\r\n\r\n", 400},
		"too large":    {"Host: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n", 413},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, newWechat(t, nil), func(s *setup) {
				s.Timeout = time.Second
				s.Limits.Request = 4
			})
			conn := dial(t, r.address())
			if _, err := io.WriteString(conn, "POST /v3/x HTTP/1.1\r\n"+test.head); err != nil {
				t.Fatal(err)
			}
			rd := bufio.NewReader(conn)
			if g := readRaw(t, rd, "POST"); g.status != test.status {
				t.Errorf("got %d %s, want %d", g.status, g.body, test.status)
			}
			if _, err := rd.ReadByte(); err == nil {
				t.Error("the connection lives on in the middle of a body")
			}
		})
	}
}

// The app's going away cancels the call to WeChat Pay.
func TestDisconnectCancels(t *testing.T) {
	t.Parallel()
	arrived, canceled := make(chan struct{}), make(chan struct{})
	w := newWechat(t, func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
		close(canceled)
	})
	r := newRig(t, w)
	conn := dial(t, r.address())
	if _, err := io.WriteString(conn, "POST /v3/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}"); err != nil {
		t.Fatal(err)
	}
	<-arrived
	_ = conn.Close()
	select {
	case <-canceled:
	case <-time.After(30 * time.Second):
		t.Fatal("the call goes on without its caller")
	}
	r.settled(t)
}
