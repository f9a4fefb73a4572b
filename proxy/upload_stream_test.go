package proxy_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wxproxy/wxproxy/proxy"
)

// formHead is the request line and header of an upload with a body of size bytes.
func formHead(size int, more ...string) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nContent-Length: %d\r\n%s\r\n",
		uploadTo, formType, size, strings.Join(more, ""))
}

// bigForm has a file of more than what buffers on the way hold.
func bigForm(size int) string {
	long := strings.Repeat("0123456789abcde\n", size/16)
	return part(metaHead, metaOf(sha256Hex(long))) + part(fileHead, long) + end
}

// what reaches WeChat Pay of one connection, header and all.
type taken struct {
	bytes.Buffer
}

func (b *taken) whole() bool { return bytes.Contains(b.Bytes(), []byte("--"+boundary+"--")) }

// The file reaches WeChat Pay as the app sends it, and wxproxy holds little of
// it. The last boundary comes after all.
func TestUploadStreams(t *testing.T) {
	t.Parallel()
	body := bigForm(1 << 20)
	half := make(chan struct{})
	u := newRawUpstream(t, func(u *rawUpstream, _ int, conn net.Conn, rd *bufio.Reader) {
		first := make([]byte, len(body)/3)
		if _, err := io.ReadFull(rd, first); err != nil {
			t.Error("the first half did not come:", err)
		}
		close(half)
		rest, err := http.ReadRequest(bufio.NewReader(io.MultiReader(bytes.NewReader(first), rd)))
		if err != nil {
			t.Error(err)
			return
		}
		if all, err := io.ReadAll(rest.Body); err != nil || string(all) != body || rest.ContentLength != int64(len(body)) {
			t.Errorf("got %d bytes of %d, %v", len(all), len(body), err)
		}
		u.write(conn, "{}")
	})
	r := newRig(t, nil, func(s *setup) {
		s.bases = []string{u.url()}
		s.Limits.Request = 2 << 20
	})
	conn := dial(t, r.address())
	answers := bufio.NewReader(conn)
	_, _ = io.WriteString(conn, formHead(len(body))+body[:len(body)/2])
	<-half
	if held := r.out.HeldBytes(); held > 64<<10 {
		t.Errorf("%d bytes are held of an upload that streams", held)
	}
	_, _ = io.WriteString(conn, body[len(body)/2:])
	readRaw(t, answers, "POST").passed(t, 200, "true")
	r.settled(t)
	// The connection is good for the next call.
	_, _ = io.WriteString(conn, "GET /v3/x HTTP/1.1\r\nHost: evil\r\n\r\n")
	readRaw(t, answers, "GET").refused(t, 403, proxy.ReasonForbidden)
}

// Of a bad upload WeChat Pay sees the beginning at most: the last boundary is
// held back, and the connection breaks.
func TestBadUploadIsNeverWhole(t *testing.T) {
	t.Parallel()
	good := bigForm(256 << 10)
	for name, body := range map[string]string{
		"flipped byte":  strings.Replace(good, "abcde", "abXde", 1),
		"flipped, late": good[:len(good)-len(end)-20] + "X" + good[len(good)-len(end)-19:],
		"second meta":   strings.TrimSuffix(good, end) + part(metaHead, "{}") + end,
		"second file":   strings.TrimSuffix(good, end) + part(fileHead, "x") + end,
		"bad epilogue":  strings.TrimSuffix(good, end) + "--" + boundary + "\r\nnot a header\r\n" + end,
		"cut short":     strings.TrimSuffix(good, end),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seen := make(chan *taken, 3)
			u := newRawUpstream(t, func(_ *rawUpstream, _ int, _ net.Conn, rd *bufio.Reader) {
				got := &taken{}
				_, _ = got.ReadFrom(rd)
				seen <- got
			})
			r := newRig(t, nil, func(s *setup) { s.bases = []string{u.url()} })
			r.post(body, false).refused(t, 400, proxy.ReasonBadUpload)
			got := <-seen
			if got.whole() {
				t.Error("the last boundary reached WeChat Pay")
			}
			if _, sent, _ := bytes.Cut(got.Bytes(), []byte("\r\n\r\n")); len(sent) >= len(body) || !strings.HasPrefix(body, string(sent)) {
				t.Errorf("%d of %d bytes were sent, or others", len(sent), len(body))
			}
			r.settled(t)
			if len(seen) != 0 {
				t.Error("sent again")
			}
		})
	}
}

