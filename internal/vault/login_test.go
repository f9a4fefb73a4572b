package vault_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/wxproxy/wxproxy/internal/secret"
	"github.com/wxproxy/wxproxy/internal/vault"
)

const (
	appRoleLogin = "auth/approle/login"
	lookup       = "auth/token/lookup-self"
	unwrap       = "sys/wrapping/unwrap"
	wrapping     = "hvs.wrapping"
)

// appRole is a role that f knows; each login makes another token the good one.
func appRole(f *fake) vault.Auth {
	var logins atomic.Int64
	f.on(appRoleLogin, func(w http.ResponseWriter, r *http.Request) {
		var in map[string]string
		_ = json.NewDecoder(r.Body).Decode(&in)
		if in["role_id"] != "role" || in["secret_id"] != "the-id" || r.Header.Get("X-Vault-Token") != "" {
			status(http.StatusBadRequest, "invalid role or secret ID")(w, r)
			return
		}
		token := "hvs.login" + strconv.FormatInt(logins.Add(1), 10)
		f.accept(token)
		body(http.StatusOK, `{"auth":{"client_token":"`+token+`","lease_duration":3600}}`)(w, r)
	})
	return vault.Auth{Method: vault.MethodAppRole, RoleID: give("role"), SecretID: give("the-id")}
}

// byRole is a client that is logged in by AppRole.
func byRole(t *testing.T, f *fake) *client {
	t.Helper()
	return loggedIn(t, f, func(o *vault.Options) { o.Auth = appRole(f) })
}

