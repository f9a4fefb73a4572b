package certcache_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"github.com/wxproxy/wxproxy/certcache"
	"github.com/wxproxy/wxproxy/verifier"
)

// throng is the other end of many merchants. An answer takes 100 ms and says
// that there are no certificates, unless another one is set.
type throng struct {
	caches []*certcache.Cache
	names  []string

	mu           sync.Mutex
	calls        map[string]int
	active, most int
	replies      map[string]reply
	err          error
}

func newThrong(t *testing.T, n int, edits ...func(*certcache.Options)) *throng {
	t.Helper()
	h := &throng{calls: make(map[string]int), replies: make(map[string]reply)}
	for i := range n {
		o := (&wechat{}).options()
		o.Name, o.Now = fmt.Sprintf("shop-%d", i), nil
		o.Fetch = func(ctx context.Context) (*http.Response, error) { return h.fetch(o.Name) }
		for _, edit := range edits {
			edit(&o)
		}
		h.caches, h.names = append(h.caches, open(t, o)), append(h.names, o.Name)
	}
	return h
}

func (h *throng) fetch(name string) (*http.Response, error) {
	h.mu.Lock()
	h.calls[name]++
	h.active++
	h.most = max(h.most, h.active)
	h.mu.Unlock()
	time.Sleep(100 * time.Millisecond)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.active--
	if h.err != nil {
		return nil, h.err
	}
	if r, ok := h.replies[name]; ok {
		return r.response(), nil
	}
	return noCertificates().response(), nil
}

func (h *throng) set(name string, r reply, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.replies[name], h.err = r, err
}

// asked is how many downloads there were, for how many merchants.
func (h *throng) asked() (calls, merchants int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, n := range h.calls {
		calls += n
	}
	return calls, len(h.calls)
}

func (h *throng) asks(name string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.calls[name]
}

// start runs a fleet in a bubble until the test's end.
func (h *throng) start(t *testing.T) *certcache.Fleet {
	t.Helper()
	f := certcache.NewFleet(h.caches...)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run ended with %v", err)
		}
	})
	synctest.Wait()
	return f
}

// pass lets time pass.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// A thousand merchants without certificates are asked for within seconds, a
// few at one time, and then one goroutine is enough for all of them.
func TestFleetOfAThousand(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newThrong(t, 1000)
		before := runtime.NumGoroutine()
		h.start(t)
		pass(10 * time.Second)
		half, _ := h.asked()
		pass(15 * time.Second)
		calls, merchants := h.asked()
		t.Logf("%d downloads after 10 s, %d after 25 s, at most %d at one time", half, calls, h.most)
		if half < 400 || half > 510 || calls != 1000 || merchants != 1000 || h.most > 16 {
			t.Error("not spread as it should be")
		}
		if n := runtime.NumGoroutine() - before; n > 50 { // other tests run meanwhile
			t.Errorf("%d goroutines for idle caches", n)
		}
	})
}

// Who has certificates from disk is asked within ten minutes, not at once.
func TestFleetSpreadsFirstPolls(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert := issue(t, 0, epoch.Add(-40*year), epoch.Add(year))
	answer := list(t, epoch, cert)
	seed := newThrong(t, 1, func(o *certcache.Options) {
		o.File = filepath.Join(dir, "seed")
		o.Now = func() time.Time { return epoch }
	})
	seed.replies["shop-0"] = answer
	if err := seed.caches[0].Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		h := newThrong(t, 300, func(o *certcache.Options) { o.File = filepath.Join(dir, "seed") })
		for _, c := range h.caches[1:] {
			if err := c.Load(); err != nil {
				t.Fatal(err)
			}
		}
		h.start(t)
		pass(5 * time.Second)
		if calls, _ := h.asked(); h.asks("shop-0") != 1 || calls > 30 {
			t.Errorf("%d downloads in the first seconds, %d of them for the merchant that has nothing", calls, h.asks("shop-0"))
		}
		pass(5 * time.Minute)
		if calls, _ := h.asked(); calls < 80 || calls > 220 {
			t.Errorf("%d of 300 after five minutes", calls)
		}
		pass(5 * time.Minute)
		if _, merchants := h.asked(); merchants != 300 {
			t.Errorf("%d merchants after ten minutes", merchants)
		}
	})
}

