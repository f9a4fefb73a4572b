package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/wxproxy/wxproxy/internal/config"
	"github.com/wxproxy/wxproxy/internal/secret"
	"github.com/wxproxy/wxproxy/internal/vault"
)

// makeVault logs in where the config has a Vault. It waits for one that is
// still starting, as long as start_timeout allows.
func (s *sidecar) makeVault(ctx context.Context) (err error) {
	c := s.cfg.Vault
	if c.Address == "" {
		return nil
	}
	read := func(ref secret.Ref) func(context.Context) (secret.Value, error) {
		if ref.IsZero() {
			return nil
		}
		return func(ctx context.Context) (secret.Value, error) {
			return secret.Reader{Env: s.reader.Env}.Read(ctx, ref)
		}
	}
	s.vault, err = vault.New(vault.Options{
		Address: c.Address, Namespace: c.Namespace, CA: c.CA, ClientCert: c.ClientCertificate, ClientKey: c.ClientKey,
		Auth: vault.Auth{
			Method: c.Auth.Method, Mount: c.Auth.Mount, Role: c.Auth.Role, JWTFile: c.Auth.JWTFile, TokenFile: c.Auth.TokenFile,
			Wrapped: c.Auth.Wrapped, Token: read(c.Auth.Token), RoleID: read(c.Auth.RoleID), SecretID: read(c.Auth.SecretID),
		},
		Timeout: c.Timeout, Conns: c.Connections, Log: s.log,
	})
	if err != nil {
		return err
	}
	s.reader.Vault = s.vault
	if s.registry != nil {
		if err := s.registry.Register(s.vault); err != nil {
			return err
		}
	}
	if err := s.vault.Await(ctx, c.StartTimeout); err != nil {
		return fmt.Errorf("vault at %s: %w", c.Address, err)
	}
	return nil
}

// failedPoll is how soon a poll that failed is repeated.
const failedPoll = 15 * time.Second

// pollVault reads the secrets again every now and then. It logs when that
// begins to fail, fails otherwise, or succeeds again.
func (s *sidecar) pollVault(ctx context.Context) error {
	before := ""
	for {
		wait := s.cfg.Vault.Refresh
		if before != "" {
			wait = min(wait, failedPoll)
		}
		t := time.NewTimer(wait*9/10 + rand.N(wait/5+1)) //nolint:gosec // jitter is no secret
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-t.C:
		}
		now := ""
		if err := s.reloadAll(ctx); err != nil && ctx.Err() == nil {
			now = err.Error()
		}
		switch now {
		case before:
		case "":
			s.log.Info("secrets can be read again")
		default:
			s.log.Error("reading secrets again failed; the last good ones serve", "max_stale", s.cfg.Vault.MaxStale, "error", now)
		}
		before = now
	}
}

// inVault reports whether any key of a merchant comes from Vault.
func inVault(m config.Merchant) bool {
	for _, ref := range []secret.Ref{
		m.Certificate, m.PrivateKey, m.APIv3Key, m.APIv3KeyPrevious, m.APIv2Key, m.Platform.PublicKey,
	} {
		if ref.InVault() {
			return true
		}
	}
	return false
}