// Each row changes one thing of a login that succeeds.
func TestLoginRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	jwt := filepath.Join(dir, "jwt")
	if err := os.WriteFile(jwt, []byte("a.b.c\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	token := func(*fake) vault.Auth { return vault.Auth{Method: vault.MethodToken, Token: give(givenToken)} }
	inFile := func(path string) func(*fake) vault.Auth {
		return func(*fake) vault.Auth { return vault.Auth{Method: vault.MethodTokenFile, TokenFile: path} }
	}
	pod := func(path string) func(*fake) vault.Auth {
		return func(f *fake) vault.Auth {
			f.on("auth/kubernetes/login", body(http.StatusOK, `{"auth":{"client_token":"`+givenToken+`","lease_duration":3600}}`))
			return vault.Auth{Method: vault.MethodKubernetes, Role: "shop", JWTFile: path}
		}
	}
	wrapped := func(f *fake) vault.Auth {
		f.on(unwrap, data(`{"secret_id":"the-id"}`))
		auth := appRole(f)
		auth.Wrapped, auth.SecretID = true, give(wrapping)
		return auth
	}
	page := func(path string, handle http.HandlerFunc) func(*fake, *vault.Auth) {
		return func(f *fake, _ *vault.Auth) { f.on(path, handle) }
	}
	for name, test := range map[string]struct {
		auth   func(*fake) vault.Auth
		change func(*fake, *vault.Auth)
		want   error // besides ErrLogin
		says   string
	}{
		"token unknown":      {token, func(f *fake, _ *vault.Auth) { f.accept("another") }, vault.ErrDenied, "method token"},
		"token empty":        {token, func(_ *fake, a *vault.Auth) { a.Token = give("") }, nil, "empty"},
		"token at its end":   {token, page(lookup, data(`{"ttl":0,"expire_time":"2026-11-23T00:00:00Z"}`)), nil, "at its end"},
		"token without time": {token, page(lookup, data(`{"ttl":"soon"}`)), nil, "time to live"},
		"sealed":             {token, page(lookup, status(http.StatusServiceUnavailable, "Vault is sealed")), vault.ErrSealed, ""},
		"no token file":      {inFile(filepath.Join(dir, "none")), nil, secret.ErrNoFile, "vault.auth.token_file"},
		"no jwt file":        {pod(filepath.Join(dir, "none")), nil, secret.ErrNoFile, "vault.auth.jwt_file"},
		"token file no file": {inFile(dir), nil, secret.ErrNotRegular, "vault.auth.token_file"},
		"jwt file no file":   {pod(dir), nil, secret.ErrNotRegular, "vault.auth.jwt_file"},
		"two lines":          {token, func(_ *fake, a *vault.Auth) { a.Token = give("hvs.one\ntwo") }, nil, "line feed"},
		"a zero":             {token, func(_ *fake, a *vault.Auth) { a.Token = give("hvs.one\x00") }, nil, "line feed"},
		"two lines wrapped":  {wrapped, func(_ *fake, a *vault.Auth) { a.SecretID = give("hvs.one\ntwo") }, nil, "line feed"},
		"token revoked":      {token, page(lookup, status(http.StatusForbidden)), vault.ErrDenied, "put a new one there"},
		"pod refused":        {pod(jwt), page("auth/kubernetes/login", status(http.StatusForbidden)), vault.ErrDenied, "vault read auth/kubernetes/role/shop"},
		"no token given":     {pod(jwt), page("auth/kubernetes/login", body(http.StatusOK, `{"auth":{}}`)), nil, "no token"},
		"role unknown":       {appRole, func(_ *fake, a *vault.Auth) { a.RoleID = give("another") }, vault.ErrRefused, "method approle"},
		"secret ID unknown":  {appRole, func(_ *fake, a *vault.Auth) { a.SecretID = give("another") }, vault.ErrRefused, "vault write -f auth/approle/role/NAME/secret-id"},
		"another mount":      {appRole, func(_ *fake, a *vault.Auth) { a.Mount = "roles" }, vault.ErrDenied, ""},
		"already unwrapped":  {wrapped, page(unwrap, status(http.StatusBadRequest)), vault.ErrRefused, "used before"},
		"wraps nothing":      {wrapped, page(unwrap, body(http.StatusNoContent, "")), nil, "empty"},
		"wraps another":      {wrapped, page(unwrap, data(`{"role_id":"role"}`)), nil, "not a secret ID"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			auth := test.auth(f)
			if test.change != nil {
				change := newFake(t)
				before := test.auth(change)
				change.accept(givenToken)
				if c := newClient(t, change, func(o *vault.Options) { o.Auth = before }); c.Login(t.Context()) != nil {
					t.Fatal("the login fails before the change")
				}
				f.accept(givenToken)
				test.change(f, &auth)
			}
			c := newClient(t, f, func(o *vault.Options) { o.Auth = auth })
			err := c.Login(t.Context())
			if !errors.Is(err, vault.ErrLogin) || test.want != nil && !errors.Is(err, test.want) {
				t.Fatalf("got %v, want %v", err, test.want)
			}
			says(t, err.Error(), test.says)
			if s := c.State(); s.LoggedIn || s.Problem != err.Error() || c.log.count("Vault fails") != 1 {
				t.Errorf("state %+v, log %s", s, &c.log)
			}
		})
	}
}

func TestNewRefusesAnAuthWithoutItsParts(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	for _, auth := range []vault.Auth{
		{}, {Method: "ldap"}, {Method: vault.MethodToken}, {Method: vault.MethodAppRole, RoleID: give("role")}, {Method: vault.MethodAppRole, SecretID: give("id")},
	} {
		if _, err := vault.New(vault.Options{Address: f.URL, Auth: auth}); err == nil {
			t.Errorf("%+v is taken", auth)
		}
	}
}

// What Vault may have done already is not asked for again: a wrapping token
// would be gone.
func TestLoginIsRepeatedOnlyIfNotProcessed(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		first  http.HandlerFunc
		logins int
	}{
		"limited": {status(http.StatusTooManyRequests), 2}, "standby": {status(http.StatusServiceUnavailable), 2},
		"failed": {status(http.StatusInternalServerError), 1}, "reset": {reset, 1},
	} {
		f := newFake(t)
		c := newClient(t, f, func(o *vault.Options) { o.Auth = appRole(f) })
		f.next(test.first)
		err := c.Login(t.Context())
		if n := f.requests(appRoleLogin); n != test.logins || (err == nil) != (n == 2) {
			t.Errorf("%s: %d logins, %v", name, n, err)
		}
	}
}

