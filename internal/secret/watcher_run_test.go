package secret_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/wxproxy/wxproxy/internal/secret"
)

func TestWatchWithoutNotifications(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key.pem")
	write(t, path, "one")
	var log bytes.Buffer
	fresh, err := secret.NewWatcher([]string{path}, slog.New(slog.NewTextHandler(&log, nil)))
	must(t, err)
	fresh.SetTimes(never, never, 5*time.Millisecond)
	fresh.SetNotifier(func() (*fsnotify.Watcher, error) { return nil, errors.New("too many instances") })
	w := watch(t, fresh)
	w.start()
	if !strings.Contains(log.String(), "too many instances") {
		t.Errorf("got log %q", log.String())
	}
	write(t, path, "two")
	w.change()
}

func TestSettle(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		events int // one every 200 ms
		want   time.Duration
	}{
		{"one event", 0, 250 * time.Millisecond},
		{"a file written in three parts", 2, 650 * time.Millisecond},
		{"never quiet", 1000, 2 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w, err := secret.NewWatcher(nil, nil)
				must(t, err)
				events := make(chan fsnotify.Event)
				stop := make(chan struct{})
				go func() {
					for range tt.events {
						time.Sleep(200 * time.Millisecond)
						select {
						case events <- fsnotify.Event{}:
						case <-stop:
							return
						}
					}
				}()
				start := time.Now()
				w.Settle(t.Context(), events, nil)
				if got := time.Since(start); got != tt.want {
					t.Errorf("settled after %s, want %s", got, tt.want)
				}
				close(stop)
			})
		})
	}
}

func TestRunEndsItsGoroutines(t *testing.T) { // not parallel: no other watcher may run
	path := filepath.Join(t.TempDir(), "key.pem")
	write(t, path, planted)
	w := newWatcher(t, path)
	ctx, cancel := context.WithCancel(t.Context())
	w.OnLook(func(bool) { cancel() })
	must(t, w.Run(ctx, func() {}))
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	if bytes.Contains(stacks, []byte("fsnotify")) {
		t.Errorf("still running:\n%s", stacks)
	}
}

func TestWatcherLogsNoContent(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key.pem")
	var log bytes.Buffer
	fresh, err := secret.NewWatcher([]string{path}, slog.New(slog.NewTextHandler(&log, nil)))
	must(t, err)
	write(t, path, planted)
	if !watch(t, fresh).look() {
		t.Error("no change")
	}
	if text := log.String(); leaks(text) != "" || !strings.Contains(text, path) {
		t.Errorf("got log %q", text)
	}
}
