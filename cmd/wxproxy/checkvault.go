package main

import (
	"context"
	"crypto"
	"errors"
	"fmt"

	"github.com/wxproxy/wxproxy/internal/check"
	"github.com/wxproxy/wxproxy/internal/secret"
	"github.com/wxproxy/wxproxy/internal/vault"
)

// tryVault logs in, so that what follows can read from Vault, and lists how
// that went. A wrapped secret ID is not used for it: it opens once, and serve
// needs it.
func (s *sidecar) tryVault(ctx context.Context, offline bool) []check.Trial {
	if s.cfg.Vault.Address == "" {
		return nil
	}
	if offline {
		s.reader.Vault = unusableVault{fmt.Errorf("%w, since -offline connects to nothing", secret.ErrUnread)}
		return nil
	}
	c := *s.cfg
	c.Vault.StartTimeout = 0 // check tells how things are now
	tried := &sidecar{cfg: &c, log: s.log, reader: s.reader}
	detail, login := "logged in at "+c.Vault.Address+" by "+c.Vault.Auth.Method, tried.makeVault
	if c.Vault.Auth.Wrapped {
		detail, login = "the wrapping token of the secret ID at "+c.Vault.Address+" was not opened yet; it is not opened now, and nothing is read from Vault", tried.lookWrapping
	}
	err := login(ctx)
	s.vault, s.reader = tried.vault, tried.reader
	switch {
	case c.Vault.Auth.Wrapped:
		s.reader.Vault = unusableVault{fmt.Errorf("%w, which needs the wrapped secret ID for it", secret.ErrUnread)}
	case err != nil:
		s.reader.Vault = unusableVault{errors.New("there is no login to Vault; see the line vault")}
	}
	return []check.Trial{{
		Group: check.GroupConfig, Name: "vault", Detail: detail,
		Fix: "correct vault: in the config, or see to Vault", Try: func(context.Context) error { return err },
	}}
}

func (s *sidecar) lookWrapping(ctx context.Context) error {
	if err := s.newVault(); err != nil {
		return err
	}
	return s.vault.CheckWrapping(ctx)
}

// blindToken warns of a login that cannot tell a revoked token from a missing
// permission. What else is wrong with Vault the other lines say.
func (s *sidecar) blindToken(ctx context.Context) []check.Fault {
	if s.vault == nil || !s.vault.State().LoggedIn {
		return nil
	}
	err := s.vault.CheckToken(ctx)
	if !errors.Is(err, vault.ErrDenied) {
		return nil
	}
	return []check.Fault{{
		Key: "vault.auth", Problem: "the token may not look itself up, so that a revoked one is found out late: " + err.Error(),
		Fix: "add these lines to the policy, or give the role Vault's policy default",
	}}
}

// unusableVault answers in the place of a Vault that nothing can be read from,
// so that this is said of every secret, and found out only once.
type unusableVault struct{ cause error }

var _ secret.Vault = unusableVault{}

// Field implements secret.Vault.
func (v unusableVault) Field(_ context.Context, path, field string) (secret.Value, error) {
	return secret.Value{}, fmt.Errorf("vault:%s#%s was not read: %w", path, field, v.cause)
}

// Key implements secret.Vault.
func (v unusableVault) Key(_ context.Context, mount, name string, _ int, _ crypto.PublicKey) (crypto.Signer, error) {
	return nil, fmt.Errorf("transit:%s/%s was not asked for: %w", mount, name, v.cause)
}
