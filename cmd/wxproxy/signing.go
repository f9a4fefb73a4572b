package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wxproxy/wxproxy/internal/merchant"
	"github.com/wxproxy/wxproxy/internal/secret"
)

const (
	// signingTrial is how often a key in Vault that does not sign is asked to: no
	// call may come that would find out that it does again.
	signingTrial = 5 * time.Second
	// longestRest bounds how many trials a key is left out of that Vault answers
	// for and that still does not sign: it then is asked to once a minute.
	longestRest = 11
	// signingGrace is how long a key may fail before that is a problem rather than
	// a warning.
	signingGrace = time.Minute
)

// trySigning finds out when keys that do not sign do so again. It asks for one
// after the other, so that many of them are no burden on a Vault that comes back.
func (s *sidecar) trySigning(ctx context.Context) error {
	tick := time.NewTicker(signingTrial)
	defer tick.Stop()
	trials := make([]trial, len(s.accounts))
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		for i, a := range s.accounts {
			if m := a.Current(); m != nil {
				trials[i].next(ctx, m)
			}
		}
	}
}

// trial is how often the key of one merchant is tried.
type trial struct {
	rest int // trials that it is left out of after one that failed
	left int // of them
}

// next tries a key that does not sign, and each time it still does not, half as
// often.
// In an outage it is tried every time: that ends for all keys at once, and
// breakers bound what it costs.
func (t *trial) next(ctx context.Context, m *merchant.Material) {
	_, err := m.Failing()
	switch {
	case err == nil:
		*t = trial{}
		return
	case t.left > 0 && !errors.Is(err, secret.ErrOutage):
		t.left--
		return
	}
	m.Try(ctx)
	if _, err := m.Failing(); err == nil || errors.Is(err, secret.ErrOutage) {
		*t = trial{}
		return
	}
	t.left, t.rest = t.rest, min(2*t.rest+1, longestRest)
}

// signing is what is wrong with a key in Vault that does not sign. It turns no
// readiness: all replicas would go out of service together, the app beside a
// sidecar with it, and what needs no signature with that.
func (a *account) signing(now time.Time) (warning, problem string) {
	m := a.Current()
	if m == nil {
		return "", ""
	}
	since, err := m.Failing()
	switch {
	case err == nil:
		return "", ""
	case now.Sub(since) < signingGrace:
		return fmt.Sprintf("the key does not sign: %v", err), ""
	}
	return "", fmt.Sprintf("the key has not signed since %s: %v", since.UTC().Format(time.DateTime+" MST"), err)
}
