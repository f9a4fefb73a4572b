package proxy_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// raw sends bytes that Go's own client would clean up or refuse to send.
func raw(t testing.TB, address, request string) got {
	t.Helper()
	conn := dial(t, address)
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	return readRaw(t, bufio.NewReader(conn), request)
}

func dial(t testing.TB, address string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func readRaw(t testing.TB, r *bufio.Reader, request string) got {
	t.Helper()
	method, _, _ := strings.Cut(request, " ")
	resp, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return got{resp.StatusCode, resp.Header, string(body), err}
}

func (r *rig) address() string { return r.front.Listener.Addr().String() }

// rawUpstream accepts connections and hands each to serve with its number,
// counted from 1. It stands for a WeChat Pay whose connections misbehave.
type rawUpstream struct {
	net.Listener
	wg sync.WaitGroup

	mu       sync.Mutex
	requests []call
}

func newRawUpstream(t testing.TB, serve func(u *rawUpstream, number int, conn net.Conn, r *bufio.Reader)) *rawUpstream {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u := &rawUpstream{Listener: l}
	t.Cleanup(func() {
		_ = l.Close()
		u.wg.Wait()
	})
	u.wg.Go(func() {
		for number := 1; ; number++ {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			u.wg.Go(func() {
				defer func() { _ = conn.Close() }()
				serve(u, number, conn, bufio.NewReader(conn))
			})
		}
	})
	return u
}

func (u *rawUpstream) url() string { return "http://" + u.Addr().String() }

// request reads and notes one request; false when the connection ended.
func (u *rawUpstream) request(r *bufio.Reader) bool {
	req, err := http.ReadRequest(r)
	if err != nil {
		return false
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.requests = append(u.requests, call{req.Method, req.RequestURI, req.Header, body, req.ContentLength, len(req.TransferEncoding) > 0})
	return true
}

func (u *rawUpstream) seen() []call {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]call(nil), u.requests...)
}

// write sends a whole signed answer.
func (u *rawUpstream) write(conn net.Conn, body string) {
	h := make(http.Header)
	stamp(h, keys().platform, platformSerial, time.Now(), []byte(body))
	resp := http.Response{StatusCode: 200, ProtoMajor: 1, ProtoMinor: 1, Header: h, ContentLength: int64(len(body)), Body: io.NopCloser(strings.NewReader(body))}
	_ = resp.Write(conn)
}

// reset closes a connection so that the peer sees it break at once.
func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// closedPort is an address where nobody listens.
func closedPort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	// A port that a connection has cannot be had by another test's listener
	// meanwhile, and nobody listens there.
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = conn.Close(), l.Close() })
	return "http://" + conn.LocalAddr().String()
}

func readCloser(s string) io.ReadCloser { return io.NopCloser(strings.NewReader(s)) }
