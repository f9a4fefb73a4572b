package vault_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/wxproxy/wxproxy/internal/secret"
	"github.com/wxproxy/wxproxy/internal/vault"
)

// An app that hangs up while its call unwraps the next secret ID does not lose
// it: the login goes on.
func TestHangUpLosesNoSecretID(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	var current atomic.Value
	current.Store(wrapping)
	reached, release, seen := make(chan struct{}), make(chan struct{}), sync.Map{}
	f.on(unwrap, func(w http.ResponseWriter, r *http.Request) {
		token := r.Header.Get("X-Vault-Token")
		if _, again := seen.LoadOrStore(token, true); again {
			status(http.StatusBadRequest)(w, r)
			return
		}
		if token != wrapping {
			close(reached)
			<-release
		}
		data(`{"secret_id":"the-id"}`)(w, r)
	})
	c := loggedIn(t, f, func(o *vault.Options) {
		o.Auth = appRole(f)
		o.Auth.Wrapped = true
		o.Auth.SecretID = func(ctx context.Context) (secret.Value, error) {
			token, _ := current.Load().(string)
			return give(token)(ctx)
		}
	})
	current.Store("hvs.second")
	f.accept("revoked")
	ctx, hangUp := context.WithCancel(t.Context())
	go func() {
		<-reached
		hangUp()
	}()
	c.Forget()
	if _, err := c.Field(ctx, "secret/shop", "key"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	close(release)
	if err := c.field(t); err != nil {
		t.Errorf("the next one: %v", err)
	}
	if n := f.requests(unwrap); n != 2 {
		t.Errorf("%d unwraps", n)
	}
}

// hangUp has an app hang up during the login that its call led to. The login
// goes on as the answer does.
func (c *client) hangUp(t *testing.T, f *fake, answer http.HandlerFunc) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	release := make(chan struct{})
	f.on(appRoleLogin, func(w http.ResponseWriter, r *http.Request) {
		cancel()
		<-release
		answer(w, r)
	})
	f.accept("revoked")
	c.Forget()
	if _, err := c.Field(ctx, "secret/shop", "key"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	close(release)
}

// A login that outlives its asker is what Run renews from then on.
func TestLoginThatOutlivesItsAskerIsRenewed(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	auth := appRole(f)
	grant := func(token string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			f.accept(token)
			body(http.StatusOK, `{"auth":{"client_token":"`+token+`","renewable":true,"lease_duration":3600}}`)(w, r)
		}
	}
	f.on(appRoleLogin, grant("hvs.first"))
	c := loggedIn(t, f, func(o *vault.Options) { o.Auth = auth })
	renewed := map[string]chan struct{}{"hvs.first": make(chan struct{}), "hvs.second": make(chan struct{})}
	f.on("auth/token/renew-self", func(w http.ResponseWriter, r *http.Request) {
		token := r.Header.Get("X-Vault-Token")
		close(renewed[token])
		body(http.StatusOK, `{"auth":{"client_token":"`+token+`","renewable":true,"lease_duration":3600}}`)(w, r)
	})
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() { _ = c.Run(ctx) })
	<-renewed["hvs.first"]
	c.hangUp(t, f, grant("hvs.second"))
	<-renewed["hvs.second"]
	cancel()
	all.Wait()
}

// One that fails is kept for those who are denied next, as any other.
func TestLoginThatOutlivesItsAskerAndFails(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	c := byRole(t, f)
	c.hangUp(t, f, status(http.StatusBadRequest))
	if err := c.Login(t.Context()); !errors.Is(err, vault.ErrLogin) { // begins when that one has ended
		t.Errorf("got %v", err)
	}
	if err := c.field(t); !errors.Is(err, vault.ErrLogin) || f.requests(appRoleLogin) != 3 {
		t.Errorf("got %v after %d logins", err, f.requests(appRoleLogin))
	}
}
