package certcache_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxproxy/wxproxy/certcache"
	"github.com/wxproxy/wxproxy/verifier"
)

// TestUnknownSerialRefreshes: a serial number seen for the first time is found
// by one download, which its askers share.
func TestUnknownSerialRefreshes(t *testing.T) {
	t.Parallel()
	cert := issue(t, 0, epoch.Add(-year), epoch.Add(year))
	answer := list(t, epoch, cert)
	synctest.Test(t, func(t *testing.T) {
		w := &wechat{reply: answer, hold: make(chan struct{})}
		c := open(t, w.options())
		var wg sync.WaitGroup
		for i := range 50 {
			budget := []certcache.Budget{certcache.Outbound, certcache.Notify}[i%2]
			wg.Go(func() {
				if k, err := c.For(budget).Lookup(t.Context(), cert.serial); err != nil || !k.Equal(cert.key.Public()) {
					t.Errorf("got %v", err)
				}
			})
		}
		synctest.Wait() // all of them wait for the one download
		close(w.hold)
		wg.Wait()
		if got := w.calls.Load(); got != 1 {
			t.Errorf("got %d downloads, want 1", got)
		}
	})
}

// TestFloodOfSerials: ten thousand invented serial numbers cost the budget and
// bounded memory, and leave the other budget alone.
func TestFloodOfSerials(t *testing.T) {
	t.Parallel()
	var clk clock
	w := &wechat{}
	o := w.options()
	o.Now = clk.now
	c := open(t, o)
	w.set(list(t, epoch, issue(t, 0, epoch.Add(-year), epoch.Add(year))), nil)

	const seconds = 100
	for i := range 10_000 {
		if i > 0 && i%(10_000/seconds) == 0 {
			clk.advance(time.Second)
		}
		_, err := c.For(certcache.Notify).Lookup(t.Context(), fmt.Sprintf("%040X", i+1))
		if !errors.Is(err, verifier.ErrSerialUnknown) && !errors.Is(err, verifier.ErrKeysUnavailable) {
			t.Fatalf("got %v", err)
		}
	}
	if got, most := w.calls.Load(), int64(2+seconds/10); got > most || got < 3 {
		t.Errorf("got %d downloads, want 3 to %d", got, most)
	}
	if got := c.NegativeSize(); got > 1024 {
		t.Errorf("remembers %d serial numbers", got)
	}
	before := w.calls.Load()
	if _, err := c.For(certcache.Outbound).Lookup(t.Context(), hexUnknown); !errors.Is(err, verifier.ErrSerialUnknown) {
		t.Errorf("the other budget: got %v", err)
	}
	if got := w.calls.Load(); got != before+1 {
		t.Errorf("the other budget downloaded %d times", got-before)
	}
}

// TestFloodSharesDownload: many who wait for one download are all remembered
// as unknown afterwards, in bounded memory.
func TestFloodSharesDownload(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &wechat{reply: noCertificates(), hold: make(chan struct{})}
		c := open(t, w.options())
		for i := range 3000 {
			go func() { _, _ = c.For(certcache.Notify).Lookup(t.Context(), fmt.Sprintf("%040X", i+1)) }()
		}
		synctest.Wait()
		close(w.hold)
		synctest.Wait()
		if got := c.NegativeSize(); got < 512 || got > 1024 || w.calls.Load() != 1 {
			t.Errorf("remembers %d serial numbers after %d downloads", got, w.calls.Load())
		}
	})
}

