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

const download = "/v3/billdownload/file?token=x"

// A download reaches the app as it comes: its first bytes before its last are
// there, marked as what cannot be verified.
func TestDownloadStreams(t *testing.T) {
	t.Parallel()
	more := make(chan struct{})
	w := newWechat(t, func(rw http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(rw, "first")
		rw.(http.Flusher).Flush()
		<-more
		_, _ = io.WriteString(rw, strings.Repeat("x", 3<<20)) // more than outbound.limits.response
	})
	r := newRig(t, w)
	resp, err := r.front.Client().Get(r.front.URL + download)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if v := resp.Header.Get("Wxproxy-Verified"); v != "unsigned" {
		t.Errorf("Wxproxy-Verified is %q", v)
	}
	first := make([]byte, 5)
	if _, err := io.ReadFull(resp.Body, first); err != nil || string(first) != "first" {
		t.Fatalf("got %q, %v", first, err)
	}
	if held := r.out.HeldBytes(); held != 0 {
		t.Errorf("a download holds %d bytes of the budget", held)
	}
	close(more)
	rest, err := io.ReadAll(resp.Body)
	if err != nil || len(rest) != 3<<20 {
		t.Errorf("got %d more bytes, %v", len(rest), err)
	}
	if _, err := authorized(w.only(t), nil, &keys().merchant.PublicKey); err != nil {
		t.Errorf("the download's request: %v", err)
	}
}

// Only the table's own paths pass unsigned.
func TestOnlyTheTablesDownloadsPassUnsigned(t *testing.T) {
	t.Parallel()
	r := newRig(t, newWechat(t, answer{bare: true, body: "x"}.serve))
	for target, unsigned := range map[string]bool{
		"GET /v3/billdownload/file":                       true,
		"GET /v3/merchant-service/images/a.b_c-d":         true,
		"POST /v3/billdownload/file":                      false,
		"DELETE /v3/billdownload/file":                    false,
		"HEAD /v3/billdownload/file":                      false,
		"GET /v3/billdownload/file/":                      false,
		"GET /v3/billdownload/File":                       false,
		"GET /v3/billdownload/%66ile":                     false,
		"GET /v3/billdownload/file/x":                     false,
		"GET /v3/merchant-service/images/":                false,
		"GET /v3/merchant-service/images/a/b":             false,
		"GET /v3/pay/transactions/id/1?/v3/billdownload/": false,
	} {
		method, path, _ := strings.Cut(target, " ")
		g := r.do(method, path, "")
		if (g.header.Get("Wxproxy-Verified") == "unsigned") != unsigned || (g.status == 200) != unsigned {
			t.Errorf("%s: %d %v", target, g.status, g.header)
		}
	}
}

// A download that breaks off breaks for the app too, however its end is told:
// a part must never look like the whole.
func TestBrokenDownload(t *testing.T) {
	t.Parallel()
	for name, header := range map[string]string{
		"with length": "Content-Length: 1000\r\n\r\npart",
		"chunked":     "Transfer-Encoding: chunked\r\n\r\n4\r\npart\r\n",
	} {
		for how, end := range map[string]func(net.Conn){"reset": reset, "closed": func(c net.Conn) { _ = c.Close() }} {
			t.Run(name+" "+how, func(t *testing.T) {
				t.Parallel()
				taken := make(chan struct{})
				u := newRawUpstream(t, func(u *rawUpstream, _ int, conn net.Conn, rd *bufio.Reader) {
					if u.request(rd) {
						_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n"+header)
						<-taken
						end(conn)
					}
				})
				r := newRig(t, nil, func(s *setup) { s.bases = []string{u.url()} })
				resp, err := r.front.Client().Get(r.front.URL + download)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = resp.Body.Close() }()
				part := make([]byte, 4)
				if _, err := io.ReadFull(resp.Body, part); err != nil {
					t.Fatal(err)
				}
				close(taken)
				if rest, err := io.ReadAll(resp.Body); err == nil {
					t.Errorf("a part passed for the whole, with %q at its end", rest)
				}
				if n := len(u.seen()); n != 1 {
					t.Errorf("sent %d times", n)
				}
				r.settled(t)
			})
		}
	}
}

