package main

import (
	"context"
	"crypto"
	"errors"
	"sync/atomic"
	"time"

	"github.com/wxproxy/wxproxy/internal/secret"
)

// patientVault is Vault for a process that starts: what it cannot give during
// an outage is asked for again until a time, one read by one, so that of many
// merchants those are waited for that need it. After end it is Vault itself.
type patientVault struct {
	vault secret.Vault
	until time.Time
	ended atomic.Bool
}

var _ secret.Vault = (*patientVault)(nil)

// patiencePause is how long a read waits before it is made again, a tenth more
// or less.
const patiencePause = time.Second

// Field implements secret.Vault.
func (p *patientVault) Field(ctx context.Context, path, field string) (v secret.Value, err error) {
	p.insist(ctx, func() error {
		v, err = p.vault.Field(ctx, path, field)
		return err
	})
	return v, err
}

// Key implements secret.Vault. A key that does not sign during an outage is
// waited for as well.
func (p *patientVault) Key(ctx context.Context, mount, name string, version int, like crypto.PublicKey) (key crypto.Signer, err error) {
	p.insist(ctx, func() error {
		key, err = p.vault.Key(ctx, mount, name, version, like)
		if k, ok := key.(interface{ Failing() (time.Time, error) }); ok && err == nil {
			_, failing := k.Failing()
			return failing
		}
		return err
	})
	return key, err
}

// end is called when the start is over: from then on last good values serve,
// and a read that fails is for the next reload.
func (p *patientVault) end() { p.ended.Store(true) }

func (p *patientVault) insist(ctx context.Context, read func() error) {
	for errors.Is(read(), secret.ErrOutage) && !p.ended.Load() {
		pause := varied(patiencePause)
		if time.Now().Add(pause).After(p.until) {
			return
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return
		}
	}
}
