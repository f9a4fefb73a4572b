package vault_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wxproxy/wxproxy/internal/vault"
)

// remote is what the signer and the merchant take a key from Vault for.
type remote interface {
	Failing() (since time.Time, err error)
	Try(ctx context.Context) error
	SignContext(ctx context.Context, rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error)
}

// A caller who has no time left waits no longer, and that says nothing of
// Vault: no breaker opens, nothing is logged.
func TestSignWaitsNoLongerThanItsCaller(t *testing.T) {
	t.Parallel()
	f := newTransit(t)
	c := loggedIn(t, f, nil)
	key, ok := c.key(t, 1, nil).(remote)
	if !ok {
		t.Fatal("the key takes no context")
	}
	hold := make(chan struct{})
	defer close(hold)
	f.on(signPath, func(http.ResponseWriter, *http.Request) { <-hold })
	for range 2 * breakerFailures {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		_, err := key.SignContext(ctx, rand.Reader, digest(), crypto.SHA256)
		cancel()
		if err == nil || errors.Is(err, vault.ErrTimeout) || errors.Is(err, vault.ErrBroken) {
			t.Fatalf("got %v", err)
		}
	}
	if s := c.State(); s.Breaker != "closed" || s.Problem != "" || c.log.String() != "" {
		t.Errorf("state %+v, log %s", s, &c.log)
	}
}

// Who waits for the others learns that, and no breaker opens by it.
func TestWaitingForAConnectionOpensNoBreaker(t *testing.T) {
	t.Parallel()
	f := newTransit(t)
	c := loggedIn(t, f, func(o *vault.Options) { o.Conns, o.Timeout = 1, 2*time.Second })
	key := c.key(t, 1, nil)
	reached, hold := make(chan struct{}), make(chan struct{})
	var once sync.Once
	f.on(signPath, func(w http.ResponseWriter, r *http.Request) {
		once.Do(func() { close(reached) })
		<-hold
	})
	var all sync.WaitGroup
	all.Go(func() {
		if _, err := key.Sign(rand.Reader, digest(), crypto.SHA256); !errors.Is(err, vault.ErrTimeout) {
			t.Errorf("the one that Vault let wait: %v", err)
		}
	})
	<-reached
	var busy, timeout int
	var mu sync.Mutex
	const waiting = 4 * breakerFailures
	for range waiting {
		all.Go(func() {
			_, err := key.Sign(rand.Reader, digest(), crypto.SHA256)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case errors.Is(err, vault.ErrBusy):
				busy++
			case errors.Is(err, vault.ErrTimeout): // got the place at the last moment
				timeout++
			default:
				t.Errorf("got %v", err)
			}
		})
	}
	all.Wait()
	close(hold)
	// The one that got the place has the whole time for its request.
	if timeout > 1 || busy+timeout != waiting || c.State().Breaker != "closed" {
		t.Errorf("%d were told that all is busy, %d had to wait for Vault; breaker %s", busy, timeout, c.State().Breaker)
	}
}

const breakerFailures = 5 // as in the client

// A Vault that fails again and again is left alone for a moment, and the
// message still says what is wrong with it.
func TestBreakers(t *testing.T) {
	t.Parallel()
	f := newTransit(t)
	c := loggedIn(t, f, nil)
	key := c.key(t, 1, nil)
	sealed := status(http.StatusServiceUnavailable, "Vault is sealed")
	f.on(signPath, sealed)
	f.on(mountPath, sealed)
	for what, do := range map[string]func() error{
		signPath:  func() error { _, err := key.Sign(rand.Reader, digest(), crypto.SHA256); return err },
		mountPath: func() error { return c.field(t) },
	} {
		for range breakerFailures {
			if err := do(); !errors.Is(err, vault.ErrSealed) {
				t.Errorf("%s: got %v", what, err)
			}
		}
		before := f.requests(what)
		err := do()
		if !errors.Is(err, vault.ErrBroken) || !strings.Contains(err.Error(), vault.ErrSealed.Error()) || f.requests(what) != before {
			t.Errorf("%s: got %v, %d requests more", what, err, f.requests(what)-before)
		}
	}
	if c.State().Breaker != "open" {
		t.Errorf("state %+v", c.State())
	}
}

// What is wrong with one key costs the others nothing: that key is left alone
// for a moment, and the message says what is wrong with it.
func TestBreakerOfOneKey(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answer http.HandlerFunc
		want   error
	}{
		"internal error":  {status(http.StatusInternalServerError), vault.ErrInternal},
		"version too old": {status(http.StatusInternalServerError, "less than the minimum encryption key version"), vault.ErrMinVersion},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newTransit(t)
			f.on("team/transit/keys/two", f.pages[keyPath])
			const signTwo = "team/transit/sign/two/sha2-256"
			f.on(signTwo, signs(nil))
			c := loggedIn(t, f, nil)
			shop := c.key(t, 1, nil)
			two, err := c.Key(t.Context(), "team/transit", "two", 1, nil)
			if err != nil {
				t.Fatal(err)
			}
			f.on(signTwo, test.answer)
			for range breakerFailures {
				if _, err := two.Sign(rand.Reader, digest(), crypto.SHA256); !errors.Is(err, test.want) {
					t.Fatalf("got %v", err)
				}
			}
			before := f.requests(signTwo)
			two, err = c.Key(t.Context(), "team/transit", "two", 1, nil) // as a reload does
			if err != nil {
				t.Fatal(err)
			}
			_, err = two.Sign(rand.Reader, digest(), crypto.SHA256)
			if !errors.Is(err, vault.ErrBroken) || !strings.Contains(err.Error(), test.want.Error()) || f.requests(signTwo) != before {
				t.Errorf("got %v, %d requests more", err, f.requests(signTwo)-before)
			}
			if _, err := shop.Sign(rand.Reader, digest(), crypto.SHA256); err != nil || c.State().Breaker != "closed" {
				t.Errorf("another key: %v, state %+v", err, c.State())
			}
		})
	}
}

// A Vault that limits the rate takes the next request, so that no breaker opens.
func TestLimitOpensNoBreaker(t *testing.T) {
	t.Parallel()
	f := newTransit(t)
	c := loggedIn(t, f, nil)
	key := c.key(t, 1, nil)
	limited := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "3600")
		status(http.StatusTooManyRequests)(w, r)
	}
	f.on(signPath, limited)
	for range 2 * breakerFailures {
		if _, err := key.Sign(rand.Reader, digest(), crypto.SHA256); !errors.Is(err, vault.ErrRateLimited) {
			t.Fatalf("got %v", err)
		}
	}
	f.on(signPath, signs(nil))
	if _, err := key.Sign(rand.Reader, digest(), crypto.SHA256); err != nil {
		t.Error(err)
	}
}
