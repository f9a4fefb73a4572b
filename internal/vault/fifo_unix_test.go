//go:build unix

package vault_test

import (
	"errors"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/wxproxy/wxproxy/internal/secret"
	"github.com/wxproxy/wxproxy/internal/vault"
)

// A pipe in the place of a file is refused; an ordinary open would hang.
func TestPipesHangNothing(t *testing.T) {
	t.Parallel()
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Skip(err)
	}
	f := newFake(t)
	for _, auth := range []vault.Auth{
		{Method: vault.MethodTokenFile, TokenFile: pipe}, {Method: vault.MethodKubernetes, Role: "shop", JWTFile: pipe},
	} {
		c := newClient(t, f, func(o *vault.Options) { o.Auth = auth })
		if err := c.Login(t.Context()); !errors.Is(err, secret.ErrNotRegular) {
			t.Errorf("%s: got %v", auth.Method, err)
		}
	}
	o := options(f)
	o.CA = pipe
	if _, err := vault.New(o); !errors.Is(err, secret.ErrNotRegular) {
		t.Errorf("vault.ca: got %v", err)
	}
}
