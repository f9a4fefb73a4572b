package certcache_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxproxy/wxproxy/certcache"
	"github.com/wxproxy/wxproxy/verifier"
)

// run starts Run in a bubble and returns how to end it.
func run(t *testing.T, c *certcache.Cache) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	synctest.Wait()
	return func() {
		t.Helper()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run ended with %v", err)
		}
	}
}

func TestRunPolls(t *testing.T) {
	t.Parallel()
	cert := issue(t, 0, epoch.Add(-year), epoch.Add(year))
	answer := list(t, epoch, cert)
	synctest.Test(t, func(t *testing.T) {
		w := &wechat{reply: answer}
		c := open(t, w.options())
		stop := run(t, c)
		defer stop()
		if got := w.calls.Load(); got != 1 || !c.Has(cert.serial) {
			t.Fatalf("got %d downloads at the start", got)
		}
		waits := make(map[time.Duration]bool)
		for i := range int64(5) {
			began := time.Now()
			for w.calls.Load() == 1+i {
				time.Sleep(time.Minute)
				synctest.Wait()
			}
			got := time.Since(began)
			waits[got] = true
			if got < 324*time.Minute || got > 398*time.Minute {
				t.Errorf("download %d after %v, want 6 h and a tenth either way", i+2, got)
			}
		}
		if len(waits) == 1 {
			t.Error("all waits are the same")
		}
	})
}

func TestRunBacksOff(t *testing.T) {
	t.Parallel()
	cert := issue(t, 0, epoch.Add(-year), epoch.Add(year))
	answer := list(t, epoch, cert)
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		w := &wechat{err: errors.New("connection refused")}
		o := w.options()
		o.Log = slog.New(slog.NewTextHandler(&log, nil))
		c := open(t, o)
		stop := run(t, c)
		defer stop()
		for i, want := range []time.Duration{10, 20, 40, 80, 160, 320, 640, 900, 900} {
			began := time.Now()
			for w.calls.Load() == int64(i+1) {
				time.Sleep(time.Second)
				synctest.Wait()
			}
			want *= time.Second
			if got := time.Since(began); got < want*9/10 || got > want*11/10+time.Second {
				t.Errorf("download %d after %v, want about %v", i+2, got, want)
			}
		}
		if s := c.Status(); !strings.Contains(s.LastError, "connection refused") || !s.LastRefresh.IsZero() {
			t.Errorf("got status %+v", s)
		}
		w.set(answer, nil)
		time.Sleep(20 * time.Minute)
		synctest.Wait()
		if s := c.Status(); s.LastError != "" || !s.LastRefresh.Equal(epoch) || len(s.Keys) != 1 {
			t.Errorf("got status %+v", s)
		}
		if !strings.Contains(log.String(), "downloaded again") {
			t.Errorf("the log lacks the recovery: %s", log.String())
		}
	})
}

// TestRunWithoutCertificates: a merchant with the public key only has its
// poller turned off, quietly, but for one look a day.
func TestRunWithoutCertificates(t *testing.T) {
	t.Parallel()
	pin := pinned(t, 1)
	cert := issue(t, 0, epoch.Add(-year), epoch.Add(year))
	answer := list(t, epoch, cert)
	for name, isPinned := range map[string]bool{"pinned": true, "not pinned": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				w := &wechat{reply: noCertificates()}
				o := w.options()
				o.Log = slog.New(slog.NewTextHandler(&log, nil))
				if isPinned {
					o.Pinned = pin
				}
				c := open(t, o)
				stop := run(t, c)
				defer stop()
				time.Sleep(80 * time.Hour)
				synctest.Wait()
				if got := w.calls.Load(); got != 4 {
					t.Errorf("got %d downloads in 80 hours, want 4", got)
				}
				if s := c.Status(); s.Mode != certcache.ModeNone || s.LastError != "" {
					t.Errorf("got status %+v", s)
				}
				if got := strings.Count(log.String(), "\n"); got != 1 {
					t.Errorf("got %d log lines: %s", got, log.String())
				}
				if quiet := !strings.Contains(log.String(), "level=WARN"); quiet != isPinned {
					t.Errorf("got %s", log.String())
				}
				if err := c.Ready(); (err == nil) != isPinned {
					t.Errorf("got ready: %v", err)
				}

				// The merchant goes back to certificates.
				w.set(answer, nil)
				time.Sleep(27 * time.Hour)
				synctest.Wait()
				if s := c.Status(); s.Mode != certcache.ModeAuto || !c.Has(cert.serial) {
					t.Errorf("got status %+v", s)
				}
			})
		})
	}
}

// TestRunOwnsDownloads: when Run has returned nothing is under way, and
// nothing begins.
func TestRunOwnsDownloads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &wechat{hold: make(chan struct{})}
		c := open(t, w.options())
		lookup := make(chan error, 1)
		stop := run(t, c)
		go func() {
			_, err := c.For(certcache.Outbound).Lookup(t.Context(), hexUnknown)
			lookup <- err
		}()
		synctest.Wait()
		stop()
		if got := w.active.Load(); got != 0 {
			t.Errorf("%d downloads are under way", got)
		}
		if err := <-lookup; !errors.Is(err, verifier.ErrKeysUnavailable) {
			t.Errorf("who waited got %v", err)
		}
		if err := c.Refresh(t.Context()); !errors.Is(err, certcache.ErrStopped) {
			t.Errorf("afterwards: got %v", err)
		}
		if got := w.calls.Load(); got != 1 {
			t.Errorf("got %d downloads", got)
		}
	})
}

func TestRunWithCertificatesOff(t *testing.T) {
	t.Parallel()
	pin := pinned(t, 1)
	synctest.Test(t, func(t *testing.T) {
		w := &wechat{}
		o := w.options()
		o.Certificates, o.Pinned = false, pin
		c := open(t, o)
		stop := run(t, c)
		time.Sleep(48 * time.Hour)
		if err := c.Refresh(t.Context()); err != nil {
			t.Errorf("got %v", err)
		}
		stop()
		if got := w.calls.Load(); got != 0 {
			t.Errorf("got %d downloads", got)
		}
		if s := c.Status(); s.Mode != certcache.ModeOff || len(s.Keys) != 1 || !s.Keys[0].Preferred || s.Keys[0].Source != certcache.SourcePinned {
			t.Errorf("got status %+v", s)
		}
	})
}
