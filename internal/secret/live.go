package secret

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// Live is one secret that may change while the program runs, such as a token.
// Current never waits; a Reload that fails keeps the old value.
type Live struct {
	ref     Ref
	check   func(Value) error
	current atomic.Pointer[Value]
	read    atomic.Int64 // Unix nanoseconds
	err     atomic.Pointer[error]
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
	err := l.reload(ctx, r)
	if err != nil {
		l.err.Store(&err)
		return err
	}
	l.err.Store(nil)
	return nil
}

func (l *Live) reload(ctx context.Context, r *Reader) error {
	began := time.Now()
	v, err := r.Read(ctx, l.ref)
	if err != nil {
		return err
	}
	l.read.Store(began.UnixNano())
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

// Ref says where the secret is.
func (l *Live) Ref() Ref { return l.ref }

// ReadAt is when there last was something to read, right or wrong.
func (l *Live) ReadAt() time.Time { return time.Unix(0, l.read.Load()) }

// Err tells what was wrong with the last Reload, nil if nothing was.
func (l *Live) Err() error {
	if err := l.err.Load(); err != nil {
		return *err
	}
	return nil
}
