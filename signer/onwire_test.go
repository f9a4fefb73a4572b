package signer_test

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"testing"

	"github.com/wxproxy/wxproxy/internal/wire"
	"github.com/wxproxy/wxproxy/signer"
)

// recorded is one request as it stood on the wire.
type recorded struct {
	line          string
	authorization []string
	body          []byte
}

// record listens, keeps what comes and answers 204. It reads the request line
// itself: net/http's server would hand out its own idea of it.
func record(t *testing.T) (address string, requests <-chan recorded) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	out := make(chan recorded, 1)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if got, err := readRequest(conn); err == nil {
				out <- got
			}
			_, _ = io.WriteString(conn, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
			_ = conn.Close()
		}
	}()
	return l.Addr().String(), out
}

func readRequest(conn io.Reader) (recorded, error) {
	r := textproto.NewReader(bufio.NewReader(conn))
	line, err := r.ReadLine()
	if err != nil {
		return recorded{}, err
	}
	header, err := r.ReadMIMEHeader()
	if err != nil {
		return recorded{}, err
	}
	n, _ := strconv.ParseInt(header.Get("Content-Length"), 10, 64)
	text, err := io.ReadAll(io.LimitReader(r.R, n))
	return recorded{line, header.Values("Authorization"), text}, err
}

// TestSignedIsSent: for odd targets too the signature holds over the bytes of
// the request line and the body that went out.
func TestSignedIsSent(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change     func(*http.Request)
		line, body string
	}{
		"plain":                {nil, "GET /v3/a HTTP/1.1", ""},
		"bar raw":              {opaque("/v3/a|b"), "GET /v3/a|b HTTP/1.1", ""},
		"bar escaped":          {opaque("/v3/a%7Cb"), "GET /v3/a%7Cb HTTP/1.1", ""},
		"bar escaped in lower": {opaque("/v3/a%7cb"), "GET /v3/a%7cb HTTP/1.1", ""},
		"slash escaped":        {opaque("/v3/a%2Fb"), "GET /v3/a%2Fb HTTP/1.1", ""},
		"letter escaped":       {opaque("/v3/%61"), "GET /v3/%61 HTTP/1.1", ""},
		"brackets":             {opaque("/v3/{a}[b]^`'"), "GET /v3/{a}[b]^`' HTTP/1.1", ""},
		"slash at the end":     {opaque("/v3/applyment4sub/applyment/"), "GET /v3/applyment4sub/applyment/ HTTP/1.1", ""},
		"empty query":          {opaque("/v3/a?"), "GET /v3/a? HTTP/1.1", ""},
		"query":                {opaque("/v3/a?a=1&b=%E4"), "GET /v3/a?a=1&b=%E4 HTTP/1.1", ""},
		"query with oddities":  {opaque("/v3/a?b=%zz;c=+&&?=/../"), "GET /v3/a?b=%zz;c=+&&?=/../ HTTP/1.1", ""},
		"query of its own": {func(r *http.Request) {
			r.URL.Opaque, r.URL.RawQuery = "/v3/a%7Cb", "a=1&b=%E4|"
		}, "GET /v3/a%7Cb?a=1&b=%E4| HTTP/1.1", ""},
		"forced query":          {func(r *http.Request) { r.URL.ForceQuery = true }, "GET /v3/a? HTTP/1.1", ""},
		"raw path":              {func(r *http.Request) { r.URL.Path, r.URL.RawPath = "/v3/a/b", "/v3/a%2Fb" }, "GET /v3/a%2Fb HTTP/1.1", ""},
		"raw path that is none": {func(r *http.Request) { r.URL.Path, r.URL.RawPath = "/v3/a|b", "/v3/x" }, "GET /v3/a%7Cb HTTP/1.1", ""},
		"path to be escaped":    {func(r *http.Request) { r.URL.Path = "/v3/支 付" }, "GET /v3/%E6%94%AF%20%E4%BB%98 HTTP/1.1", ""},
		"fragment":              {func(r *http.Request) { r.URL.Fragment = "f" }, "GET /v3/a HTTP/1.1", ""},
		"method in lower case":  {func(r *http.Request) { r.Method = "get" }, "get /v3/a HTTP/1.1", ""},
		"no method":             {func(r *http.Request) { r.Method = "" }, "GET /v3/a HTTP/1.1", ""},
		"body":                  {func(r *http.Request) { r.Method = "POST" }, "POST /v3/a HTTP/1.1", "{\"a\":1}\n"},
		"DELETE with a body":    {func(r *http.Request) { r.Method = "DELETE" }, "DELETE /v3/a HTTP/1.1", "{}"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address, requests := record(t)
			s := newSigner(t)
			r, err := http.NewRequestWithContext(signer.With(t.Context(), s, []byte(tt.body)), "GET", "http://"+address+"/v3/a", nil)
			if err != nil {
				t.Fatal(err)
			}
			if tt.body != "" {
				r.Body, r.ContentLength = io.NopCloser(strings.NewReader(tt.body)), int64(len(tt.body))
			}
			if tt.change != nil {
				tt.change(r)
			}
			transport := &signer.Transport{Base: &http.Transport{DisableKeepAlives: true}}
			answer, err := transport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = answer.Body.Close()
			got := <-requests
			if got.line != tt.line || string(got.body) != tt.body || len(got.authorization) != 1 {
				t.Fatalf("got %+v, want %q with %q", got, tt.line, tt.body)
			}
			first, last := strings.IndexByte(got.line, ' '), strings.LastIndexByte(got.line, ' ')
			a := parse(t, got.authorization[0])
			message := wire.RequestMessage(got.line[:first], got.line[first+1:last], a.Timestamp, a.Nonce, got.body)
			if !holds(t, s, a.Signature, message) {
				t.Errorf("the signature does not hold over %q", message)
			}
			if holds(t, s, a.Signature, bytes.Replace(message, []byte("/v3/"), []byte("/V3/"), 1)) {
				t.Error("the signature holds over anything")
			}
		})
	}
}

func opaque(target string) func(*http.Request) {
	return func(r *http.Request) { r.URL.Opaque = target }
}
