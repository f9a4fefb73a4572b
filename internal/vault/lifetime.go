package vault

import (
	"bytes"
	"context"
	"math/rand/v2"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/wxproxy/wxproxy/internal/secret"
)

const (
	firstRetry = time.Second
	lastRetry  = 30 * time.Second
)

// Run keeps the login alive until ctx ends: it renews the token while Vault
// lets it, and logs in again when that ends, or when a request was denied.
func (c *Client) Run(ctx context.Context) error {
	wait := firstRetry
	for ctx.Err() == nil {
		select {
		case <-c.lost: // of what is looked at now
		default:
		}
		c.mu.Lock()
		login, refused := c.login, c.denials.refused != nil
		c.mu.Unlock()
		if login != nil && !refused {
			wait = firstRetry
			c.watch(ctx, login)
			c.drop(login)
		}
		if ctx.Err() != nil || c.took(login) {
			continue // a request has logged in again meanwhile
		}
		if err := c.Login(ctx); err != nil {
			pause(ctx, wait)
			wait = min(2*wait, lastRetry)
		}
	}
	return nil
}

// drop forgets a login that needs to be replaced, so that Run logs in. The
// token itself serves for as long as it lasts.
func (c *Client) drop(login *api.Secret) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.login == login {
		c.login = nil
	}
}

// took reports whether another login has replaced this one.
func (c *Client) took(old *api.Secret) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.login != nil && c.login != old
}

// watch returns when the token of a login needs to be replaced.
func (c *Client) watch(ctx context.Context, login *api.Secret) {
	lease := time.Duration(login.Auth.LeaseDuration) * time.Second
	switch {
	case c.auth.Method == MethodTokenFile:
		c.watchFile(ctx, login.Auth.ClientToken)
	case login.Auth.Renewable && lease > 0:
		c.renew(ctx, login)
	case lease > 0:
		c.until(ctx, lease*2/3)
	default: // a token without an end
		c.until(ctx, time.Duration(1<<62))
	}
}

func (c *Client) until(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	case <-c.lost:
	}
}

// renew runs Vault's own lifetime watcher until it gives up.
func (c *Client) renew(ctx context.Context, login *api.Secret) {
	watcher, err := c.api.NewLifetimeWatcher(&api.LifetimeWatcherInput{Secret: login, RenewBehavior: api.RenewBehaviorIgnoreErrors})
	if err != nil {
		c.until(ctx, time.Duration(login.Auth.LeaseDuration)*time.Second/2)
		return
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		watcher.Start()
	}()
	defer func() {
		watcher.Stop()
		<-ended
	}()
	for {
		select {
		case <-ctx.Done():
			return
		case <-watcher.DoneCh(): //nolint:errcheck // why it ended does not matter: the next login tells
			return
		case <-c.lost:
			return
		case renewed := <-watcher.RenewCh():
			c.metrics.request("renew", nil)
			c.mu.Lock()
			if renewed.Secret != nil && renewed.Secret.Auth != nil {
				c.state.Expires = renewed.RenewedAt.Add(time.Duration(renewed.Secret.Auth.LeaseDuration) * time.Second)
			}
			c.mu.Unlock()
		}
	}
}

// tokenFileInterval is how often the file of Vault Agent is looked at. A token
// that was denied is looked for at once.
const tokenFileInterval = 10 * time.Second

func (c *Client) watchFile(ctx context.Context, token string) {
	for ctx.Err() == nil {
		c.until(ctx, tokenFileInterval)
		if text, err := secret.ReadFile(c.auth.TokenFile, maxTokenFile); err == nil && string(bytes.TrimSpace(text)) != token {
			return
		}
	}
}

// pause waits about d.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d*3/4 + rand.N(d/2)) //nolint:gosec // jitter is no secret
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// Await logs in, and while Vault has an outage tries again for as long as
// limit allows, and then for the time of one request. What will not mend itself
// is an error at once.
func (c *Client) Await(ctx context.Context, limit time.Duration) error {
	deadline := time.Now().Add(limit)
	for {
		err := c.Login(ctx)
		if err == nil || !outage(err) || !time.Now().Add(firstRetry).Before(deadline) {
			return err
		}
		pause(ctx, firstRetry)
	}
}
