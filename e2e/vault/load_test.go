package vault_test

import (
	"context"
	"io"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
)

// load calls steadily until it is ended, and counts.
type load struct {
	calls, failed atomic.Int64
	stop          context.CancelFunc
	all           sync.WaitGroup

	mu sync.Mutex
	by map[string]int // calls by status and reason
}

// What comes of a call.
const (
	signed      = "200 "
	unavailable = "503 key_unavailable"
)

func (s *sidecar) load(workers int) *load {
	ctx, stop := context.WithCancel(context.Background())
	l := &load{stop: stop, by: make(map[string]int)}
	for range workers {
		l.all.Go(func() {
			for ctx.Err() == nil {
				status, reason, err := s.call()
				if err != nil {
					reason = err.Error()
				}
				l.count(strconv.Itoa(status) + " " + reason)
			}
		})
	}
	s.t.Cleanup(func() { // of a test that failed before it ended the load
		stop()
		l.all.Wait()
	})
	return l
}

func (l *load) count(kind string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.by[kind]++
	l.calls.Add(1)
	if kind != signed {
		l.failed.Add(1)
	}
}

func (l *load) of(kind string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.by[kind]
}

// more waits until n more calls ended like that.
func (l *load) more(t *testing.T, kind string, n int) {
	t.Helper()
	before := l.of(kind)
	eventually(t, "more calls like "+kind, func() bool { return l.of(kind) >= before+n })
}

// end stops the load. No call may have ended otherwise than signed, or as is
// expected besides.
func (l *load) end(t *testing.T, expected ...string) (calls int64) {
	t.Helper()
	l.stop()
	l.all.Wait()
	for kind, n := range l.by {
		if kind != signed && !slices.Contains(expected, kind) {
			t.Errorf("%d of %d calls ended with %s", n, l.calls.Load(), kind)
		}
	}
	return l.calls.Load()
}

func fetch(t *testing.T, url string) (int, string) {
	t.Helper()
	answer, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}
