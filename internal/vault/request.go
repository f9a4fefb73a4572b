package vault

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/sony/gobreaker/v2"
)

// call is what to ask Vault, and where.
type call struct {
	operation string // label of the metric
	mount     string // its reads keep pace together
	path      string
	do        func(context.Context) (*api.Secret, error)
}

// read is a call that only reads.
func (c *Client) read(operation, mount, path string) call {
	return call{operation, mount, path, func(ctx context.Context) (*api.Secret, error) {
		return c.api.Logical().ReadWithContext(context.WithValue(ctx, readOf{}, mount), path)
	}}
}

// maxRounds bounds how often one call is made after new logins.
const maxRounds = 3

// ask makes a call that only reads, unless several have just failed: while
// Vault is down a reload of many merchants shall end soon. A Vault that limits
// the rate is not down; the call waits for its turn, up to the timeout.
func (c *Client) ask(ctx context.Context, q call) (answer *api.Secret, err error) {
	latest := time.Now().Add(c.timeout)
	for range pacedTries {
		if paced := c.transport.pace.keep(ctx, q.mount, latest); paced != nil {
			return nil, paced
		}
		answer, err = c.reading.Execute(func() (*api.Secret, error) { return c.request(ctx, q) })
		if !errors.Is(err, ErrRateLimited) {
			break
		}
	}
	return answer, explainBreaker(err, c.problem)
}

// request makes a call, each time within the timeout. A denial may mean a
// missing permission or a token that is no longer good: the token is asked,
// and only for the latter is there a new login, and the call once more.
func (c *Client) request(ctx context.Context, q call) (answer *api.Secret, err error) {
	for range maxRounds {
		began := c.now()
		if answer, err = c.once(ctx, q.do); err == nil {
			c.allow(q.path)
		}
		if !errors.Is(err, ErrDenied) {
			break
		}
		again, failed := c.afterDenial(ctx, denial{path: q.path, began: began, came: c.now()})
		if failed != nil {
			err = failed
		}
		if !again {
			break
		}
	}
	c.note(q.operation, err)
	return answer, err
}

func (c *Client) once(ctx context.Context, do func(context.Context) (*api.Secret, error)) (*api.Secret, error) {
	ctx, cancel := c.limit(ctx)
	defer cancel()
	answer, err := do(ctx)
	return answer, explain(ctx, err)
}

// limit gives ctx our timeout, which explain tells from the caller's own.
func (c *Client) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, c.timeout, ErrTimeout)
}

const (
	// breakerFailures in a row open a breaker for breakerPause: a Vault that is
	// down then costs a call no waiting.
	breakerFailures = 5
	breakerPause    = 2 * time.Second
)

// newBreaker counts the errors that bad tells.
func newBreaker[T any](bad func(error) bool) *gobreaker.CircuitBreaker[T] {
	return gobreaker.NewCircuitBreaker[T](gobreaker.Settings{
		Name: "vault", Timeout: breakerPause,
		ReadyToTrip:  func(n gobreaker.Counts) bool { return n.ConsecutiveFailures >= breakerFailures },
		IsSuccessful: func(err error) bool { return !bad(err) },
		IsExcluded:   func(err error) bool { return gaveUp(err) || errors.Is(err, ErrBroken) }, // by another breaker
	})
}

// explainBreaker says what made a breaker refuse.
func explainBreaker(err error, problem func() string) error {
	if !isOne(err, gobreaker.ErrOpenState, gobreaker.ErrTooManyRequests) {
		return err
	}
	if text := problem(); text != "" {
		return fmt.Errorf("%w (%s)", ErrBroken, text)
	}
	return ErrBroken
}

func (c *Client) problem() string { return c.State().Problem }

// loginFailed is the trouble of a Vault that answers and does not let us in.
const loginFailed = "login"

// trouble is what is wrong with Vault, and what the log was told of it.
type trouble struct {
	kind string          // empty: nothing
	last time.Time       // when a request last failed
	told map[string]bool // kinds, since all was well
}

// calm is how long no request may fail before the log calls Vault well again.
// A Vault that limits its rate refuses some every second and takes others.
const calm = 5 * time.Second

// note keeps the state. The log has each kind of trouble once, and its end.
func (c *Client) note(operation string, err error) {
	c.metrics.request(operation, err)
	kind := kindOf(err)
	now := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	t := &c.trouble
	switch {
	case gaveUp(err): // that says nothing of Vault
	case kind != "":
		t.kind, t.last, c.state.Problem = kind, now, err.Error()
		if !t.told[kind] {
			if t.told == nil {
				t.told = make(map[string]bool)
			}
			t.told[kind] = true
			c.log.Warn("Vault fails", "operation", operation, "error", c.state.Problem)
		}
	case err != nil && t.kind == loginFailed: // an answer to a token that is no longer good
	default:
		t.kind, c.state.Problem = "", ""
		if len(t.told) > 0 && now.Sub(t.last) >= calm {
			t.told = nil
			c.log.Info("Vault answers again")
		}
	}
}

// kindOf tells Vault's own trouble from what is about one path, which its user
// tells.
func kindOf(err error) string {
	switch {
	case outage(err):
		return outcomeOf(err)
	case errors.Is(err, ErrLogin):
		return loginFailed
	}
	return ""
}
