package vault_test

import (
	"crypto"
	"crypto/rand"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/wxproxy/wxproxy/internal/vault"
)

// failing is Failing of a key that is taken anew, as a reload does.
func (c *client) failing(t *testing.T) (time.Time, error) {
	t.Helper()
	key, ok := c.key(t, 1, nil).(remote)
	if !ok {
		t.Fatal("the key does not tell how it fares")
	}
	return key.Failing()
}

// A key that is found has signed once, or tells what is missing.
func TestKeyIsTriedWhenItIsFound(t *testing.T) {
	t.Parallel()
	f := newTransit(t)
	c := loggedIn(t, f, nil)
	if _, err := c.failing(t); err != nil || f.requests(signPath) != 1 {
		t.Errorf("got %v after %d signatures", err, f.requests(signPath))
	}
	f.on(signPath, status(http.StatusForbidden))
	_, err := c.failing(t)
	if !errors.Is(err, vault.ErrDenied) {
		t.Fatalf("got %v", err)
	}
	says(t, err.Error(), `path "team/transit/sign/shop/sha2-256" { capabilities = ["update"] }`)
}

// Failing tells of the last signature, and since when there was none; what is
// no fault of key or Vault does not count.
func TestFailing(t *testing.T) {
	t.Parallel()
	f := newTransit(t)
	c := loggedIn(t, f, nil)
	key, ok := c.key(t, 1, nil).(remote)
	if !ok {
		t.Fatal("the key does not tell how it fares")
	}
	f.on(signPath, status(http.StatusServiceUnavailable, "Vault is sealed"))
	sign := func() {
		_, _ = key.SignContext(t.Context(), rand.Reader, digest(), crypto.SHA256) // Failing tells
	}
	sign()
	began, err := key.Failing()
	if !errors.Is(err, vault.ErrSealed) || began.IsZero() {
		t.Fatalf("got %v since %v", err, began)
	}
	c.advance(time.Minute)
	for range breakerFailures {
		sign() // at last the breaker opens, which is not the cause
	}
	f.on(signPath, status(http.StatusForbidden))
	if since, err := key.Failing(); !errors.Is(err, vault.ErrSealed) || !since.Equal(began) {
		t.Errorf("got %v since %v", err, since)
	}
	f = newTransit(t)
	c = loggedIn(t, f, nil)
	key, ok = c.key(t, 1, nil).(remote)
	if !ok {
		t.Fatal("the key does not tell how it fares")
	}
	f.on(signPath, status(http.StatusForbidden))
	sign()
	f.on(signPath, signs(nil))
	if err := key.Try(t.Context()); err != nil {
		t.Error(err)
	}
	if since, err := key.Failing(); err != nil || !since.IsZero() {
		t.Errorf("it signs again: got %v since %v", err, since)
	}
}