// A few merchants share a path: whoever has the new certificate is found while
// the notify waits.
func TestSweepFindsTheMerchant(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newThrong(t, 5)
		keys := h.start(t).For(h.names...)
		pass(time.Minute)
		cert := issue(t, 0, time.Now().Add(-time.Hour), time.Now().Add(year))
		h.set("shop-3", list(t, time.Now(), cert), nil)
		got, err := keys.Lookup(t.Context(), cert.serial)
		if err != nil || !got.Equal(&cert.key.PublicKey) {
			t.Fatalf("got %v", err)
		}
		if !h.caches[3].Has(cert.serial) || h.caches[2].Has(cert.serial) {
			t.Error("another merchant trusts the certificate")
		}
	})
}

// With many merchants the notify does not wait; when WeChat Pay sends it again
// the key is there.
func TestSweepOfAThousand(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newThrong(t, 1000)
		keys := h.start(t).For(h.names...)
		pass(time.Minute)
		cert := issue(t, 0, time.Now().Add(-time.Hour), time.Now().Add(year))
		h.set("shop-777", list(t, time.Now(), cert), nil)
		begun := time.Now()
		if _, err := keys.Lookup(t.Context(), cert.serial); !errors.Is(err, verifier.ErrKeysUnavailable) {
			t.Fatalf("got %v", err)
		}
		if took := time.Since(begun); took > 0 {
			t.Errorf("the notify waited for %s", took)
		}
		pass(25 * time.Second)
		if !h.caches[777].Has(cert.serial) {
			t.Error("the certificate has not come")
		}
	})
}

// However many serial numbers strangers invent, a merchant's list is
// downloaded once in five minutes for them.
func TestInventedSerialNumbers(t *testing.T) {
	t.Parallel()
	for n, most := range map[int]int{3: 3 * 61, 1000: 1000 * 3} {
		synctest.Test(t, func(t *testing.T) {
			h := newThrong(t, n)
			keys := h.start(t).For(h.names...)
			pass(time.Minute)
			before, _ := h.asked()
			unknown := 0
			for i := range 600 {
				ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
				_, err := keys.Lookup(ctx, fmt.Sprintf("%040X", i+1))
				cancel()
				if errors.Is(err, verifier.ErrSerialUnknown) {
					unknown++
				} else if !errors.Is(err, verifier.ErrKeysUnavailable) {
					t.Fatal(err)
				}
				pass(time.Second)
			}
			after, _ := h.asked()
			t.Logf("%d merchants: 600 invented numbers in ten minutes made %d downloads; %d were refused as unknown", n, after-before, unknown)
			if after-before > most || unknown < 500 {
				t.Error("too much for strangers")
			}
			if _, err := keys.Lookup(t.Context(), "PUB_KEY_ID_0177"); !errors.Is(err, verifier.ErrSerialUnknown) {
				t.Errorf("the ID of a public key: %v", err)
			}
		})
	}
}

// A list that could not be downloaded is no proof that a number is nobody's.
func TestSweepFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newThrong(t, 2)
		keys := h.start(t).For(h.names...)
		pass(time.Minute)
		h.set("", reply{}, errors.New("connection refused"))
		for range 2 { // asked, and too soon to be asked again
			if _, err := keys.Lookup(t.Context(), hexUnknown); !errors.Is(err, verifier.ErrKeysUnavailable) {
				t.Errorf("got %v", err)
			}
		}
		h.set("", reply{}, nil)
		pass(time.Minute)
		if _, err := keys.Lookup(t.Context(), hexUnknown); !errors.Is(err, verifier.ErrSerialUnknown) {
			t.Errorf("got %v", err)
		}
	})
}

// Merchants with paths of their own share a bound for what strangers cause;
// outbound is not charged to it.
func TestNotifyLimitIsShared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		limit := rate.NewLimiter(1, 3)
		h := newThrong(t, 10, func(o *certcache.Options) { o.NotifyLimit = limit })
		for _, c := range h.caches {
			_, _ = c.For(certcache.Notify).Lookup(t.Context(), hexUnknown)
		}
		if calls, _ := h.asked(); calls != 3 && calls != 4 { // a second passes meanwhile
			t.Errorf("%d downloads for notifies", calls)
		}
		for _, c := range h.caches {
			_, _ = c.For(certcache.Outbound).Lookup(t.Context(), "66"+hexUnknown[2:])
		}
		if calls, _ := h.asked(); calls < 13 {
			t.Errorf("%d downloads, outbound's among them", calls)
		}
	})
}
