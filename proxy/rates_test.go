package proxy_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"github.com/wxproxy/wxproxy/proxy"
)

// pace makes calls one after the other and tells when each was answered, or
// with which status it was refused.
func (f *faulty) pace(edits func(*setup), calls ...func(func(method, target, merchant string) int)) {
	f.t.Helper()
	face, _ := f.face(edits)
	for _, call := range calls {
		call(func(method, target, merchant string) int {
			r := httptest.NewRequestWithContext(f.t.Context(), method, target, nil)
			r.Host = "localhost"
			r.Header.Set("Wxproxy-Merchant", merchant)
			w := httptest.NewRecorder()
			face.ServeHTTP(w, r)
			return w.Code
		})
	}
}

const (
	getRefund = "/v3/refund/domestic/refunds/R1"
	getOrder  = "/v3/pay/transactions/id/1"
)

// Each merchant's family has a rate of its own, and all of them share one: a
// call waits for both.
func TestRatesByFamily(t *testing.T) {
	t.Parallel()
	keys()
	synctest.Test(t, func(t *testing.T) {
		f := newFaulty(t)
		var at []time.Duration
		f.pace(func(s *setup) {
			s.Merchants = append(s.Merchants, otherShop(t, newTrust()))
			s.Rate = proxy.Rate{PerSecond: 1, Burst: 3}
			s.Rates = map[string]proxy.Rate{"refund_query": {PerSecond: 0.25, Burst: 1}, "other": {}}
		}, func(do func(method, target, merchant string) int) {
			for _, c := range []struct{ target, merchant string }{
				{getRefund, "shop"},  // at once
				{getOrder, "shop"},   // at once: another family
				{getRefund, "other"}, // at once: another merchant
				{getRefund, "shop"},  // 4 s: its family
				{getOrder, "shop"},   // at once: all had time to recover
				{getRefund, "shop"},  // 4 s more
			} {
				if status := do("GET", c.target, c.merchant); status != 200 {
					t.Errorf("%v: %d", c, status)
				}
				at = append(at, time.Since(f.start).Round(time.Second))
			}
		})
		if want := []time.Duration{0, 0, 0, 4 * time.Second, 4 * time.Second, 8 * time.Second}; !slices.Equal(at, want) {
			t.Errorf("answered at %v, want %v", at, want)
		}
	})
}

// What would have to wait beyond the deadline is refused at once, and takes
// nothing from those that come in time.
func TestRateRefusesAtOnce(t *testing.T) {
	t.Parallel()
	keys()
	synctest.Test(t, func(t *testing.T) {
		f := newFaulty(t)
		f.pace(func(s *setup) {
			s.Timeout = 3 * time.Second
			s.Rate = proxy.Rate{PerSecond: 100, Burst: 2}
			s.Rates = map[string]proxy.Rate{"refund_query": {PerSecond: 0.2, Burst: 1}}
		}, func(do func(method, target, merchant string) int) {
			do("GET", getRefund, "shop")
			for range 50 {
				if status := do("GET", getRefund, "shop"); status != 429 {
					t.Fatalf("got %d", status)
				}
			}
			if took := time.Since(f.start); took != 0 {
				t.Errorf("refused after %s", took)
			}
			if status := do("GET", getOrder, "shop"); status != 200 || time.Since(f.start) > 20*time.Millisecond {
				t.Errorf("another family: %d after %s", status, time.Since(f.start))
			}
			time.Sleep(3 * time.Second)
			if status := do("GET", getRefund, "shop"); status != 200 || time.Since(f.start).Round(time.Second) != 5*time.Second {
				t.Errorf("in time: %d after %s", status, time.Since(f.start))
			}
		})
	})
}

// A repeat takes from the rate too; without any left the answer passes.
func TestRepeatsAreCharged(t *testing.T) {
	t.Parallel()
	keys()
	synctest.Test(t, func(t *testing.T) {
		f := newFaulty(t, "500", "500", "500")
		face, _ := f.face(func(s *setup) {
			s.Timeout = 5 * time.Second
			s.Rates = map[string]proxy.Rate{"query": {PerSecond: 0.01, Burst: 2}}
		})
		w := f.do(face, "GET", getOrder, "")
		if w.Code != 500 || len(f.dials) != 2 {
			t.Errorf("got %d after %d attempts", w.Code, len(f.dials))
		}
	})
}

// Many calls at one time get what the rate allows, and no more.
func TestRateUnderLoad(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := proxy.NewRates(proxy.Rate{PerSecond: 10, Burst: 5}, map[string]proxy.Rate{"refund": {PerSecond: 1000, Burst: 1000}})
		var wg sync.WaitGroup
		var mu sync.Mutex
		passed := make(map[string]int)
		for i := range 300 {
			wg.Go(func() {
				merchant := fmt.Sprint("shop-", i%2)
				if _, err := r.Wait(t.Context(), merchant, "refund", 2*time.Second); err == nil {
					mu.Lock()
					defer mu.Unlock()
					passed[merchant]++
				}
			})
		}
		wg.Wait()
		for _, merchant := range []string{"shop-0", "shop-1"} {
			if n := passed[merchant]; n < 20 || n > 25 {
				t.Errorf("%s made %d calls in two seconds, want 5 and 10 a second", merchant, n)
			}
		}
		if n := r.Limiters(); n != 4 {
			t.Errorf("%d limiters for two merchants", n)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := r.Wait(ctx, "shop-0", "refund", time.Minute); err == nil {
			t.Error("a caller that went away was let go")
		}
	})
}

// Merchants that make no call have no limiter.
func TestLimitersAreMadeLazily(t *testing.T) {
	t.Parallel()
	one := proxy.Rate{PerSecond: rate.Limit(10), Burst: 1}
	r := proxy.NewRates(one, map[string]proxy.Rate{"refund": one, "query": one, "prepay": {}})
	for _, family := range []string{"refund", "prepay", "other"} {
		if _, err := r.Wait(t.Context(), "shop-"+family, family, time.Second); err != nil {
			t.Error(err)
		}
	}
	if n := r.Limiters(); n != 4 { // of all calls three, of a family one
		t.Errorf("%d limiters", n)
	}
}
