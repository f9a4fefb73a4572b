package proxy

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Rate is a token bucket for one merchant.
type Rate struct {
	PerSecond rate.Limit // zero: no limit
	Burst     int        // at least one where there is a limit
}

// rates hold calls back before WeChat Pay refuses them. The limiters are made
// when a merchant first makes a call: most of many merchants use few families.
type rates struct {
	all      Rate            // of a merchant's calls together
	families map[string]Rate // by the endpoint's family
	limiters sync.Map        // bucket → *rate.Limiter
}

// bucket is what a limiter counts; the family is empty for all calls.
type bucket struct{ merchant, family string }

func (r *rates) limiter(merchant, family string, of Rate) *rate.Limiter {
	if of.PerSecond <= 0 {
		return nil
	}
	key := bucket{merchant, family}
	if l, ok := r.limiters.Load(key); ok {
		return l.(*rate.Limiter) //nolint:forcetypeassert // nothing else is in it
	}
	l, _ := r.limiters.LoadOrStore(key, rate.NewLimiter(of.PerSecond, max(of.Burst, 1)))
	return l.(*rate.Limiter) //nolint:forcetypeassert // nothing else is in it
}

// errRate: the call would have to wait beyond its deadline.
var errRate = errors.New("rate used up")

// wait holds a call back until both of its rates let it go. When that is later
// than within it returns at once, and takes nothing; the key that is used up
// comes with the error.
func (r *rates) wait(ctx context.Context, merchant, family string, within time.Duration) (key string, err error) {
	var taken []*rate.Reservation
	giveBack := func() {
		for _, t := range taken {
			t.Cancel()
		}
	}
	var longest time.Duration
	for _, l := range []struct {
		key     string
		limiter *rate.Limiter
	}{
		{"outbound.limits.rate", r.limiter(merchant, "", r.all)},
		{"outbound.limits.rates." + family, r.limiter(merchant, family, r.families[family])},
	} {
		if l.limiter == nil {
			continue
		}
		t := l.limiter.Reserve()
		taken = append(taken, t)
		if delay := t.Delay(); delay > 0 && delay >= within {
			giveBack()
			return l.key, errRate
		} else if delay >= longest {
			longest, key = delay, l.key
		}
	}
	if longest <= 0 {
		return "", nil
	}
	timer := time.NewTimer(longest)
	defer timer.Stop()
	select {
	case <-timer.C:
		return "", nil
	case <-ctx.Done():
		giveBack()
		return key, context.Cause(ctx)
	}
}
