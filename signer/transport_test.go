package signer_test

import (
	"context"
	"crypto"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/wxproxy/wxproxy/internal/wire"
	"github.com/wxproxy/wxproxy/signer"
)

const base = "http://127.0.0.1"

// roundTrip is a base transport that keeps the contract: it closes the body.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		defer r.Body.Close()
	}
	return f(r)
}

// body counts how often it is closed.
type body struct {
	io.Reader
	closed atomic.Int32
}

func (b *body) Close() error { b.closed.Add(1); return nil }

func noContent(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusNoContent, Body: http.NoBody}, nil
}

func newRequest(t testing.TB, s *signer.Signer, method, target, text string) (*http.Request, *body) {
	t.Helper()
	b := &body{Reader: strings.NewReader(text)}
	r, err := http.NewRequestWithContext(signer.With(t.Context(), s, []byte(text)), method, base+target, b)
	if err != nil {
		t.Fatal(err)
	}
	return r, b
}

func TestTransportDoesNotChangeTheRequest(t *testing.T) {
	t.Parallel()
	r, b := newRequest(t, newSigner(t), "POST", "/v3/a?b=c", "{}")
	r.Header.Set("Authorization", "Bearer of-the-caller")
	r.Header.Set("Accept", "application/json")
	header, target, ctx := maps.Clone(r.Header), *r.URL, r.Context()

	var sent *http.Request
	transport := &signer.Transport{Base: roundTrip(func(r *http.Request) (*http.Response, error) {
		sent = r
		return noContent(r)
	})}
	if _, err := transport.RoundTrip(r); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(r.Header, header) || *r.URL != target || r.Context() != ctx || r.Body != b {
		t.Errorf("the request was changed: %v %v", r.Header, r.URL)
	}
	if sent == r || sent.Header.Get("Accept") != "application/json" || len(sent.Header.Values("Authorization")) != 1 {
		t.Errorf("sent %v", sent.Header)
	}
	if parse(t, sent.Header.Get("Authorization")).ID != mchID {
		t.Error("the caller's Authorization went out")
	}
	if got := b.closed.Load(); got != 1 {
		t.Errorf("body closed %d times", got)
	}
}