func TestNegativeCache(t *testing.T) {
	t.Parallel()
	var clk clock
	w := &wechat{}
	o := w.options()
	o.Now = clk.now
	c := open(t, o)
	cert := issue(t, 0, epoch.Add(-year), epoch.Add(year))
	w.set(list(t, epoch, cert), nil)
	lookup := func(serial string, want error, downloads int64) {
		t.Helper()
		if _, err := c.For(certcache.Notify).Lookup(t.Context(), serial); !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
		if got := w.calls.Load(); got != downloads {
			t.Errorf("got %d downloads, want %d", got, downloads)
		}
	}
	lookup(hexUnknown, verifier.ErrSerialUnknown, 1)
	lookup("00"+hexUnknown, verifier.ErrSerialUnknown, 1) // another spelling
	clk.advance(59 * time.Second)
	lookup(hexUnknown, verifier.ErrSerialUnknown, 1)
	clk.advance(time.Second)
	lookup(hexUnknown, verifier.ErrSerialUnknown, 2)

	// A failed download is no knowledge: it is not remembered.
	clk.advance(time.Hour)
	w.set(reply{status: 500}, nil)
	lookup(hexUnknown, verifier.ErrKeysUnavailable, 3)
	clk.advance(10 * time.Second)
	w.set(list(t, clk.now(), cert, unknownCertificate(t)), nil)
	lookup(unknownCertificate(t).serial, nil, 4)
}

func unknownCertificate(t *testing.T) issued {
	t.Helper()
	return issue(t, 2, epoch.Add(-time.Hour), epoch.Add(year))
}

// TestLookupHidesCauses: the verifier's errors about the list of certificates
// must not be taken for the verdict on the answer in hand.
func TestLookupHidesCauses(t *testing.T) {
	t.Parallel()
	cert := issue(t, 0, epoch.Add(-year), epoch.Add(year))
	stale := list(t, epoch.Add(-time.Hour), cert)
	stranger := list(t, epoch, cert)
	stranger.sign(t, cert.key, hexUnknown, epoch)
	for _, r := range []reply{stale, stranger, {status: 500}} {
		w := &wechat{reply: r}
		c := open(t, w.options())
		_, err := c.For(certcache.Outbound).Lookup(t.Context(), cert.serial)
		if !errors.Is(err, verifier.ErrKeysUnavailable) {
			t.Errorf("got %v", err)
		}
		for _, not := range []error{verifier.ErrStale, verifier.ErrSerialUnknown, verifier.ErrUnsigned, verifier.ErrProbe} {
			if errors.Is(err, not) {
				t.Errorf("%v is taken for %v", err, not)
			}
		}
	}
}

func TestLookupLimited(t *testing.T) {
	t.Parallel()
	w := &wechat{}
	w.set(reply{status: 500}, nil)
	c := open(t, w.options())
	for range 5 {
		if _, err := c.For(certcache.Notify).Lookup(t.Context(), hexUnknown); !errors.Is(err, verifier.ErrKeysUnavailable) {
			t.Errorf("got %v", err)
		}
	}
	if got := w.calls.Load(); got != 2 {
		t.Errorf("got %d downloads, want the burst of 2", got)
	}
}

// TestCallerLeaves: who cannot wait any longer leaves; the download goes on
// for the others.
func TestCallerLeaves(t *testing.T) {
	t.Parallel()
	cert := issue(t, 0, epoch.Add(-year), epoch.Add(year))
	answer := list(t, epoch, cert)
	synctest.Test(t, func(t *testing.T) {
		w := &wechat{reply: answer, hold: make(chan struct{})}
		c := open(t, w.options())
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := c.For(certcache.Outbound).Lookup(ctx, cert.serial)
		if !errors.Is(err, verifier.ErrKeysUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		close(w.hold)
		synctest.Wait()
		if !c.Has(cert.serial) {
			t.Error("the download ended with its first caller")
		}
		if _, err := c.For(certcache.Outbound).Lookup(ctx, hexUnknown); !errors.Is(err, context.DeadlineExceeded) || w.calls.Load() != 1 {
			t.Errorf("a caller who is gone: got %v, %d downloads", err, w.calls.Load())
		}
	})
}

// TestDownloadTimesOut: a download that hangs ends by itself.
func TestDownloadTimesOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &wechat{hold: make(chan struct{})}
		c := open(t, w.options())
		began := time.Now()
		err := c.Refresh(t.Context())
		if !errors.Is(err, certcache.ErrFetch) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if got := time.Since(began); got != 30*time.Second {
			t.Errorf("after %v", got)
		}
	})
}
