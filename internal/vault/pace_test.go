package vault_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/wxproxy/wxproxy/internal/vault"
)

// A Vault that limits the rate is not down: however often it does, no breaker
// opens, and what it gives next is taken.
func TestRateLimitOpensNoBreaker(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	c := loggedIn(t, f, nil)
	f.on("secret/data/shop", later("0"))
	for range 2 * breakerFailures {
		if err := c.field(t); !errors.Is(err, vault.ErrRateLimited) {
			t.Errorf("got %v", err)
		}
	}
	f.on("secret/data/shop", data(`{"data":{"key":"`+aSecret+`"}}`))
	if err := c.field(t); err != nil {
		t.Errorf("got %v", err)
	}
}

// What Vault said of one read holds for all of its mount: none is made before its
// time, and who cannot wait for that is told at once. Other mounts are read.
func TestReadsKeepPaceTogether(t *testing.T) {
	t.Parallel()
	f := newTransit(t)
	c := loggedIn(t, f, func(o *vault.Options) { o.Timeout = 30 * time.Second })
	key := c.key(t, 1, nil)
	f.on(signPath, later("3600"))
	if _, err := key.Sign(rand.Reader, digest(), crypto.SHA256); !errors.Is(err, vault.ErrRateLimited) {
		t.Errorf("got %v", err)
	}
	if err := c.field(t); err != nil {
		t.Errorf("a limit of signatures holds for reads: %v", err)
	}
	f.on("secret/data/shop", later("3600"))
	f.on("secret/data/other", data(`{"data":{"key":"value"}}`))
	if err := c.field(t); !errors.Is(err, vault.ErrRateLimited) {
		t.Errorf("got %v", err)
	}
	if _, err := c.Field(t.Context(), "secret/other", "key"); !errors.Is(err, vault.ErrRateLimited) {
		t.Errorf("got %v", err)
	}
	if n := f.requests("secret/data/other"); n != 0 {
		t.Errorf("asked %d times while no read was to be made", n)
	}
	f.on("fine/data/shop", data(`{"data":{"key":"value"}}`))
	if _, err := c.Field(t.Context(), "fine/shop", "key"); err != nil {
		t.Errorf("a limit of one mount holds for another: %v", err)
	}
	if _, err := c.Key(t.Context(), "team/transit", "shop", 1, nil); err != nil {
		t.Errorf("a limit of KV holds for Transit: %v", err)
	}
}

// whenWritten is a log that calls back.
type whenWritten func()

func (w whenWritten) Write(p []byte) (int, error) {
	w()
	return len(p), nil
}

// A read whose caller has no time left while it waits for its turn says that,
// and not that Vault limits it: others who wait for the same one go on.
func TestReadEndsWithItsCaller(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	ctx, cancel := context.WithCancel(t.Context())
	c := loggedIn(t, f, func(o *vault.Options) { o.Log = slog.New(slog.NewTextHandler(whenWritten(cancel), nil)) })
	f.on("secret/data/shop", later("a while")) // is logged, and then waited for
	if _, err := c.Field(ctx, "secret/shop", "key"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// A limit of a second is waited for.
func TestReadsWaitForTheirTurn(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	c := loggedIn(t, f, nil)
	if err := c.field(t); err != nil {
		t.Fatal(err)
	}
	f.next(status(http.StatusTooManyRequests), status(http.StatusTooManyRequests), status(http.StatusTooManyRequests))
	if err := c.field(t); err != nil {
		t.Errorf("got %v", err)
	}
}
