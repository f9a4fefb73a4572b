package vault_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wxproxy/wxproxy/internal/secret"
	"github.com/wxproxy/wxproxy/internal/vault"
)

const (
	givenToken = "hvs.given-token-that-must-not-leak"
	aSecret    = "secret-that-must-not-leak"
	outside    = "outside words" // of Vault's errors, which are not repeated

	mountPath = "sys/internal/ui/mounts/secret/shop"
)

// fake answers as Vault does, as far as the client asks.
type fake struct {
	*httptest.Server

	mu    sync.Mutex
	token string                      // the one that is good
	pages map[string]http.HandlerFunc // by path without /v1/; for good tokens only, but for logins
	first []http.HandlerFunc          // answers ahead of all others, each once
	blind bool                        // the token may not look itself up
	asked map[string]int              // requests by path
	seen  []http.Header
}

func newFake(t testing.TB) *fake {
	t.Helper()
	f := &fake{token: givenToken, asked: make(map[string]int), pages: make(map[string]http.HandlerFunc)}
	f.pages[mountPath] = data(`{"path":"secret/","type":"kv","options":{"version":"2"}}`)
	f.pages["secret/data/shop"] = data(`{"data":{"key":"` + aSecret + `"},"metadata":{"version":1}}`)
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	return f
}

// data is an answer with that data.
func data(text string) http.HandlerFunc { return body(http.StatusOK, `{"data":`+text+`}`) }

// status is an answer that something failed.
func status(code int, words ...string) http.HandlerFunc {
	text, err := json.Marshal(map[string][]string{"errors": append(words, outside)})
	if err != nil {
		panic(err) // texts can be written
	}
	return body(code, string(text))
}

func body(code int, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		_, _ = w.Write([]byte(text))
	}
}

// reset breaks the connection instead of answering.
func reset(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/v1/")
	f.mu.Lock()
	f.asked[path]++
	f.seen = append(f.seen, r.Header.Clone())
	handle, good, blind := f.pages[path], r.Header.Get("X-Vault-Token") == f.token, f.blind
	if len(f.first) > 0 {
		handle, good, f.first = f.first[0], true, f.first[1:]
	}
	f.mu.Unlock()
	switch {
	case handle != nil && (good || strings.HasPrefix(path, "auth/") || strings.HasPrefix(path, "sys/wrapping/")):
		handle(w, r)
	case !good:
		status(http.StatusForbidden)(w, r)
	case path == "auth/token/lookup-self" && !blind:
		data(`{"ttl":0,"renewable":false}`)(w, r)
	case path == "auth/token/lookup-self", strings.HasPrefix(path, "sys/"):
		status(http.StatusForbidden)(w, r)
	default:
		body(http.StatusNotFound, `{"errors":[]}`)(w, r)
	}
}

// on answers requests for a path, and forgets an answer given before.
func (f *fake) on(path string, handle http.HandlerFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pages[path] = handle
}

// next answers the next requests, whatever they are for.
func (f *fake) next(handle ...http.HandlerFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.first = append(f.first, handle...)
}

// accept makes a token the only one that is good.
func (f *fake) accept(token string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.token = token
}

func (f *fake) requests(path string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked[path]
}

// clock is the time, plus what the test adds.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) advance(d time.Duration) { c.ahead.Add(int64(d)) }

// lines is a log that can be counted.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), what)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// client is one that is logged in, with its clock and log.
type client struct {
	*vault.Client
	clock
	log lines
}

// give is a reference that holds a text.
func give(text string) func(context.Context) (secret.Value, error) {
	return func(context.Context) (secret.Value, error) { return secret.NewValue([]byte(text + "\n")), nil }
}

// options never time out: what is waited for comes, or is refused at once.
func options(f *fake) vault.Options {
	return vault.Options{Address: f.URL, Timeout: time.Minute, Auth: vault.Auth{Method: vault.MethodToken, Token: give(givenToken)}}
}

// newClient makes a client; change may be nil.
func newClient(t testing.TB, f *fake, change func(*vault.Options)) *client {
	t.Helper()
	c, o := &client{}, options(f)
	o.Now, o.Log = c.now, slog.New(slog.NewTextHandler(&c.log, nil))
	if change != nil {
		change(&o)
	}
	var err error
	if c.Client, err = vault.New(o); err != nil {
		t.Fatal(err)
	}
	return c
}

// loggedIn is newClient after Login.
func loggedIn(t testing.TB, f *fake, change func(*vault.Options)) *client {
	t.Helper()
	c := newClient(t, f, change)
	if err := c.Login(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c
}

// field reads the one secret there is, anew.
func (c *client) field(t testing.TB) error {
	t.Helper()
	c.Forget()
	v, err := c.Field(t.Context(), "secret/shop", "key")
	if err == nil && string(v.Bytes()) != aSecret {
		t.Errorf("read %q", v.Bytes())
	}
	return err
}

// says checks that a message has all the words, and nothing that is secret or
// from outside.
func says(t testing.TB, message string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(message, w) {
			t.Errorf("%q is not in: %s", w, message)
		}
	}
	for _, leak := range []string{"hvs.", aSecret, outside} {
		if strings.Contains(message, leak) {
			t.Errorf("%q is in: %s", leak, message)
		}
	}
}

// probeInterval is that of the client: how long what a denial taught counts.
const probeInterval = 5 * time.Second
