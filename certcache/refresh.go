package certcache

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// flight is one refresh that any number of callers wait for.
type flight struct {
	cancel context.CancelFunc
	done   chan struct{} // closed when err is set
	err    error
}

// attempts is what Status tells about refreshes.
type attempts struct {
	success time.Time // the last one that brought certificates
	err     error     // of the last one
	none    bool      // the last answer said that there are no certificates
}

// Refresh downloads the list of certificates, or joins the download under way,
// and waits for it as long as ctx allows; the download itself goes on. With
// certificates off it does nothing.
func (c *Cache) Refresh(ctx context.Context) error {
	return c.refresh(ctx, func() bool { return true })
}

// refresh asks allow only when a new download would begin: joining one is free.
func (c *Cache) refresh(ctx context.Context, allow func() bool) error {
	if !c.options.Certificates {
		return nil
	}
	f, err := c.join(ctx, allow)
	if err != nil {
		return err
	}
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return fmt.Errorf("waiting for platform certificates: %w", ctx.Err())
	}
}

func (c *Cache) join(ctx context.Context, allow func() bool) (*flight, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.stopped:
		return nil, ErrStopped
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case c.flight != nil:
		return c.flight, nil
	case !allow():
		c.outcomes[limited].Add(1)
		return nil, ErrLimited
	}
	// Others will wait for this download too, so the first caller's leaving
	// must not end it. Its owner is the Cache: it ends by itself after Timeout,
	// and stop ends it and waits for it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.options.Timeout)
	f := &flight{cancel: cancel, done: make(chan struct{})}
	c.flight = f
	go c.fly(ctx, f)
	return f, nil
}

func (c *Cache) fly(ctx context.Context, f *flight) {
	defer close(f.done)
	defer f.cancel()
	f.err = c.download(ctx)
	c.outcomes[outcomeOf(f.err)].Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flight = nil
	c.last.err, c.last.none = f.err, false
	switch {
	case f.err == nil:
		c.last.success = c.now()
	case errors.Is(f.err, ErrNoCertificates):
		c.last.err, c.last.none = nil, true
	}
}

// stop ends the download under way and lets none begin.
func (c *Cache) stop() {
	c.mu.Lock()
	c.stopped = true
	f := c.flight
	c.mu.Unlock()
	if f != nil {
		f.cancel()
		<-f.done
	}
}

func (c *Cache) attempts() attempts {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}
