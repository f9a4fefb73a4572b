package vault_test

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/wxproxy/wxproxy/internal/vault"
)

// A wrapping token opens once; what was in it serves for later logins.
func TestRevokedTokenIsReplacedWithTheSecretIDUnwrappedOnce(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.on(unwrap, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Vault-Token") != wrapping || f.requests(unwrap) > 1 {
			status(http.StatusBadRequest)(w, r)
			return
		}
		data(`{"secret_id":"the-id"}`)(w, r)
	})
	c := loggedIn(t, f, func(o *vault.Options) {
		o.Auth = appRole(f)
		o.Auth.Wrapped, o.Auth.SecretID = true, give(wrapping)
	})
	f.accept("revoked")
	if err := c.field(t); err != nil {
		t.Errorf("after the token was revoked: %v", err)
	}
	if f.requests(unwrap) != 1 || f.requests(appRoleLogin) != 2 {
		t.Errorf("%d unwraps, %d logins", f.requests(unwrap), f.requests(appRoleLogin))
	}
}

// A token that is revoked again within the second after a login costs a wait,
// and no request.
func TestRevokedAgainAndAgain(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	c := byRole(t, f)
	for range 3 {
		f.accept("revoked")
		if err := c.field(t); err != nil {
			t.Fatal(err)
		}
	}
	if n := f.requests(appRoleLogin); n != 4 {
		t.Errorf("%d logins", n)
	}
}

// A token that is revoked before it could be asked about itself is no sign that
// it may not be: the request goes on with a further login.
func TestRevokedAtOnce(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	c := byRole(t, f)
	login, cut := f.pages[appRoleLogin], false
	f.on(appRoleLogin, func(w http.ResponseWriter, r *http.Request) {
		login(w, r)
		if !cut { // the first token of these is gone as soon as it is made
			cut = true
			f.accept("revoked")
		}
	})
	f.accept("revoked")
	if err := c.field(t); err != nil {
		t.Error(err)
	}
	if n := f.requests(appRoleLogin); n != 3 {
		t.Errorf("%d logins", n)
	}
}

// A permission that is missing costs no login, and one question in a while;
// for another path the token is asked at once.
func TestMissingPermissionMakesNoLogin(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	c := byRole(t, f)
	f.on("secret/data/shop", status(http.StatusForbidden))
	denied := func() {
		t.Helper()
		err := c.field(t)
		if !errors.Is(err, vault.ErrDenied) || errors.Is(err, vault.ErrLogin) {
			t.Fatalf("got %v", err)
		}
		says(t, err.Error(), `path "secret/data/shop" { capabilities = ["read"] }`)
	}
	for range 20 {
		denied()
	}
	if logins, questions := f.requests(appRoleLogin), f.requests(lookup); logins != 1 || questions != 1 {
		t.Errorf("%d logins, %d questions", logins, questions)
	}
	c.advance(probeInterval)
	denied()
	if n := f.requests(lookup); n != 2 {
		t.Errorf("%d questions after a while", n)
	}
	f.accept("revoked")
	f.on("secret/data/other", data(`{"data":{"key":"value"}}`))
	if _, err := c.Field(t.Context(), "secret/other", "key"); err != nil {
		t.Errorf("another path, after the token was revoked: %v", err)
	}
}

// A token that may ask neither about itself nor about any mount always seems
// lost: a few logins find out, and then one in a while.
func TestMissingPermissionOfABlindToken(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	c := byRole(t, f)
	f.mu.Lock()
	f.blind = true
	f.mu.Unlock()
	f.on(mountPath, status(http.StatusForbidden))
	f.on("secret/data/shop", status(http.StatusForbidden))
	denied := func() {
		t.Helper()
		err := c.field(t)
		if !errors.Is(err, vault.ErrDenied) || errors.Is(err, vault.ErrLogin) || !c.State().LoggedIn {
			t.Fatalf("got %v", err)
		}
	}
	for range 20 {
		denied()
	}
	if n := f.requests(appRoleLogin); n != 4 {
		t.Errorf("%d logins, want the first and three that find out", n)
	}
	c.advance(probeInterval)
	for range 20 {
		denied()
	}
	if n := f.requests(appRoleLogin); n != 5 {
		t.Errorf("%d logins after a while", n)
	}
}

// While no login succeeds, every read says so, and none blames a policy; the
// log has it once, and its end.
func TestFailedReloginIsSaidAndShown(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	c := byRole(t, f)
	login := f.pages[appRoleLogin]
	f.on(appRoleLogin, status(http.StatusBadRequest))
	f.accept("revoked")
	for _, path := range []string{"secret/shop", "secret/other", "secret/shop"} {
		c.Forget()
		_, err := c.Field(t.Context(), path, "key")
		if !errors.Is(err, vault.ErrLogin) {
			t.Fatalf("got %v", err)
		}
		says(t, err.Error(), "method approle")
		if strings.Contains(err.Error(), "policy") {
			t.Errorf("a policy is blamed: %v", err)
		}
	}
	if s := c.State(); s.LoggedIn || s.Problem == "" || f.requests(appRoleLogin) != 2 {
		t.Errorf("state %+v, %d logins", s, f.requests(appRoleLogin))
	}
	if c.log.count("Vault fails") != 1 || c.log.count("Vault answers again") != 0 {
		t.Errorf("log: %s", &c.log)
	}
	f.on(appRoleLogin, login)
	c.advance(probeInterval)
	if err := c.field(t); err != nil {
		t.Error(err)
	}
	if s := c.State(); !s.LoggedIn || s.Problem != "" || c.log.count("Vault answers again") != 1 {
		t.Errorf("state %+v, log: %s", s, &c.log)
	}
}

// Run goes on logging in after a request found the token lost and was not let
// in, though nobody asks for anything any more.
func TestRunMendsALostLogin(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	c := byRole(t, f)
	login, again := f.pages[appRoleLogin], make(chan struct{})
	f.on(appRoleLogin, status(http.StatusBadRequest))
	f.accept("revoked")
	if err := c.field(t); !errors.Is(err, vault.ErrLogin) {
		t.Fatalf("got %v", err)
	}
	var once sync.Once
	f.on(appRoleLogin, func(w http.ResponseWriter, r *http.Request) {
		login(w, r)
		once.Do(func() { close(again) })
	})
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() { _ = c.Run(ctx) })
	if err := c.field(t); !errors.Is(err, vault.ErrLogin) { // and wakes Run, should it not have looked yet
		t.Logf("logged in already: %v", err)
	}
	<-again
	cancel()
	all.Wait()
}

// Requests that are denied together, because the token was revoked, share one
// login and all succeed.
func TestDeniedTogetherShareOneLogin(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	c := byRole(t, f)
	f.accept("revoked")
	var all sync.WaitGroup
	for i := range 20 {
		path := "secret/" + strconv.Itoa(i)
		f.on("secret/data/"+strconv.Itoa(i), data(`{"data":{"key":"value"}}`))
		all.Go(func() {
			if _, err := c.Field(t.Context(), path, "key"); err != nil {
				t.Errorf("a request failed: %v", err)
			}
		})
	}
	all.Wait()
	if n := f.requests(appRoleLogin); n != 2 {
		t.Errorf("%d logins, want the first and one more", n)
	}
}
