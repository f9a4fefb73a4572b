package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wxproxy/wxproxy/internal/config"
	"github.com/wxproxy/wxproxy/internal/demo"
	"github.com/wxproxy/wxproxy/internal/sim"
)

// demoKeys are the RSA keys of all demo tests: making them takes longer than
// the story.
var demoKeys = sync.OnceValue(func() []*sim.Key {
	keys := make([]*sim.Key, 5)
	var all sync.WaitGroup
	for i := range keys {
		all.Go(func() { keys[i], _ = rsa.GenerateKey(rand.Reader, 2048) })
	}
	all.Wait()
	return keys
})

const demoPublicKeyID = "PUB_KEY_ID_0119000000012026112400000000000001"

func demoPublicKeyPair() *sim.Key { return demoKeys()[0] }
func demoForeignKey() *sim.Key    { return demoKeys()[1] }

// demoOptions are those of runDemo, with keys that are made already: one each
// for the merchant and two certificates.
func demoOptions() sim.Options {
	var n atomic.Int64
	return sim.Options{
		SpeedUp: 100, RefundDelay: 10 * time.Millisecond,
		Platform: []sim.PlatformKey{{ID: demoPublicKeyID, PrivateKey: demoPublicKeyPair()}},
		NewKey: func() (*sim.Key, error) {
			if i := n.Add(1) + 1; i < int64(len(demoKeys())) {
				return demoKeys()[i], nil
			}
			return nil, errors.New("the story needs more keys than the test has")
		},
	}
}

// breakage replaces parts around the proxy, or of it, by bad ones. The zero
// value leaves all as runDemo has it.
type breakage struct {
	config   func(*testing.T, *demoStage, *config.Config)
	weChat   func(http.Handler) http.Handler                  // stands before the simulator
	notify   func(*testing.T, *sidecar) http.Handler          // stands where the notify face does
	outbound func(*testing.T, *sidecar) (http.Handler, error) // stands where the outbound face does
}

// playOnce tells the story as "demo --once" does and returns its output and
// exit code.
func playOnce(t *testing.T, b breakage) (stdout, stderr string, code int) {
	t.Helper()
	ctx := t.Context()
	g, err := newDemoStage(ctx, t.TempDir(), demoOptions())
	if err != nil {
		t.Fatal(err)
	}
	c := g.config()
	if b.weChat != nil {
		c.Outbound.Upstreams = []string{serveHandler(t, b.weChat(g.sim.Handler()))}
	}
	if b.config != nil {
		b.config(t, g, c)
	}
	if faults := c.Validate(); len(faults) > 0 {
		t.Fatal(faults)
	}
	s, err := newSidecar(ctx, c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	outbound, notify := "http://"+s.address(roleOutbound), "http://"+s.address(roleNotify)
	if b.notify != nil {
		notify = serveHandler(t, b.notify(t, s))
	}
	var out, errs bytes.Buffer
	err = during(ctx, []func(context.Context) error{g.Run, s.Run}, func(ctx context.Context) error {
		if b.outbound != nil {
			h, err := b.outbound(t, s)
			if err != nil {
				return err
			}
			outbound = serveHandler(t, h)
		}
		cast := g.cast(outbound, notify)
		defer cast.Shop.Client.CloseIdleConnections()
		return demo.NewTeller(&out, false).Tell(ctx, demo.Story(cast))
	})
	code = demoCode(ctx, &errs, true, err)
	return out.String(), errs.String(), code
}

func serveHandler(t *testing.T, h http.Handler) string {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}

func TestDemoStoryHolds(t *testing.T) {
	t.Parallel()
	stdout, stderr, code := playOnce(t, breakage{})
	if code != exitFine || stderr != "" {
		t.Fatalf("exit %d, %s\n%s", code, stderr, stdout)
	}
	if got, want := strings.Count(stdout, "✓"), len(demo.Story(demo.Cast{}))+1; got != want {
		t.Errorf("%d ✓, want %d\n%s", got, want, stdout)
	}
}

func TestDemoOnce(t *testing.T) {
	t.Parallel()
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"demo", "--once"}, &stdout, &stderr); code != exitFine {
		t.Fatalf("exit %d, %s\n%s", code, stderr.String(), stdout.String())
	}
	if !strings.Contains(stdout.String(), "✓ all 11 steps") || strings.Contains(stdout.String(), "\x1b") {
		t.Errorf("want plain text to the end, got\n%s", stdout.String())
	}
}

// lineWaiter hands on what is written and tells when a text was in it.
type lineWaiter struct {
	want string
	seen chan struct{}

	mu   sync.Mutex
	text strings.Builder
	once sync.Once
}

func (w *lineWaiter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text.Write(p)
	if strings.Contains(w.text.String(), w.want) {
		w.once.Do(func() { close(w.seen) })
	}
	return len(p), nil
}

func TestDemoStaysUpUntilInterrupted(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	stdout := &lineWaiter{want: "/metrics", seen: make(chan struct{})}
	var stderr bytes.Buffer
	ended := make(chan int, 1)
	go func() { ended <- run(ctx, []string{"demo"}, stdout, &stderr) }()
	select {
	case <-stdout.seen:
	case code := <-ended:
		t.Fatalf("ended with %d: %s", code, stderr.String())
	}
	interrupt()
	if code := <-ended; code != exitFine {
		t.Errorf("exit %d after an interrupt: %s", code, stderr.String())
	}
}

func TestDemoInterruptedStoryIsNotGood(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	var stdout, stderr bytes.Buffer
	if code := run(ctx, []string{"demo", "--once"}, &stdout, &stderr); code != exitFailed {
		t.Errorf("exit %d, want %d; %s", code, exitFailed, stderr.String())
	}
}

func TestDemoUsage(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		args []string
		code int
	}{
		{[]string{"demo", "-h"}, exitFine},
		{[]string{"demo", "--nonsense"}, exitUsage},
		{[]string{"demo", "argument"}, exitUsage},
	} {
		var stdout, stderr bytes.Buffer
		if got := run(t.Context(), tt.args, &stdout, &stderr); got != tt.code {
			t.Errorf("%v: exit %d, want %d", tt.args, got, tt.code)
		}
	}
}
