package main

import (
	"context"
	"crypto"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxproxy/wxproxy/internal/config"
	"github.com/wxproxy/wxproxy/internal/merchant"
	"github.com/wxproxy/wxproxy/internal/secret"
	"github.com/wxproxy/wxproxy/internal/vault"
)

// kept is a Vault with one secret.
type kept struct {
	text string
	err  error
}

func (k *kept) Field(context.Context, string, string) (secret.Value, error) {
	return secret.NewValue([]byte(k.text)), k.err
}

func (k *kept) Key(context.Context, string, string, int, crypto.PublicKey) (crypto.Signer, error) {
	return nil, fmt.Errorf("transit: %w", vault.ErrVersion)
}

// Keys become stale when Vault does not give them any more, whatever the
// reason, and not by a broken file or by a value that does not fit. A merchant has
// had its turn when Vault answered, whatever it said.
func TestStaleness(t *testing.T) {
	t.Parallel()
	const good = "0123456789abcdef0123456789abcdef"
	for name, row := range map[string]struct {
		file  string // the private key; empty: as it was
		vault kept
		stale bool
		turn  bool
	}{
		"all is well":   {"", kept{good, nil}, false, true},
		"broken file":   {"half a key", kept{good, nil}, false, true},
		"unfit value":   {"", kept{"too short", nil}, false, true},
		"not a text":    {"", kept{"", vault.ErrField}, false, true},
		"outage":        {"", kept{"", vault.ErrSealed}, true, false},
		"deleted":       {"", kept{"", vault.ErrDeleted}, true, true},
		"no permission": {"", kept{"", vault.ErrDenied}, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, _ := setup(t, "")
			file := func(name string) secret.Ref { return secret.Ref{Scheme: "file", Target: filepath.Join(dir, name)} }
			synctest.Test(t, func(t *testing.T) {
				v := &kept{good, nil}
				a := &account{reads: &noted{Reader: secret.Reader{Vault: v}}, maxStale: time.Hour, changed: func() {}}
				var err error
				a.Merchant, err = merchant.New(merchant.Spec{
					Name: "shop", MchID: "1900000001", SerialNo: "01", PrivateKey: file("key.pem"), APIv3Key: secret.Ref{Scheme: "vault", Target: "secret/shop", Field: "key"},
				}, a.reads, nil, nil)
				if err != nil {
					t.Fatal(err)
				}
				if err := a.Reload(t.Context()); err != nil {
					t.Fatal(err)
				}
				if *v = row.vault; row.file != "" {
					write(t, dir, "key.pem", []byte(row.file))
				}
				time.Sleep(time.Hour + time.Second) // by the clock of the bubble
				before := a.lastTurn.Load()
				_ = a.Reload(t.Context())
				if got := a.lastTurn.Load() > before; got != row.turn {
					t.Errorf("had its turn: %v, want %v", got, row.turn)
				}
				if got := a.material() == nil; got != row.stale {
					t.Errorf("stale: %v, want %v; %v", got, row.stale, a.Err())
				}
			})
		})
	}
}

// A token that Vault does not give any more lets nobody in after max_stale, and
// /readyz tells of it from the first failure on; one in a file has no such end.
func TestStaleToken(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "token", []byte("a token in a file"))
	synctest.Test(t, func(t *testing.T) {
		v := &kept{"a token in Vault", nil}
		s := &sidecar{cfg: &config.Config{}, reader: secret.Reader{Vault: v}}
		s.cfg.Vault.MaxStale = time.Hour
		inVault, err := s.secret(t.Context(), secret.Ref{Scheme: "vault", Target: "secret/shop", Field: "token"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		inFile, err := s.secret(t.Context(), secret.Ref{Scheme: "file", Target: filepath.Join(dir, "token")}, nil)
		if err != nil {
			t.Fatal(err)
		}
		v.err = vault.ErrNotFound
		for _, l := range s.live {
			_ = l.Reload(t.Context(), &s.reader)
		}
		if list := s.secrets(); len(list) != 1 || !list[0].Ready || !strings.Contains(list[0].Warning, "nothing at this path") || inVault().IsZero() {
			t.Errorf("got %+v", list)
		}
		time.Sleep(time.Hour + time.Second) // by the clock of the bubble
		if list := s.secrets(); len(list) != 1 || list[0].Ready || !strings.Contains(list[0].Problem, "vault.max_stale") || !inVault().IsZero() || inFile().IsZero() {
			t.Errorf("got %+v", list)
		}
		v.err = nil
		for _, l := range s.live {
			_ = l.Reload(t.Context(), &s.reader)
		}
		if list := s.secrets(); len(list) != 0 || inVault().IsZero() {
			t.Errorf("got %+v", list)
		}
	})
}