func TestTransportClosesTheBodyOnErrors(t *testing.T) {
	t.Parallel()
	broken, err := signer.New(signer.Credential{
		ID: mchID, Serial: serial, Key: brokenKey{vectors.PrivateKey(t, keyFile).Public()},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	errBase := errors.New("no route")
	for name, tt := range map[string]struct {
		signer *signer.Signer
		change func(*http.Request)
		want   error
		sent   int32
	}{
		"no signer":         {nil, nil, signer.ErrNoSigner, 0},
		"key does not sign": {broken, nil, signer.ErrSigning, 0},
		"no URL":            {newSigner(t), func(r *http.Request) { r.URL = nil }, signer.ErrSigning, 0},
		"space in the URL":  {newSigner(t), func(r *http.Request) { r.URL.RawQuery = "a b" }, signer.ErrSigning, 0},
		"another authority": {newSigner(t), func(r *http.Request) { r.URL.Opaque = "//evil.example/v3/a" }, signer.ErrSigning, 0},
		"base fails":        {newSigner(t), nil, errBase, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, b := newRequest(t, tt.signer, "POST", "/v3/a", "{}")
			if tt.change != nil {
				tt.change(r)
			}
			var sent atomic.Int32
			transport := &signer.Transport{Base: roundTrip(func(*http.Request) (*http.Response, error) {
				sent.Add(1)
				return nil, errBase
			})}
			if _, err := transport.RoundTrip(r); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if b.closed.Load() != 1 || sent.Load() != tt.sent {
				t.Errorf("body closed %d times, sent %d times", b.closed.Load(), sent.Load())
			}
		})
	}
}

func TestTransportWithoutContextOrBody(t *testing.T) {
	t.Parallel()
	transport := &signer.Transport{Base: roundTrip(noContent)}
	r, err := http.NewRequestWithContext(t.Context(), "GET", base+"/v3/a", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := transport.RoundTrip(r); !errors.Is(err, signer.ErrNoSigner) {
		t.Errorf("got %v, want ErrNoSigner", err)
	}
}

// TestTransportBareRequest: net/http sends GET for an empty method, so that is
// what has to be signed; a request need not have a header map.
func TestTransportBareRequest(t *testing.T) {
	t.Parallel()
	s := newSigner(t)
	var header string
	transport := &signer.Transport{Base: roundTrip(func(r *http.Request) (*http.Response, error) {
		header = r.Header.Get("Authorization")
		return noContent(r)
	})}
	r := (&http.Request{URL: &url.URL{Scheme: "http", Host: "127.0.0.1", Path: "/v3/a"}}).WithContext(signer.With(t.Context(), s, nil))
	if _, err := transport.RoundTrip(r); err != nil {
		t.Fatal(err)
	}
	a := parse(t, header)
	if !holds(t, s, a.Signature, wire.RequestMessage("GET", "/v3/a", a.Timestamp, a.Nonce, nil)) || r.Header != nil {
		t.Error("the signature does not hold, or the request was changed")
	}
}

func TestTransportSignsEachAttempt(t *testing.T) {
	t.Parallel()
	s := newSigner(t)
	seen := map[string]bool{}
	transport := &signer.Transport{Base: roundTrip(func(r *http.Request) (*http.Response, error) {
		seen[parse(t, r.Header.Get("Authorization")).Nonce] = true
		return noContent(r)
	})}
	r, _ := newRequest(t, s, "GET", "/v3/a", "")
	for range 2 {
		if _, err := transport.RoundTrip(r); err != nil {
			t.Fatal(err)
		}
	}
	if len(seen) != 2 {
		t.Errorf("two attempts had %d nonces", len(seen))
	}
}

// TestTransportConcurrently is for the race detector: each request is signed
// by its own signer over its own body.
func TestTransportConcurrently(t *testing.T) {
	t.Parallel()
	one, two := newSigner(t), newSignerFor(t, "go_sdk_key.pem", "1900009191", "AB")
	transport := &signer.Transport{Base: roundTrip(func(r *http.Request) (*http.Response, error) {
		text, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		s := one
		if r.URL.Path == "/v3/two" {
			s = two
		}
		a, err := wire.ParseAuthorization(r.Header.Get("Authorization"))
		if err != nil {
			return nil, err
		}
		if a.ID != s.ID() || !holds(t, s, a.Signature, wire.RequestMessage(r.Method, r.URL.RequestURI(), a.Timestamp, a.Nonce, text)) {
			return nil, fmt.Errorf("request %s has a signature of another", text)
		}
		return noContent(r)
	})}
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			s, target := one, "/v3/one"
			if i%2 == 1 {
				s, target = two, "/v3/two"
			}
			r, _ := newRequest(t, s, "POST", target, fmt.Sprint(i))
			if _, err := transport.RoundTrip(r); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// remoteKey is a key that lives elsewhere.
type remoteKey struct {
	*rsa.PrivateKey
	asked func(context.Context) error
}

// SignContext signs unless asked has something against it.
func (k remoteKey) SignContext(ctx context.Context, rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if err := k.asked(ctx); err != nil {
		return nil, err
	}
	return k.Sign(rand, digest, opts)
}

// A key that lives elsewhere is waited for as long as the request may take.
func TestRemoteKeyGetsTheContextOfTheRequest(t *testing.T) {
	t.Parallel()
	key := remoteKey{vectors.PrivateKey(t, keyFile), context.Context.Err}
	s, err := signer.New(signer.Credential{ID: mchID, Serial: serial, Key: key}, at1554208460)
	if err != nil {
		t.Fatal(err)
	}
	address, requests := record(t)
	transport := &signer.Transport{Base: &http.Transport{DisableKeepAlives: true}}
	send := func(ctx context.Context) error {
		r, err := http.NewRequestWithContext(signer.With(ctx, s, nil), http.MethodGet, "http://"+address+"/v3/a", nil)
		if err != nil {
			return err
		}
		answer, err := transport.RoundTrip(r)
		if err != nil {
			return err
		}
		return answer.Body.Close()
	}
	if err := send(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := <-requests
	a := parse(t, got.authorization[0])
	if !holds(t, s, a.Signature, wire.RequestMessage(http.MethodGet, "/v3/a", a.Timestamp, a.Nonce, nil)) {
		t.Error("the signature does not hold")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := send(ctx); !errors.Is(err, signer.ErrSigning) || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// So it is for what else is signed: no longer than the caller may wait.
func TestRemoteKeyGetsTheContextOfItsCaller(t *testing.T) {
	t.Parallel()
	key := remoteKey{vectors.PrivateKey(t, keyFile), context.Context.Err}
	s, err := signer.New(signer.Credential{ID: mchID, Serial: serial, Key: key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	gone, hangUp := context.WithCancel(t.Context())
	hangUp()
	for name, sign := range map[string]func(context.Context) error{
		"Client": func(ctx context.Context) error {
			_, err := s.Client(ctx, "wx1234567890abcdef", "prepay_id=x")
			return err
		},
		"AnswerAuthorization": func(ctx context.Context) error { _, err := s.AnswerAuthorization(ctx, nil); return err },
	} {
		if err := sign(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := sign(gone); !errors.Is(err, context.Canceled) {
			t.Errorf("%s, though the caller is gone: got %v", name, err)
		}
	}
}