// A download may take longer than the timeout as long as it gets on; one that
// stands still is cut, visibly.
func TestDownloadDeadline(t *testing.T) {
	t.Parallel()
	const timeout = 1500 * time.Millisecond
	t.Run("progressing", func(t *testing.T) {
		t.Parallel()
		w := newWechat(t, func(rw http.ResponseWriter, r *http.Request) {
			tick := time.NewTicker(timeout / 6)
			defer tick.Stop()
			for range 12 {
				_, _ = io.WriteString(rw, "x")
				rw.(http.Flusher).Flush()
				select {
				case <-tick.C:
				case <-r.Context().Done():
					return
				}
			}
		})
		g := newRig(t, w, func(s *setup) { s.Timeout = timeout }).do("GET", download, "")
		g.passed(t, 200, "unsigned")
		if g.err != nil || len(g.body) != 12 {
			t.Errorf("got %q, %v", g.body, g.err)
		}
	})
	t.Run("stuck", func(t *testing.T) {
		t.Parallel()
		w := newWechat(t, func(rw http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(rw, "x")
			rw.(http.Flusher).Flush()
			<-r.Context().Done()
		})
		g := newRig(t, w, func(s *setup) { s.Timeout = timeout }).do("GET", download, "")
		if g.status != 200 || g.err == nil {
			t.Errorf("got %d %q, %v", g.status, g.body, g.err)
		}
	})
	t.Run("app does not read", func(t *testing.T) {
		t.Parallel()
		ended := make(chan struct{})
		w := newWechat(t, func(rw http.ResponseWriter, _ *http.Request) {
			defer close(ended)
			for range 1000 {
				if _, err := rw.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
			t.Error("an app that does not read took all of it")
		})
		r := newRig(t, w, func(s *setup) { s.Timeout = timeout })
		conn := dial(t, r.address())
		_, _ = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", download)
		select {
		case <-ended:
		case <-time.After(30 * time.Second):
			t.Error("WeChat Pay's connection is held for an app that does not read")
		}
	})
}

// An empty download on a connection that was idle for longer than the timeout
// must not meet the old deadline.
func TestEmptyDownload(t *testing.T) {
	t.Parallel()
	g := newRig(t, newWechat(t, answer{bare: true}.serve)).do("GET", download, "")
	g.passed(t, 200, "unsigned")
	if g.err != nil || g.body != "" {
		t.Errorf("got %q, %v", g.body, g.err)
	}
}

// WeChat Pay does not answer, or not to the end: after the timeout the app is
// told so, and of a call that was sent never that it failed.
func TestDeadline(t *testing.T) {
	t.Parallel()
	for name, begin := range map[string]string{
		"no answer":    "",
		"half a line":  "HTTP/1.1 2",
		"half a body":  "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
		"endless head": "HTTP/1.1 200 OK\r\nX: y\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			release := make(chan struct{})
			u := newRawUpstream(t, func(u *rawUpstream, _ int, conn net.Conn, rd *bufio.Reader) {
				if u.request(rd) {
					_, _ = io.WriteString(conn, begin)
					<-release
				}
			})
			t.Cleanup(func() { close(release) })
			r := newRig(t, nil, func(s *setup) {
				s.bases = []string{u.url()}
				s.Timeout = time.Second
			})
			r.do("GET", "/v3/x", "").refused(t, 504, proxy.ReasonTimeout)
			r.do("POST", "/v3/pay/transactions/jsapi", "{}").unknown(t, proxy.ReasonTimeout)
			if n := len(u.seen()); n != 2 {
				t.Errorf("%d requests for 2 calls", n)
			}
			r.settled(t)
		})
	}
}
