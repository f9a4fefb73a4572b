package main

import (
	"context"
	"fmt"
	"time"
)

const (
	// signingTrial is how often a key in Vault that does not sign is asked to: no
	// call may come that would find out that it does again.
	signingTrial = 5 * time.Second
	// signingGrace is how long a key may fail before that is a problem rather than
	// a warning.
	signingGrace = time.Minute
)

// trySigning finds out when keys that do not sign do so again. It asks for one
// after the other, so that many of them are no burden on a Vault that comes back.
func (s *sidecar) trySigning(ctx context.Context) error {
	tick := time.NewTicker(signingTrial)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		for _, a := range s.accounts {
			if m := a.Current(); m != nil {
				m.Try(ctx)
			}
		}
	}
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
