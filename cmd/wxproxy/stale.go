package main

import (
	"context"
	"crypto"
	"errors"
	"time"

	"github.com/wxproxy/wxproxy/internal/admin"
	"github.com/wxproxy/wxproxy/internal/secret"
	"github.com/wxproxy/wxproxy/internal/vault"
)

// noted is a reader that tells whether Vault gave all that was asked of it, and
// whether it said anything at all.
// What is wrong with a file, or with a value that Vault did give, makes no key
// older: those of before serve until somebody has mended it.
type noted struct {
	secret.Reader
	failed, answered bool
}

// Read reads what a reference names.
func (n *noted) Read(ctx context.Context, ref secret.Ref) (secret.Value, error) {
	v, err := n.Reader.Read(ctx, ref)
	n.note(ref, err)
	return v, err
}

// Key finds a key that signs in Vault.
func (n *noted) Key(ctx context.Context, ref secret.Ref, like crypto.PublicKey) (crypto.Signer, error) {
	key, err := n.Reader.Key(ctx, ref, like)
	n.note(ref, err)
	return key, err
}

func (n *noted) note(ref secret.Ref, err error) {
	if !ref.InVault() {
		return
	}
	n.failed = n.failed || err != nil && !vault.Unfit(err)
	n.answered = n.answered || !errors.Is(err, secret.ErrOutage)
}

// staleLive reports whether Vault gave a secret for the last time too long ago.
func (s *sidecar) staleLive(l *secret.Live) bool {
	limit := s.cfg.Vault.MaxStale
	return limit > 0 && l.Ref().InVault() && time.Since(l.ReadAt()) > limit
}

// serving is a secret for those who use it: none, which lets nobody in and
// signs nothing, once it is stale.
func (s *sidecar) serving(l *secret.Live) func() secret.Value {
	return func() secret.Value {
		if s.staleLive(l) {
			return secret.Value{}
		}
		return l.Current()
	}
}

// secrets is the state of the secrets of no merchant that could not be reloaded.
func (s *sidecar) secrets() []admin.Status {
	var list []admin.Status
	for _, l := range s.live {
		err := l.Err()
		if err == nil {
			continue
		}
		status := admin.Status{Secret: l.Ref().String(), Ready: true, Warning: err.Error()}
		if s.staleLive(l) {
			status = admin.Status{Secret: l.Ref().String(), Problem: "it could not be read from Vault again for longer than vault.max_stale and counts no longer: " + err.Error()}
		}
		list = append(list, status)
	}
	return list
}
