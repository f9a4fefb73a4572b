package vault_test

import (
	"errors"
	"net/http"
	"testing"

	"github.com/wxproxy/wxproxy/internal/vault"
)

// A check asks for the wrapping token by its own value, with no token of ours,
// and opens nothing.
func TestCheckWrapping(t *testing.T) {
	t.Parallel()
	const lookup = "sys/wrapping/lookup"
	for name, test := range map[string]struct {
		answer http.HandlerFunc
		want   error
		says   string
	}{
		"closed":  {data(`{"creation_path":"auth/approle/role/shop/secret-id"}`), nil, ""},
		"opened":  {status(http.StatusBadRequest), vault.ErrRefused, "was opened already"},
		"unknown": {status(http.StatusForbidden), vault.ErrDenied, "was opened already"},
		"sealed":  {status(http.StatusServiceUnavailable, "Vault is sealed"), vault.ErrSealed, "looking up"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			f.on(lookup, test.answer)
			c := newClient(t, f, func(o *vault.Options) {
				o.Auth = vault.Auth{Method: vault.MethodAppRole, RoleID: give("role"), SecretID: give("hvs.wrapping"), Wrapped: true}
			})
			err := c.CheckWrapping(t.Context())
			if !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
				t.Fatalf("got %v", err)
			}
			if err != nil {
				says(t, err.Error(), test.says)
			}
			if f.requests("sys/wrapping/unwrap") != 0 || f.requests("auth/approle/login") != 0 {
				t.Error("the wrapping token was used")
			}
			for _, h := range f.seen {
				if h.Get("X-Vault-Token") != "" {
					t.Error("a token was sent")
				}
			}
		})
	}
}
