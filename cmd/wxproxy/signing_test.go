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
)

// distantKey is a key in Vault that has not signed since.
type distantKey struct {
	crypto.Signer
	since   time.Time
	failing error
}

func (k distantKey) Failing() (time.Time, error) { return k.since, k.failing }
func (k distantKey) Try(context.Context) error   { return k.failing }

// distantKeys is a reader with one such key.
type distantKeys struct{ key *distantKey }

func (distantKeys) Read(context.Context, secret.Ref) (secret.Value, error) {
	return secret.NewValue([]byte(strings.Repeat("k", 32))), nil
}

func (d distantKeys) Key(context.Context, secret.Ref, crypto.PublicKey) (crypto.Signer, error) {
	return pointed{d.key}, nil
}

type pointed struct{ *distantKey }

// A key that does not sign is a warning, and after a while a problem.
func TestSigningIsShown(t *testing.T) {
	t.Parallel()
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
