package vault

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"
)

const (
	// probeInterval bounds what denials cost Vault when the token is good and
	// only a permission is missing, or when no login is let in.
	probeInterval = 5 * time.Second
	// loginInterval is the least time between two logins after denials.
	loginInterval = 200 * time.Millisecond
	// blindLogins in a row that helped nobody, and whose tokens could not be
	// asked at once, mean that the policy forbids the question and what was
	// wanted. One alone may have been revoked meanwhile.
	blindLogins = 3
	// aboutMount tells of the mount of a path whoever may do anything in it.
	aboutMount = "sys/internal/ui/mounts/"
)

// denials is what is known of them, so that not every one asks Vault again.
type denials struct {
	good    time.Time            // when the token was last asked for, and found to be good
	missing map[string]time.Time // paths that a good token was denied, until they are allowed
	allowed string               // the path that was allowed last
	refused error                // of the last login, if it failed
	until   time.Time            // how long refused counts
	blind   int                  // logins in a row whose token seems lost at once, and was denied what it was for
	wanted  string               // the path that the last login was for
	login   time.Time            // when a denial last led to a login
}

// denial is one of a request.
type denial struct {
	path        string
	began, came time.Time // the request, and Vault's answer
}

// afterDenial says whether a request that was denied should be made again: the
// token was replaced since it began, by somebody else or now. Requests that are
// denied together wait for the one that asks.
func (c *Client) afterDenial(ctx context.Context, d denial) (again bool, err error) {
	select {
	case c.asking <- struct{}{}:
		defer func() { <-c.asking }()
	case <-ctx.Done():
		return false, explain(ctx, ctx.Err())
	}
	if known, again, err := c.recall(d); known {
		return again, err
	}
	asked := c.now()
	lost, err := c.tokenLost(ctx, d.path)
	if err != nil {
		return false, err
	}
	if !lost {
		return c.permissionMissing(d, asked), nil
	}
	if err := c.waitForLogin(ctx); err != nil {
		return false, err
	}
	if err := c.loginSince(ctx, d.began, c.refuse); err != nil {
		return false, err
	}
	c.relogged(ctx, d.path)
	return true, nil
}

// relogged notes a login after a denial, and whether its token can be asked.
func (c *Client) relogged(ctx context.Context, path string) {
	lost, err := c.tokenLost(ctx, path)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.denials.login, c.denials.wanted = c.now(), path
	if err == nil && lost {
		c.denials.blind++
	} else {
		c.denials.blind = 0
	}
	c.state.LoggedIn = true
}

// recall answers from what is known already.
func (c *Client) recall(this denial) (known, again bool, err error) {
	now := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	d := &c.denials
	switch {
	case c.loginAt.After(this.began):
		return true, true, nil
	case d.good.After(this.came): // so the token was good when it was denied this
		d.miss(this.path, now)
		return true, false, nil
	case now.Sub(d.missing[this.path]) < probeInterval, d.blind >= blindLogins && now.Sub(c.loginAt) < probeInterval:
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

// permissionMissing notes that a good token was denied a path, unless the good
// one is newer than the one that was denied.
func (c *Client) permissionMissing(d denial, asked time.Time) (again bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.denials.good = asked
	if c.loginAt.After(d.began) {
		return true
	}
	c.denials.miss(d.path, c.now())
	return false
}

// allow notes what Vault let us do: the path is not missing, and a login for it
// was of use.
func (c *Client) allow(path string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := &c.denials
	d.allowed = path
	delete(d.missing, path)
	if d.wanted == path {
		d.blind = 0
	}
}

// refuse keeps a login that failed for those who are denied next, and has Run
// go on trying.
func (c *Client) refuse(err error) {
	pause := probeInterval
	if outage(err) {
		pause = loginInterval
	}
	c.mu.Lock()
	c.denials.refused, c.denials.until = err, c.now().Add(pause)
	c.mu.Unlock()
	c.wake()
}

// tokenLost asks Vault whether it still knows our token. One that may not look
// itself up still learns about a mount in which it may do anything: that of
// what it was last allowed, or else of path.
func (c *Client) tokenLost(ctx context.Context, path string) (bool, error) {
	_, err := c.once(ctx, c.lookUp)
	if !errors.Is(err, ErrDenied) {
		return false, err
	}
	c.mu.Lock()
	path = cmp.Or(c.denials.allowed, path)
	c.mu.Unlock()
	mount, err := c.once(ctx, c.read("", "sys", aboutMount+strings.TrimPrefix(path, aboutMount)).do)
	switch {
	case err == nil && mount != nil:
		return false, nil
	case outage(err), gaveUp(err):
		return false, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state.LoggedIn = false
	return true, nil
}

// CheckToken asks whether our token may look itself up. Denied, the error has
// the policy that a login lacks which goes without Vault's own policy default.
func (c *Client) CheckToken(ctx context.Context) error {
	_, err := c.once(ctx, c.lookUp)
	if !errors.Is(err, ErrDenied) {
		return err
	}
	return fmt.Errorf("%w; %s, and to keep the login path %q { capabilities = [%q] }",
		err, policyFor("auth/token/lookup-self", "read"), "auth/token/renew-self", "update")
}

func (c *Client) lookUp(ctx context.Context) (*api.Secret, error) {
	return c.api.Auth().Token().LookupSelfWithContext(ctx)
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
