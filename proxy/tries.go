package proxy

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"
)

const (
	maxAttempts = 3
	// firstPause is the time before the second attempt; it doubles, and varies
	// by a quarter.
	firstPause = 100 * time.Millisecond
)

// tries is one call on its way through the hosts. It is one goroutine's.
type tries struct {
	up        *Upstream
	hosts     []*upstreamHost // of the call's group
	call      *Call
	deadline  time.Time // no attempt begins after it; zero: the context's
	made      int
	used      []int // attempts by host
	elsewhere bool  // the last attempt found no connection: the next host needs no pause
}

func (u *Upstream) try(c *Call) *tries {
	hosts := u.groups[c.Group]
	return &tries{up: u, hosts: hosts, call: c, used: make([]int, len(hosts))}
}

// next makes one attempt, newly signed, at the best host.
func (t *tries) next(ctx context.Context) (*http.Response, error) {
	if len(t.hosts) == 0 {
		return nil, fmt.Errorf("%w: there is no group of upstreams %q", ErrUnreachable, t.call.Group)
	}
	i := t.best()
	t.used[i]++
	t.made++
	answer, err := t.up.attempt(ctx, t.hosts[i], t.call)
	t.elsewhere = errors.Is(err, ErrUnreachable)
	return answer, err
}

// best picks a host that works before one that does not, one not tried yet
// before one that was, and then the first.
func (t *tries) best() int {
	best, rank := 0, -1
	for i, h := range t.hosts {
		r := t.used[i]
		if h.down(t.call.Repeatable) {
			r += maxAttempts
		}
		if rank < 0 || r < rank {
			best, rank = i, r
		}
	}
	return best
}

// again waits for at least after, and reports whether there is another
// attempt: not when all are used up, when an upload has begun to leave, or when the
// deadline would pass first.
func (t *tries) again(ctx context.Context, after time.Duration) bool {
	if t.made >= maxAttempts || len(t.hosts) == 0 || t.call.upload != nil && t.call.upload.begun() { // a stream cannot be rewound
		return false
	}
	pause := firstPause << (t.made - 1)
	pause += rand.N(pause/2) - pause/4 //nolint:gosec // jitter is no secret
	if t.elsewhere && t.used[t.best()] == 0 {
		pause = 0
	}
	pause = max(pause, after)
	if d := t.until(ctx); !d.IsZero() && !t.up.now().Add(pause).Before(d) {
		return false
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

func (t *tries) until(ctx context.Context) time.Time {
	if d, ok := ctx.Deadline(); ok && (t.deadline.IsZero() || d.Before(t.deadline)) {
		return d
	}
	return t.deadline
}

// Send signs and sends the call, and again, newly signed, up to three times in
// all, if no connection came about, or if it may be repeated and the connection
// broke. The error is ErrUnreachable, ErrTimeout, ErrBroken,
// signer.ErrSigning or the context's; the caller closes the body of the answer.
func (u *Upstream) Send(ctx context.Context, c *Call) (answer *http.Response, attempts int, err error) {
	t := u.try(c)
	for {
		answer, err = t.next(ctx)
		repeat := errors.Is(err, ErrUnreachable) || c.Repeatable && errors.Is(err, ErrBroken)
		if !repeat || ctx.Err() != nil || !t.again(ctx, 0) {
			return answer, t.made, err
		}
	}
}