// What WeChat Pay says before it has the whole upload is handed back, whether
// the app goes on sending or not.
func TestEarlyAnswer(t *testing.T) {
	t.Parallel()
	body := bigForm(4 << 20)
	for name, sent := range map[string]int{"app stands still": 200 << 10, "app sends all": len(body)} {
		for _, status := range []string{"401 Unauthorized", "413 Request Entity Too Large"} {
			t.Run(name+" "+status, func(t *testing.T) {
				t.Parallel()
				u := newRawUpstream(t, func(_ *rawUpstream, _ int, conn net.Conn, rd *bufio.Reader) {
					if _, err := http.ReadRequest(rd); err != nil {
						t.Error(err)
					}
					_, _ = io.WriteString(conn, "HTTP/1.1 "+status+"\r\nContent-Length: 14\r\nConnection: close\r\n\r\n{\"code\":\"SIGN\"")
					_ = conn.(*net.TCPConn).CloseWrite()
					_, _ = io.Copy(io.Discard, rd) // as nginx does, so that the answer is not lost
				})
				r := newRig(t, nil, func(s *setup) {
					s.bases = []string{u.url()}
					s.Limits.Request = 8 << 20
				})
				conn := dial(t, r.address())
				go func() { _, _ = io.WriteString(conn, (formHead(len(body)) + body)[:sent]) }()
				g := readRaw(t, bufio.NewReader(conn), "POST")
				g.passed(t, 0+int(status[0]-'0')*100+int(status[2]-'0')+10*int(status[1]-'0'), "false")
				if g.body != `{"code":"SIGN"` {
					t.Errorf("got %q", g.body)
				}
				r.settled(t)
			})
		}
	}
}

// A status below 200 is no answer: the upload goes on.
func TestInformationDuringUpload(t *testing.T) {
	t.Parallel()
	body := bigForm(1 << 20)
	u := newRawUpstream(t, func(u *rawUpstream, _ int, conn net.Conn, rd *bufio.Reader) {
		_, _ = rd.Peek(1) // what comes before the request is no answer to it
		for range 3 {
			_, _ = io.WriteString(conn, "HTTP/1.1 102 Processing\r\n\r\n")
		}
		if u.request(rd) {
			u.write(conn, "{}")
		}
	})
	r := newRig(t, nil, func(s *setup) {
		s.bases = []string{u.url()}
		s.Limits.Request = 2 << 20
	})
	r.post(body, false).passed(t, 200, "true")
	if got := u.seen(); len(got) != 1 || string(got[0].Body) != body {
		t.Error("the upload did not arrive as it was sent")
	}
}

// An upload whose bytes left is never sent again; until it was whole the app
// may know that it failed, after that nobody knows.
func TestBrokenUpload(t *testing.T) {
	t.Parallel()
	body := bigForm(32 << 20) // more than the sockets' buffers take, or all of it could have left before the reset
	for name, whole := range map[string]bool{"in the middle": false, "after all": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var connections atomic.Int32
			u := newRawUpstream(t, func(u *rawUpstream, _ int, conn net.Conn, rd *bufio.Reader) {
				connections.Add(1)
				if whole {
					u.request(rd)
				} else {
					_, _ = io.CopyN(io.Discard, rd, 100<<10)
				}
				reset(conn)
			})
			r := newRig(t, nil, func(s *setup) {
				s.bases = []string{u.url()}
				s.Limits.Request = 64 << 20
			})
			g := r.post(body, false)
			if whole {
				g.unknown(t, proxy.ReasonBroken)
			} else {
				g.refused(t, 502, proxy.ReasonBroken)
			}
			if n := connections.Load(); n != 1 {
				t.Errorf("sent %d times", n)
			}
			r.settled(t)
		})
	}
}

