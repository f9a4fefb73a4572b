package main

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxproxy/wxproxy/internal/secret"
)

// scripted is a Vault that fails as told before it answers.
type scripted struct {
	failures []error
	asked    int
}

func (s *scripted) next() error {
	if s.asked++; s.asked <= len(s.failures) {
		return s.failures[s.asked-1]
	}
	return nil
}

func (s *scripted) Field(context.Context, string, string) (secret.Value, error) {
	return secret.NewValue([]byte("a key")), s.next()
}

func (s *scripted) Key(context.Context, string, string, int, crypto.PublicKey) (crypto.Signer, error) {
	return testKeys()[0], s.next()
}

// tried is a scripted Vault that has keys, which fail to sign.
type tried struct{ *scripted }

func (t tried) Key(context.Context, string, string, int, crypto.PublicKey) (crypto.Signer, error) {
	return &distantKey{Signer: testKeys()[0], failing: t.next()}, nil
}

// What Vault cannot give yet is waited for while wxproxy starts, and for no
// longer than that; what waiting does not mend is told at once.
func TestPatience(t *testing.T) {
	t.Parallel()
	outage := fmt.Errorf("vault: %w", secret.ErrOutage)
	down := make([]error, 100)
	for i := range down {
		down[i] = outage
	}
	for name, row := range map[string]struct {
		failures    []error
		ended       bool
		gone        bool // the process is told to stop
		asked       int
		least, most time.Duration
	}{
		"all is well":     {asked: 1},
		"it comes up":     {failures: down[:3], asked: 4, least: 2700 * time.Millisecond, most: 3300 * time.Millisecond},
		"it does not":     {failures: down, asked: 10, least: 8 * time.Second, most: 10 * time.Second},
		"missing":         {failures: []error{errors.New("there is nothing there")}, asked: 1},
		"up, and missing": {failures: []error{outage, errors.New("there is nothing there")}, asked: 2, most: 1100 * time.Millisecond},
		"after the start": {failures: down, ended: true, asked: 1},
		"asked to stop":   {failures: down, gone: true, asked: 1},
	} {
		for kind, read := range map[string]func(context.Context, secret.Vault) error{
			"Field": func(ctx context.Context, v secret.Vault) error {
				_, err := v.Field(ctx, "secret/shop", "key")
				return err
			},
			"Key": func(ctx context.Context, v secret.Vault) error {
				_, err := v.Key(ctx, "transit", "shop", 0, nil)
				return err
			},
			"signature": func(ctx context.Context, v secret.Vault) error {
				key, err := v.Key(ctx, "transit", "shop", 0, nil)
				if err == nil {
					_, err = key.(*distantKey).Failing()
				}
				return err
			},
		} {
			t.Run(name+", "+kind, func(t *testing.T) {
				t.Parallel()
				testKeys()
				synctest.Test(t, func(t *testing.T) {
					v := &scripted{failures: row.failures}
					p := &patientVault{vault: v, until: time.Now().Add(10 * time.Second)}
					if kind == "signature" {
						p.vault = tried{v}
					}
					if row.ended {
						p.end()
					}
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					if row.gone {
						cancel()
					}
					began := time.Now()
					err := read(ctx, p)
					want := error(nil)
					if row.asked <= len(row.failures) {
						want = row.failures[row.asked-1]
					}
					if took := time.Since(began); !errors.Is(err, want) || took < row.least || took > row.most {
						t.Errorf("got %v after %s", err, took)
					}
					if name == "it does not" { // each pause is a tenth more or less
						if v.asked < 9 || v.asked > 11 {
							t.Errorf("asked %d times", v.asked)
						}
					} else if v.asked != row.asked {
						t.Errorf("asked %d times", v.asked)
					}
				})
			})
		}
	}
}
