package proxy_test

import (
	"bufio"
	"context"
	"crypto/rsa"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/wxproxy/wxproxy/proxy"
	"github.com/wxproxy/wxproxy/verifier"
)

// Whatever strangers send, from one address or from many, with a genuine
// notify's sender behind the same proxy or not: genuine notifies are taken.
func TestGenuineNotifiesAmongJunk(t *testing.T) {
	t.Parallel()
	garbage := func(s string) string { return flip(s, 0) }
	for name, junk := range map[string]notice{
		"unsigned": {edit: func(r *http.Request) {
			for _, name := range []string{"Timestamp", "Nonce", "Signature", "Serial", "Signature-Type"} {
				r.Header.Del("Wechatpay-" + name)
			}
		}},
		"stale":           {skew: -time.Hour},
		"malformed":       {edit: header("Wechatpay-Nonce", func(string) string { return "" })},
		"another type":    {edit: header("Wechatpay-Signature-Type", func(string) string { return "WECHATPAY2-SM2-WITH-SM3" })},
		"probe":           {edit: header("Wechatpay-Signature", func(s string) string { return "WECHATPAY/SIGNTEST/" + s })},
		"invented serial": {key: keys().rotated, serial: rotatedSerial},
		"real serial":     {edit: header("Wechatpay-Signature", garbage)},
		"too large":       {body: func(s string) string { return s + strings.Repeat(" ", 1<<20) }},
	} {
		for _, from := range []string{"one address", "many addresses"} {
			t.Run(name+" from "+from, func(t *testing.T) {
				t.Parallel()
				a := newApp(t, nil)
				g := newGate(t, a, guarded(proxy.Guard{
					Rate: 1e-6, Burst: 2, FailureRate: 1e-6, FailureBurst: 3, TrustedProxies: prefixes("127.0.0.0/8", "::1/128"),
				}))
				for i := range 12 {
					r := junk.request(t, g.front.URL)
					if from == "many addresses" {
						r.Header.Set("X-Forwarded-For", fmt.Sprint("192.0.2.", i))
					}
					if got := g.send(r); got.status < 400 {
						t.Fatalf("got %d", got.status)
					}
				}
				g.post(notice{id: "1"}).acknowledged(t)
				g.post(notice{id: "2"}).acknowledged(t)
				if n := len(a.seen()); n != 2 {
					t.Errorf("%d deliveries, want 2", n)
				}
			})
		}
	}
}

// beginNotify sends the headers of a notify with a known serial number and the
// first bytes of its body, of which a megabyte is promised.
func (g *gate) beginNotify(sent int) net.Conn {
	g.t.Helper()
	conn := dial(g.t, g.front.Listener.Addr().String())
	r := notice{}.request(g.t, "http://x")
	var b strings.Builder
	_, _ = io.WriteString(&b, "POST /notify/shop HTTP/1.1\r\nHost: x\r\nContent-Length: 1048576\r\n")
	_ = r.Header.Write(&b)
	_, _ = io.WriteString(&b, "\r\n"+strings.Repeat("x", sent))
	if _, err := io.WriteString(conn, b.String()); err != nil {
		g.t.Fatal(err)
	}
	return conn
}

// Bodies that do not end make room for those that come, at once.
func TestHalfSentBodiesMakeRoom(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		limit int64
		sent  int
	}{
		"large": {256 << 10, 100 << 10}, // one fits
		"small": {24 << 10, 1},          // likewise
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t, nil)
			g := newGate(t, a)
			g.notify.BoundArriving(test.limit)
			answers := make(chan *http.Response, 6) // which of them makes room is open: they come at one time
			for range cap(answers) {
				conn := g.beginNotify(test.sent)
				go func() {
					answer, _ := http.ReadResponse(bufio.NewReader(conn), nil) // none if the test ends
					answers <- answer
				}()
			}
			for range cap(answers) - 1 {
				if answer := <-answers; answer == nil || answer.StatusCode != http.StatusServiceUnavailable {
					t.Fatalf("got %v, want 503", answer)
				}
			}
			g.post(notice{}).acknowledged(t)
			a.only(t)
		})
	}
}

// What did not come whole is charged: it has cost us its bytes.
func TestHalfSentBodiesAreCharged(t *testing.T) {
	t.Parallel()
	g := newGate(t, newApp(t, nil), guarded(proxy.Guard{FailureRate: 1e-6, FailureBurst: 1}))
	conn := g.beginNotify(1000)
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	readRaw(t, bufio.NewReader(conn), "POST").sentBack(t, 400)
	g.post(notice{key: keys().rotated, serial: rotatedSerial}).sentBack(t, 503)
	if n := g.trust.refreshed(); n != 0 {
		t.Errorf("a source in debt caused %d refreshes", n)
	}
}

// stuck is a trust that waits for keys until nobody wants them any more.
type stuck struct {
	*trust
	asked, ended chan struct{}
}

func (k stuck) Lookup(ctx context.Context, _ string) (*rsa.PublicKey, error) {
	k.asked <- struct{}{}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-k.ended:
		return nil, verifier.ErrKeysUnavailable
	}
}

// Who waits for keys that nobody knows yet makes room for those that come, and
// is not charged for that.
func TestWaitingForKeysMakesRoom(t *testing.T) {
	t.Parallel()
	_, log, metrics, reg := recorded(t)
	a, k := newApp(t, nil), stuck{newTrust(), make(chan struct{}), make(chan struct{})}
	g := newGate(t, a, guarded(proxy.Guard{FailureRate: 1e-6, FailureBurst: 1}), func(o *proxy.NotifyOptions) {
		o.Merchants[0].NotifyKeys, o.Log, o.Metrics = k, log, metrics
	})
	g.notify.BoundArriving(24 << 10) // two of them
	answers := make(chan int, 6)
	for range cap(answers) {
		go func() { answers <- g.post(notice{key: keys().rotated, serial: rotatedSerial}).status }()
		<-k.asked
	}
	g.post(notice{}).acknowledged(t)
	a.only(t)
	close(k.ended)
	for range cap(answers) {
		if status := <-answers; status != http.StatusServiceUnavailable {
			t.Errorf("got %d", status)
		}
	}
	g.front.Close() // all are recorded then
	if n := counted(t, reg, "wxproxy_notify_requests_total", "outcome"); n["crowded_out"] < cap(answers)-2 || n["delivered"] != 1 {
		t.Errorf("outcomes %v", n)
	}
}