// A host that refuses the connection has taken nothing: the next one gets the
// upload.
func TestUploadFailsOver(t *testing.T) {
	t.Parallel()
	w := newWechat(t, nil)
	r := newRig(t, nil, func(s *setup) { s.bases = []string{closedPort(t), w.URL} })
	body := bigForm(128 << 10)
	g := r.post(body, false)
	g.passed(t, 200, "true")
	if g.header.Get("Wxproxy-Attempts") != "2" || string(w.only(t).Body) != body {
		t.Errorf("%s attempts", g.header.Get("Wxproxy-Attempts"))
	}
	newRig(t, nil, func(s *setup) { s.bases = []string{closedPort(t)} }).post(body, false).refused(t, 502, proxy.ReasonUnreachable)
}

// An app that goes away, or stands still, in the middle takes the upload with
// it.
func TestAppEndsInTheMiddle(t *testing.T) {
	t.Parallel()
	body := bigForm(256 << 10)
	for name, end := range map[string]func(net.Conn){
		"reset": reset, "closed": func(c net.Conn) { _ = c.Close() }, "stands still": nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			begun, seen := make(chan struct{}), make(chan *taken, 3)
			u := newRawUpstream(t, func(_ *rawUpstream, _ int, _ net.Conn, rd *bufio.Reader) {
				got := &taken{}
				_, _ = io.CopyN(got, rd, 1<<10)
				close(begun)
				_, _ = got.ReadFrom(rd)
				seen <- got
			})
			r := newRig(t, nil, func(s *setup) {
				s.bases = []string{u.url()}
				s.Timeout = time.Second
				if end != nil {
					s.Timeout = time.Minute
				}
			})
			conn := dial(t, r.address())
			_, _ = io.WriteString(conn, formHead(len(body))+body[:len(body)-5])
			<-begun
			if end != nil {
				end(conn)
			} else {
				readRaw(t, bufio.NewReader(conn), "POST").refused(t, 400, proxy.ReasonBadRequest)
			}
			if (<-seen).whole() {
				t.Error("the upload arrived whole")
			}
			r.settled(t)
		})
	}
}

// An upload may take longer than the timeout as long as it gets on.
func TestSlowUpload(t *testing.T) {
	t.Parallel()
	const timeout = 1500 * time.Millisecond
	w := newWechat(t, nil)
	r := newRig(t, w, func(s *setup) { s.Timeout = timeout })
	body := part(metaHead, metaText) + part(fileHead, file) + end
	conn := dial(t, r.address())
	_, _ = io.WriteString(conn, formHead(len(body)))
	tick := time.NewTicker(timeout / 5)
	defer tick.Stop()
	for i := range 10 {
		<-tick.C
		_, _ = io.WriteString(conn, body[len(body)*i/10:len(body)*(i+1)/10])
	}
	readRaw(t, bufio.NewReader(conn), "POST").passed(t, 200, "true")
	if string(w.only(t).Body) != body {
		t.Error("the body was changed")
	}
}

// Who waits for "100 Continue" gets it once the call is admitted, and a refusal
// in its place.
func TestUploadExpectsContinue(t *testing.T) {
	t.Parallel()
	w := newWechat(t, nil)
	r := newRig(t, w)
	body := part(metaHead, metaText) + part(fileHead, file) + end
	conn := dial(t, r.address())
	rd := bufio.NewReader(conn)
	_, _ = io.WriteString(conn, formHead(len(body), "Expect: 100-continue\r\n"))
	if line, err := rd.ReadString('\n'); err != nil || line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("got %q, %v", line, err)
	}
	_, _ = rd.ReadString('\n')
	_, _ = io.WriteString(conn, body)
	readRaw(t, rd, "POST").passed(t, 200, "true")
	if w.only(t).Header.Get("Expect") != "" {
		t.Error("Expect was handed on")
	}
	raw(t, r.address(), formHead(100<<20, "Expect: 100-continue\r\n")).refused(t, 400, proxy.ReasonBadUpload)
	raw(t, r.address(), strings.Replace(formHead(100, "Expect: 100-continue\r\n"), "localhost", "evil", 1)).refused(t, 403, proxy.ReasonForbidden)
}
