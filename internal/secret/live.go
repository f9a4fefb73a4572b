package secret

import (
	"context"
	"fmt"
	"sync/atomic"
)

// Live is one secret that may change while the program runs, such as a token.
// Current never waits; a Reload that fails keeps the old value.
type Live struct {
	ref     Ref
	check   func(Value) error
	current atomic.Pointer[Value]
}

// NewLive loads a secret for the first time. Surrounding white space does not
// belong to it. A nil check accepts everything.
func NewLive(ctx context.Context, r *Reader, ref Ref, check func(Value) error) (*Live, error) {
	l := &Live{ref: ref, check: check}
	if err := l.Reload(ctx, r); err != nil {
		return nil, err
	}
	return l, nil
}

// Reload reads the secret again.
func (l *Live) Reload(ctx context.Context, r *Reader) error {
	v, err := r.Read(ctx, l.ref)
	if err != nil {
		return err
	}
	v = v.Trimmed()
	if l.check != nil {
		if err := l.check(v); err != nil {
			return fmt.Errorf("%s: %w", l.ref, err)
		}
	}
	l.current.Store(&v)
	return nil
}

// Current is the last value that loaded.
func (l *Live) Current() Value { return *l.current.Load() }
