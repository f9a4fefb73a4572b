//go:build e2e

package e2e

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"testing"
)

// exchange is a request that went through a relay, and its answer.
type exchange struct {
	method, target string
	header         http.Header
	body           []byte

	status       int
	answerHeader http.Header
	answer       []byte
}

// relay stands on the wire between two processes, byte for byte, and remembers
// what it saw.
type relay struct {
	url    string
	server *httptest.Server
	client *http.Transport

	mu     sync.Mutex
	to     func(*http.Request) string // base URL for a request
	tamper func([]byte) []byte        // of answers; nil: none
	seen   []exchange
}

func newRelay(t *testing.T, to string) *relay {
	t.Helper()
	r := &relay{to: func(*http.Request) string { return to }, client: &http.Transport{DisableCompression: true}}
	r.server = httptest.NewServer(r)
	r.url = r.server.URL
	t.Cleanup(func() { r.server.Close(); r.client.CloseIdleConnections() })
	return r
}

// route makes the relay choose where each request goes.
func (r *relay) route(to func(*http.Request) string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.to = to
}

// spoil changes the answers from now on.
func (r *relay) spoil(tamper func([]byte) []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tamper = tamper
}

// all returns what went through so far.
func (r *relay) all() []exchange {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.seen)
}

func (r *relay) last(t *testing.T) exchange {
	t.Helper()
	all := r.all()
	if len(all) == 0 {
		t.Fatal("nothing went through the relay")
	}
	return all[len(all)-1]
}

func (r *relay) ServeHTTP(w http.ResponseWriter, in *http.Request) {
	r.mu.Lock()
	to, tamper := r.to(in), r.tamper
	r.mu.Unlock()
	x := exchange{method: in.Method, target: in.RequestURI, header: in.Header.Clone()}
	if err := r.forward(in, to, &x); err != nil {
		panic(http.ErrAbortHandler) // the other side broke off, and so do we
	}
	r.mu.Lock()
	r.seen = append(r.seen, x)
	r.mu.Unlock()
	answer := x.answer
	if tamper != nil {
		answer = tamper(bytes.Clone(answer))
	}
	maps.Copy(w.Header(), x.answerHeader)
	w.Header().Del("Content-Length")
	w.WriteHeader(x.status)
	_, _ = w.Write(answer) // the caller may be gone
}

func (r *relay) forward(in *http.Request, to string, x *exchange) (err error) {
	if x.body, err = io.ReadAll(in.Body); err != nil {
		return err
	}
	base, err := url.Parse(to)
	if err != nil {
		return err
	}
	out, err := http.NewRequestWithContext(in.Context(), in.Method, to, bytes.NewReader(x.body))
	if err != nil {
		return err
	}
	out.URL = &url.URL{Scheme: base.Scheme, Host: base.Host, Opaque: in.RequestURI}
	out.Header, out.Host = in.Header.Clone(), in.Host
	answer, err := r.client.RoundTrip(out)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	x.status, x.answerHeader = answer.StatusCode, answer.Header
	x.answer, err = io.ReadAll(answer.Body)
	return err
}

// flip changes one digit, so that JSON stays JSON and only a verifier notices.
func flip(body []byte) []byte {
	for i := len(body) - 1; i >= 0; i-- {
		if body[i] >= '0' && body[i] <= '9' {
			body[i] ^= 1
			return body
		}
	}
	return append(body, ' ')
}
