package certcache

import (
	"context"
	"errors"
	"time"
)

const (
	// noneInterval: a merchant without platform certificates may still be
	// given some, when the merchant switches back to them.
	noneInterval = 24 * time.Hour
	maxRetry     = 15 * time.Minute
)

// Run downloads the list at once and then again and again until ctx ends, and
// returns nil then. When it has returned, no download is under way and none
// begins. It is called once; serve traffic no longer than it runs. Of many
// caches a Fleet takes care with one goroutine.
func (c *Cache) Run(ctx context.Context) error { return NewFleet(c).Run(ctx) }

// poller is what a Fleet knows of one cache. But for cache, the Fleet's mutex
// guards it, except during a poll, when it is the poll's alone.
type poller struct {
	cache    *Cache
	failures int
	quiet    bool // that there are no certificates has been told

	due   time.Time
	place int       // in the queue; -1 while a poll is under way
	swept time.Time // when a serial number that nobody knew last made it due
	wake  chan struct{}
}

// poll refreshes once and returns when to do it again.
func (p *poller) poll(ctx context.Context) time.Duration {
	c := p.cache
	err := c.Refresh(ctx)
	switch {
	case ctx.Err() != nil:
		return 0
	case err == nil:
		if p.failures > 0 {
			c.log.Info("platform certificates downloaded again", "failures", p.failures)
		}
		p.failures, p.quiet = 0, false
		return c.options.Interval
	case errors.Is(err, ErrNoCertificates):
		p.failures = 0
		p.tellNone()
		return noneInterval
	}
	p.failures++
	wait := p.backoff()
	c.log.Warn("downloading platform certificates failed", "error", err, "retry_in", wait)
	return wait
}

func (p *poller) tellNone() {
	if p.quiet {
		return
	}
	p.quiet = true
	if err := p.cache.Ready(); err != nil {
		p.cache.log.Warn("merchant has no platform certificates", "error", err)
		return
	}
	p.cache.log.Info("merchant has no platform certificates; asking once a day from now on")
}

func (p *poller) backoff() time.Duration {
	wait := p.cache.options.RetryInterval << min(p.failures-1, 16)
	return min(wait, maxRetry, p.cache.options.Interval)
}
