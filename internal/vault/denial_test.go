package vault_test

import (
	"crypto"
	"crypto/rand"
	"errors"
	"net/http"
	"sync"
	"testing"

	"github.com/wxproxy/wxproxy/internal/vault"
)

// held answers the first request for a path with a denial, as late as release
// tells; reached is closed when it is there.
func (f *fake) held(path string) (reached, release chan struct{}) {
	reached, release = make(chan struct{}), make(chan struct{})
	page := f.pages[path]
	var once sync.Once
	f.on(path, func(w http.ResponseWriter, r *http.Request) {
		handle := page
		once.Do(func() {
			handle = status(http.StatusForbidden)
			close(reached)
			<-release
		})
		handle(w, r)
	})
	return reached, release
}

// That the token was good while a request was on its way says nothing of the
// moment when the request was denied: it may have been revoked between.
func TestRevokedAfterItWasFoundGood(t *testing.T) {
	t.Parallel()
	f := newTransit(t)
	c := byRole(t, f)
	key := c.key(t, 1, nil)
	reached, release := f.held(signPath)
	f.on("secret/data/shop", status(http.StatusForbidden))
	var all sync.WaitGroup
	all.Go(func() {
		if _, err := key.Sign(rand.Reader, digest(), crypto.SHA256); err != nil {
			t.Errorf("the request on its way: %v", err)
		}
	})
	<-reached
	if err := c.field(t); !errors.Is(err, vault.ErrDenied) {
		t.Errorf("got %v", err)
	}
	f.accept("revoked")
	close(release)
	all.Wait()
	if n := f.requests(appRoleLogin); n != 2 {
		t.Errorf("%d logins", n)
	}
}

// A path that was denied and is allowed again is not missing any more: when the
// token is revoked next, there is a login.
func TestAllowedAgain(t *testing.T) {
	t.Parallel()
	f := newTransit(t)
	c := byRole(t, f)
	key := c.key(t, 1, nil)
	f.on(signPath, status(http.StatusForbidden))
	if _, err := key.Sign(rand.Reader, digest(), crypto.SHA256); !errors.Is(err, vault.ErrDenied) {
		t.Errorf("got %v", err)
	}
	f.on(signPath, signs(nil))
	for range 2 {
		if _, err := key.Sign(rand.Reader, digest(), crypto.SHA256); err != nil {
			t.Error(err)
		}
		f.accept("revoked")
	}
}

// The token that is found good after a denial may be a newer one than the one
// that was denied: somebody else has logged in meanwhile.
func TestReplacedWhileItWasAskedFor(t *testing.T) {
	t.Parallel()
	f := newTransit(t)
	c := byRole(t, f)
	key := c.key(t, 1, nil)
	asked, answer := make(chan struct{}), make(chan struct{})
	var once sync.Once
	f.on(lookup, func(w http.ResponseWriter, r *http.Request) {
		once.Do(func() {
			close(asked)
			<-answer
		})
		data(`{"ttl":0}`)(w, r) // of whichever token is good by now
	})
	f.accept("revoked")
	var all sync.WaitGroup
	all.Go(func() {
		if _, err := key.Sign(rand.Reader, digest(), crypto.SHA256); err != nil {
			t.Error(err)
		}
	})
	<-asked
	if err := c.Login(t.Context()); err != nil {
		t.Error(err)
	}
	close(answer)
	all.Wait()
}

// A token that may not look itself up, as of a role without the default policy,
// is told by what it may do: however often it is revoked, no request is lost,
// and a missing permission makes no login.
func TestBlindToken(t *testing.T) {
	t.Parallel()
	for name, mount := range map[string]bool{"asks by the mount": true, "cannot be asked at all": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			f.blind = true
			if mount {
				f.on(mountPath[:len(mountPath)-len("shop")]+"data/shop", data(`{"path":"secret/","type":"kv"}`))
			}
			c := byRole(t, f)
			if err := c.CheckToken(t.Context()); !errors.Is(err, vault.ErrDenied) {
				t.Errorf("got %v", err)
			} else {
				says(t, err.Error(), `path "auth/token/lookup-self" { capabilities = ["read"] }`, `path "auth/token/renew-self"`)
			}
			const times = 2 * blindLogins
			for i := range times {
				if err := c.field(t); err != nil {
					t.Fatalf("revoked %d times: %v", i, err)
				}
				f.accept("revoked")
			}
			if err := c.field(t); err != nil {
				t.Fatal(err)
			}
			if n := f.requests(appRoleLogin); n != 1+times {
				t.Errorf("%d logins for %d revoked tokens", n-1, times)
			}
			if !mount {
				return // TestMissingPermissionOfABlindToken has the rest
			}
			f.on("secret/data/other", status(http.StatusForbidden))
			for range 20 {
				if _, err := c.Field(t.Context(), "secret/other", "key"); !errors.Is(err, vault.ErrDenied) {
					t.Fatalf("got %v", err)
				}
			}
			if n := f.requests(appRoleLogin); n != 1+times {
				t.Errorf("%d logins for a missing permission", n-1-times)
			}
		})
	}
}

const blindLogins = 3 // as in the client
