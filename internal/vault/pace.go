package vault

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"time"
)

const (
	// pacedTries is how often one read is made while Vault limits its rate.
	pacedTries = 4
	// usualPause is how long no read is made after Vault limited one without
	// saying for how long; its own limits are mostly for a second.
	usualPause = time.Second
	// longestPause bounds what Vault's Retry-After asks for.
	longestPause = time.Minute
)

// pace is what all reads keep together once Vault limited the rate of one. Of
// many merchants that are read at one time, each then gets its turn; without
// it those that come first would take what there is, each time.
type pace struct {
	mu    sync.Mutex
	until time.Time // no read before
}

// slow takes note of an answer that limits the rate of reads. Signatures have a
// limit of their own, and must not keep keys from being read.
func (p *pace) slow(r *http.Request, answer *http.Response) {
	if r.Method != http.MethodGet || answer.StatusCode != http.StatusTooManyRequests {
		return
	}
	wait := usualPause
	if seconds, err := strconv.Atoi(answer.Header.Get("Retry-After")); err == nil && seconds >= 0 {
		wait = min(time.Duration(seconds)*time.Second, longestPause)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if until := time.Now().Add(wait); until.After(p.until) {
		p.until = until
	}
}

func (p *pace) next() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.until
}

// keep waits until a read may be made. One that would have to wait beyond latest is
// refused at once.
func (p *pace) keep(ctx context.Context, latest time.Time) error {
	for {
		next := p.next()
		wait := time.Until(next)
		switch {
		case wait <= 0:
			return nil
		case next.After(latest):
			return ErrRateLimited
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return ErrRateLimited
		}
	}
}
