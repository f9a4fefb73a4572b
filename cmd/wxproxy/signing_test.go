package main

import (
	"context"
	"crypto"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/wxproxy/wxproxy/internal/merchant"
	"github.com/wxproxy/wxproxy/internal/secret"
	"github.com/wxproxy/wxproxy/internal/vault"
)

// distantKey is a key in Vault that has not signed since.
type distantKey struct {
	crypto.Signer
	since   time.Time
	failing error
	tried   int
}

func (k *distantKey) Failing() (time.Time, error) { return k.since, k.failing }

func (k *distantKey) Try(context.Context) error {
	k.tried++
	return k.failing
}

// distantKeys is a reader with one such key.
type distantKeys struct{ key *distantKey }

func (distantKeys) Read(context.Context, secret.Ref) (secret.Value, error) {
	return secret.NewValue([]byte(strings.Repeat("k", 32))), nil
}

func (d distantKeys) Key(context.Context, secret.Ref, crypto.PublicKey) (crypto.Signer, error) {
	return d.key, nil
}

// distantMerchant is one whose key is in Vault.
func distantMerchant(t *testing.T) (*merchant.Merchant, *distantKey) {
	t.Helper()
	key := &distantKey{Signer: testKeys()[0]}
	m, err := merchant.New(merchant.Spec{
		Name: "shop", MchID: "1900000001", SerialNo: "3775B6A45ACD588826D15E583A95F5DD51A2E300",
		PrivateKey: secret.Ref{Scheme: secret.SchemeTransit, Mount: "transit", Target: "shop", Version: 1}, APIv3Key: secret.Ref{Scheme: "env", Target: "KEY"},
	}, distantKeys{key}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	return m, key
}

// A key that Vault does not let sign is tried less and less often, down to once
// a minute. During an outage, and after it signed, it is tried each time.
func TestTrial(t *testing.T) {
	t.Parallel()
	m, key := distantMerchant(t)
	var tr trial
	for _, step := range []struct {
		what    string
		failing error
		ticks   int
		tried   int
	}{
		{"it signs", nil, 10, 0},
		{"denied", vault.ErrDenied, 1, 1},
		{"after 5 s", vault.ErrDenied, 1, 1},
		{"after 10 s", vault.ErrDenied, 2, 1},
		{"after 20 s", vault.ErrDenied, 4, 1},
		{"after 40 s", vault.ErrDenied, 8, 1},
		{"after minutes", vault.ErrDenied, 36, 3},
		{"it signs again", nil, 1, 0},
		{"denied again", vault.ErrDenied, 2, 2},
		{"an outage", vault.ErrSealed, 10, 10},
	} {
		key.failing, key.tried = step.failing, 0
		for range step.ticks {
			tr.next(t.Context(), m.Current())
		}
		if key.tried != step.tried {
			t.Errorf("%s: tried %d times in %d ticks, want %d", step.what, key.tried, step.ticks, step.tried)
		}
	}
}

// A key that does not sign is a warning, and after a while a problem.
func TestSigningIsShown(t *testing.T) {
	t.Parallel()
	m, key := distantMerchant(t)
	a := &account{Merchant: m}
	began := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	const cause = "the policy lacks a line"
	for name, row := range map[string]struct {
		failing          error
		after            time.Duration
		warning, problem string
	}{
		"it signs":      {},
		"it just fails": {errors.New(cause), 59 * time.Second, cause, ""},
		"it goes on":    {errors.New(cause), time.Minute, "", "not signed since 2026-11-23 12:00:00 UTC: " + cause},
	} {
		key.since, key.failing = began, row.failing
		warning, problem := a.signing(began.Add(row.after))
		if !strings.Contains(warning, row.warning) || !strings.Contains(problem, row.problem) || (warning == "") != (row.warning == "") || (problem == "") != (row.problem == "") {
			t.Errorf("%s: got %q, %q", name, warning, problem)
		}
	}
}
