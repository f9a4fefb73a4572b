package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/wxproxy/wxproxy/internal/config"
	"github.com/wxproxy/wxproxy/internal/secret"
	"github.com/wxproxy/wxproxy/internal/vault"
)

// makeVault logs in where the config has a Vault. It waits for one that is
// still starting, and so does what then reads from it, as long as start_timeout
// allows.
func (s *sidecar) makeVault(ctx context.Context) error {
	c := s.cfg.Vault
	if c.Address == "" {
		return nil
	}
	if err := s.newVault(); err != nil {
		return err
	}
	s.patience = &patientVault{vault: s.vault, until: time.Now().Add(c.StartTimeout)}
	s.reader.Vault = s.patience
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

// newVault connects to nothing.
func (s *sidecar) newVault() (err error) {
	c := s.cfg.Vault
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
	return err
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
		t := time.NewTimer(varied(wait))
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-t.C:
		}
		if err := s.reloadAll(ctx); ctx.Err() == nil { // else it failed because we stop
			before = s.tellPoll(before, err)
		}
	}
}

// varied is about d, a tenth more or less, so that many sidecars that started
// together do not go on asking together.
func varied(d time.Duration) time.Duration {
	return d*9/10 + rand.N(d/5+1) //nolint:gosec // jitter is no secret
}

// tellPoll logs what has changed since the poll before, and returns what to
// compare the next one with. During an outage the messages differ from time to
// time; what is wrong does not, and Vault's client has its own line for each
// kind of it.
func (s *sidecar) tellPoll(before string, err error) (now string) {
	if err != nil {
		if now = err.Error(); s.vault.State().Problem != "" {
			now = "Vault"
		}
	}
	switch now {
	case before:
	case "":
		s.log.Info("secrets can be read again")
	default:
		s.log.Error("reading secrets again failed; the last good ones serve", "max_stale", s.cfg.Vault.MaxStale, "error", brief(err))
	}
	return now
}

// brief is an error that may join those of a thousand merchants, for the log.
func brief(err error) string {
	const most = 5
	lines := strings.Split(err.Error(), "\n")
	if len(lines) > most {
		lines = append(lines[:most], fmt.Sprintf("and %d more", len(lines)-most))
	}
	return strings.Join(lines, "\n")
}

// inVault reports whether any key of a merchant comes from Vault.
func inVault(m config.Merchant) bool {
	for _, ref := range []secret.Ref{
		m.Certificate, m.PrivateKey, m.PrivateKeyPrevious, m.APIv3Key, m.APIv3KeyPrevious, m.APIv2Key, m.Platform.PublicKey,
	} {
		if ref.InVault() {
			return true
		}
	}
	return false
}
