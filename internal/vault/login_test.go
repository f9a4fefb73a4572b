package vault_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/wxproxy/wxproxy/internal/secret"
	"github.com/wxproxy/wxproxy/internal/vault"
)

const wrapping = "hvs.wrapping"

// loginVault knows AppRole, with a secret ID that unwraps once.
type loginVault struct {
	*httptest.Server

	logins, unwraps atomic.Int32
	forbid          atomic.Bool // the newest token may not read
	failLogin       atomic.Bool
	elsewhere       string // not empty: logins are redirected there

	mu      sync.Mutex
	token   string
	headers []http.Header
}

func newLoginVault(t *testing.T) *loginVault {
	t.Helper()
	v := &loginVault{}
	v.Server = httptest.NewServer(http.HandlerFunc(v.serve))
	t.Cleanup(v.Close)
	return v
}

func (v *loginVault) revoke() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.token = "revoked"
}

func (v *loginVault) serve(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.headers = append(v.headers, r.Header.Clone())
	switch path := strings.TrimPrefix(r.URL.Path, "/v1/"); {
	case path == "auth/approle/login" && v.elsewhere != "":
		http.Redirect(w, r, v.elsewhere, http.StatusTemporaryRedirect)
	case path == "sys/wrapping/unwrap" && r.Header.Get("X-Vault-Token") == wrapping && v.unwraps.Add(1) == 1:
		_, _ = w.Write([]byte(`{"data":{"secret_id":"unwrapped-id"}}`))
	case path == "auth/approle/login":
		v.logIn(w, r)
	case path == "secret/data/shop" && r.Header.Get("X-Vault-Token") == v.token && !v.forbid.Load():
		_, _ = w.Write([]byte(`{"data":{"data":{"key":"value"},"metadata":{}}}`))
	default:
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte(`{"errors":["permission denied"]}`))
	}
}

func (v *loginVault) logIn(w http.ResponseWriter, r *http.Request) {
	var in map[string]string
	_ = json.NewDecoder(r.Body).Decode(&in)
	v.logins.Add(1)
	if in["secret_id"] != "unwrapped-id" || r.Header.Get("X-Vault-Token") != "" || v.failLogin.Load() {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"errors":["invalid role or secret ID"]}`))
		return
	}
	v.token = "hvs.login" + strings.Repeat("x", int(v.logins.Load()))
	_, _ = w.Write([]byte(`{"auth":{"client_token":"` + v.token + `","lease_duration":3600}}`))
}

func appRole(t *testing.T, v *loginVault, secretID string) *vault.Client {
	t.Helper()
	give := func(s string) func(context.Context) (secret.Value, error) {
		return func(context.Context) (secret.Value, error) { return secret.NewValue([]byte(s)), nil }
	}
	c, err := vault.New(vault.Options{Address: v.URL, Auth: vault.Auth{
		Method: vault.MethodAppRole, Wrapped: secretID == wrapping, RoleID: give("role"), SecretID: give(secretID + "\n"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func field(t *testing.T, c *vault.Client) error {
	t.Helper()
	c.Forget()
	_, err := c.Field(t.Context(), "secret", "shop", "key")
	return err
}

func TestRevokedTokenIsReplacedWithTheSecretIDUnwrappedOnce(t *testing.T) {
	t.Parallel()
	v := newLoginVault(t)
	c := appRole(t, v, wrapping)
	if err := c.Login(t.Context()); err != nil {
		t.Fatal(err)
	}
	v.revoke()
	if err := field(t, c); err != nil {
		t.Errorf("after the token was revoked: %v", err)
	}
	if v.unwraps.Load() != 1 || v.logins.Load() != 2 {
		t.Errorf("%d unwraps, %d logins", v.unwraps.Load(), v.logins.Load())
	}
}

func TestMissingPermissionMakesNoLoginPerRequest(t *testing.T) {
	t.Parallel()
	v := newLoginVault(t)
	c := appRole(t, v, "unwrapped-id")
	if err := c.Login(t.Context()); err != nil {
		t.Fatal(err)
	}
	v.forbid.Store(true)
	const calls = 20
	for range calls {
		err := field(t, c)
		if !errors.Is(err, vault.ErrDenied) || errors.Is(err, vault.ErrLogin) || !strings.Contains(err.Error(), `path "secret/data/shop"`) {
			t.Fatalf("got %v", err)
		}
	}
	if n := v.logins.Load(); n > calls/2 { // one at the start, then one a second
		t.Errorf("%d logins of %d calls", n, calls)
	}
}

func TestFailedReloginIsSaidAndShown(t *testing.T) {
	t.Parallel()
	v := newLoginVault(t)
	c := appRole(t, v, wrapping)
	if err := c.Login(t.Context()); err != nil {
		t.Fatal(err)
	}
	v.failLogin.Store(true)
	v.revoke()
	err := field(t, c)
	if !errors.Is(err, vault.ErrLogin) || strings.Contains(err.Error(), "policy") {
		t.Errorf("got %v", err)
	}
	for _, leak := range []string{"hvs.", "unwrapped-id", "invalid role"} {
		if strings.Contains(err.Error(), leak) || strings.Contains(c.State().Problem, leak) {
			t.Errorf("%q in %v", leak, err)
		}
	}
	if s := c.State(); s.LoggedIn || s.Problem == "" {
		t.Errorf("state %+v", s)
	}
}

func TestCancelledLoginKeepsTheOldOne(t *testing.T) {
	t.Parallel()
	v := newLoginVault(t)
	c := appRole(t, v, wrapping)
	if err := c.Login(t.Context()); err != nil {
		t.Fatal(err)
	}
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
	v := newLoginVault(t)
	v.elsewhere = other.URL + "/v1/auth/approle/login"
	if err := appRole(t, v, wrapping).Login(t.Context()); !errors.Is(err, vault.ErrLogin) || reached.Load() {
		t.Errorf("got %v, credentials went elsewhere: %v", err, reached.Load())
	}
}

func TestEnvironmentAddsNoHeader(t *testing.T) {
	t.Setenv("VAULT_HEADERS", `{"X-Planted":"yes"}`)
	t.Setenv("VAULT_WRAP_TTL", "5m")
	t.Setenv("VAULT_NAMESPACE", "elsewhere")
	t.Setenv("VAULT_TOKEN", "hvs.planted")
	v := newLoginVault(t)
	c := appRole(t, v, wrapping)
	if err := c.Login(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := field(t, c); err != nil {
		t.Fatal(err)
	}
	for _, h := range v.headers {
		if h.Get("X-Planted")+h.Get("X-Vault-Wrap-TTL")+h.Get("X-Vault-Namespace") != "" || h.Get("X-Vault-Token") == "hvs.planted" {
			t.Error("a header of the environment was sent")
		}
	}
}

// Requests that are denied together, because the token was revoked, share one
// login and all succeed.
func TestDeniedTogetherShareOneLogin(t *testing.T) {
	t.Parallel()
	v := newLoginVault(t)
	c := appRole(t, v, "unwrapped-id")
	if err := c.Login(t.Context()); err != nil {
		t.Fatal(err)
	}
	v.revoke()
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if err := field(t, c); err != nil {
				t.Errorf("a request failed: %v", err)
			}
		})
	}
	all.Wait()
	if n := v.logins.Load(); n != 2 {
		t.Errorf("%d logins, want the first and one more", n)
	}
}
