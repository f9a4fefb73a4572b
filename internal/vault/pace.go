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
	// usualPause is how long a mount is not read after Vault limited that without
	// saying for how long; its own limits are mostly for a second.
	usualPause = time.Second
	// longestPause bounds what Vault's Retry-After asks for.
	longestPause = time.Minute
)

// pace is what all reads of a mount keep together once Vault limited the rate of
// one. Of many merchants that are read at one time, each then gets its turn;
// without it those that come first would take what there is, each time. Other
// mounts may have no limit, and those who need only them wait for nothing.
type pace struct {
	mu    sync.Mutex
	until map[string]time.Time // by mount: no read before
}

// readOf is the key, in the context of a read, of the mount that it is of.
type readOf struct{}

// slow takes note of an answer that limits the rate of reads. Signatures have a
// limit of their own, and must not keep keys from being read.
func (p *pace) slow(r *http.Request, answer *http.Response) {
	mount, reads := r.Context().Value(readOf{}).(string)
	if !reads || answer.StatusCode != http.StatusTooManyRequests {
		return
	}
	wait := usualPause
	if seconds, err := strconv.Atoi(answer.Header.Get("Retry-After")); err == nil && seconds >= 0 {
		wait = min(time.Duration(seconds)*time.Second, longestPause)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.until == nil {
		p.until = make(map[string]time.Time)
	}
	if until := time.Now().Add(wait); until.After(p.until[mount]) {
		p.until[mount] = until
	}
}

func (p *pace) next(mount string) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.until[mount]
}

// keep waits until a mount may be read. A read that would have to wait beyond
// latest is refused at once. That the caller's own time ended is said as that:
// others who wait for the same read may have more.
func (p *pace) keep(ctx context.Context, mount string, latest time.Time) error {
	for {
		next := p.next(mount)
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
			return explain(ctx, ctx.Err())
		}
	}
}