// What an operator orders by SIGHUP.
func TestReload(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	c := byRole(t, f)
	if err := c.Reload(t.Context()); err != nil || f.requests(appRoleLogin) != 1 {
		t.Errorf("a good login: %v, %d logins", err, f.requests(appRoleLogin))
	}
	login := f.pages[appRoleLogin]
	f.on(appRoleLogin, status(http.StatusBadRequest))
	f.accept("revoked")
	if err := c.field(t); !errors.Is(err, vault.ErrLogin) {
		t.Fatalf("got %v", err)
	}
	if err := c.Reload(t.Context()); !errors.Is(err, vault.ErrLogin) {
		t.Errorf("not mended yet: %v", err)
	}
	f.on(appRoleLogin, login)
	if err := c.Reload(t.Context()); err != nil {
		t.Errorf("mended: %v", err)
	}
	if err := c.field(t); err != nil {
		t.Errorf("mended: %v", err)
	}

	f = newFake(t)
	token := givenToken
	c = loggedIn(t, f, func(o *vault.Options) {
		o.Auth.Token = func(ctx context.Context) (secret.Value, error) { return give(token)(ctx) }
	})
	f.accept("hvs.another")
	token = "hvs.another"
	if err := c.Reload(t.Context()); err != nil {
		t.Errorf("another token: %v", err)
	}
	if err := c.field(t); err != nil {
		t.Errorf("another token: %v", err)
	}
}

func TestCancelledLoginKeepsTheOldOne(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	c := byRole(t, f)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Login(ctx); !errors.Is(err, context.Canceled) || !c.State().LoggedIn || c.State().Problem != "" {
		t.Errorf("got %v, state %+v", err, c.State())
	}
}

func TestCredentialsFollowNoRedirect(t *testing.T) {
	t.Parallel()
	var reached atomic.Bool
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Store(true) }))
	defer other.Close()
	f := newFake(t)
	c := newClient(t, f, func(o *vault.Options) { o.Auth = appRole(f) })
	f.next(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
	})
	if err := c.Login(t.Context()); !errors.Is(err, vault.ErrUnavailable) || reached.Load() {
		t.Errorf("got %v, credentials went elsewhere: %v", err, reached.Load())
	}
}

func TestEnvironmentHasNoEffect(t *testing.T) {
	for name, value := range map[string]string{
		"VAULT_HEADERS": `{"X-Planted":"yes"}`, "VAULT_WRAP_TTL": "5m", "VAULT_NAMESPACE": "elsewhere", "VAULT_TOKEN": "hvs.planted",
		"VAULT_ADDR": "http://192.0.2.1:8200", "VAULT_MAX_RETRIES": "0",
	} {
		t.Setenv(name, value)
	}
	f := newFake(t)
	c := byRole(t, f)
	f.next(status(http.StatusTooManyRequests)) // is repeated all the same
	if err := c.field(t); err != nil {
		t.Fatal(err)
	}
	for _, h := range f.seen {
		if h.Get("X-Planted")+h.Get("X-Vault-Wrap-TTL")+h.Get("X-Vault-Namespace") != "" || h.Get("X-Vault-Token") == "hvs.planted" {
			t.Error("a header of the environment was sent")
		}
	}
}

// A namespace goes with every request, that of the login too.
func TestNamespaceIsSentAlways(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	c := loggedIn(t, f, func(o *vault.Options) { o.Auth, o.Namespace = appRole(f), "payments" })
	f.accept("revoked") // so that a login after a denial is among them
	if err := c.field(t); err != nil {
		t.Fatal(err)
	}
	for _, h := range f.seen {
		if h.Get("X-Vault-Namespace") != "payments" {
			t.Errorf("a request without the namespace: %v", h)
		}
	}
}
