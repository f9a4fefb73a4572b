package vault

import (
	"context"
	"errors"
	"time"

	"github.com/hashicorp/vault/api"
)

const (
	// probeInterval bounds what denials cost Vault when the token is good and
	// only a permission is missing, or when no login is let in.
	probeInterval = 5 * time.Second
	// loginInterval is the least time between two logins after denials.
	loginInterval = 200 * time.Millisecond
	// blindLogins in a row whose tokens could not be asked at once mean that the
	// policy forbids the question. One alone may have been revoked meanwhile.
	blindLogins = 3
)

// denials is what is known of them, so that not every one asks Vault again.
type denials struct {
	good    time.Time            // when the token was last asked for, and found to be good
	missing map[string]time.Time // paths that a good token was denied
	refused error                // of the last login, if it failed
	until   time.Time            // how long refused counts
	blind   int                  // logins in a row whose token may not look itself up, so that it seems lost
	login   time.Time            // when a denial last led to a login
}

// afterDenial says whether a request that was denied should be made again: the
// token was replaced since it began, by somebody else or now. Requests that are
// denied together wait for the one that asks.
func (c *Client) afterDenial(ctx context.Context, path string, began time.Time) (again bool, err error) {
	select {
	case c.asking <- struct{}{}:
		defer func() { <-c.asking }()
	case <-ctx.Done():
		return false, explain(ctx, ctx.Err())
	}
	if known, again, err := c.recall(path, began); known {
		return again, err
	}
	asked := c.now()
	lost, err := c.tokenLost(ctx)
	if err != nil {
		return false, err
	}
	if !lost {
		c.permissionMissing(path, asked)
		return false, nil
	}
	if err := c.waitForLogin(ctx); err != nil {
		return false, err
	}
	err = c.loginSince(ctx, began)
	c.note("login", err)
	if err != nil {
		c.refuse(err)
		return false, err
	}
	c.wake()
	c.relogged(ctx)
	return true, nil
}

// relogged notes a login after a denial, and whether its token can be asked.
func (c *Client) relogged(ctx context.Context) {
	lost, err := c.tokenLost(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.denials.login = c.now()
	if err == nil && lost {
		c.denials.blind++
	} else {
		c.denials.blind = 0
	}
	c.state.LoggedIn = true
}

// recall answers from what is known already.
func (c *Client) recall(path string, began time.Time) (known, again bool, err error) {
	now := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	d := &c.denials
	switch {
	case c.loginAt.After(began):
		return true, true, nil
	case d.good.After(began): // the token was good later than this
		d.miss(path, now)
		return true, false, nil
	case now.Sub(d.missing[path]) < probeInterval, d.blind >= blindLogins && now.Sub(c.loginAt) < probeInterval:
		return true, false, nil
	case d.refused != nil && now.Before(d.until):
		return true, false, d.refused
	}
	return false, false, nil
}

func (d *denials) miss(path string, now time.Time) {
	if d.missing == nil {
		d.missing = make(map[string]time.Time)
	}
	d.missing[path] = now
}

func (c *Client) permissionMissing(path string, asked time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.denials.good = asked
	c.denials.miss(path, c.now())
}

// refuse keeps a login that failed for those who are denied next, and has Run
// go on trying.
func (c *Client) refuse(err error) {
	pause := probeInterval
	if outage(err) {
		pause = loginInterval
	}
	if gaveUp(err) { // others may wait longer
		return
	}
	c.mu.Lock()
	c.denials.refused, c.denials.until = err, c.now().Add(pause)
	c.mu.Unlock()
	c.wake()
}

// tokenLost asks Vault whether it still knows our token.
func (c *Client) tokenLost(ctx context.Context) (bool, error) {
	_, err := c.once(ctx, func(ctx context.Context) (*api.Secret, error) {
		return c.api.Auth().Token().LookupSelfWithContext(ctx)
	})
	if !errors.Is(err, ErrDenied) {
		return false, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state.LoggedIn = false
	return true, nil
}

// waitForLogin returns when the next login may be made.
func (c *Client) waitForLogin(ctx context.Context) error {
	c.mu.Lock()
	wait := c.denials.login.Add(loginInterval).Sub(c.now())
	c.mu.Unlock()
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return explain(ctx, ctx.Err())
	}
}

// wake makes Run look at the login.
func (c *Client) wake() {
	select {
	case c.lost <- struct{}{}:
	default:
	}
}
