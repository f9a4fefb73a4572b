package proxy_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxproxy/wxproxy/proxy"
)

// bubble is a notify face whose app is played in memory, so that a test can run
// on synctest's clock and measure time exactly.
type bubble struct {
	notify *proxy.Notify
	calls  atomic.Int32
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// inBubble runs f on synctest's clock. The app answers status after a time, or
// never when that is negative. The keys are made outside: that takes real time.
func inBubble(t *testing.T, after time.Duration, status int, edit func(*proxy.NotifyOptions), f func(t *testing.T, b *bubble)) {
	t.Helper()
	keys()
	synctest.Test(t, func(t *testing.T) {
		b := &bubble{}
		o := proxy.NotifyOptions{
			Merchants: []*proxy.Merchant{shop(t, newTrust())}, Table: table(t),
			Routes: []proxy.Route{{Path: "/notify/shop", To: "http://127.0.0.1/paid", Client: &http.Client{Transport: b.app(after, status)}}},
		}
		if edit != nil {
			edit(&o)
		}
		var err error
		if b.notify, err = proxy.NewNotify(o); err != nil {
			t.Fatal(err)
		}
		f(t, b)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_ = b.notify.Drain(ctx)
	})
}

func (b *bubble) app(after time.Duration, status int) transport {
	return func(r *http.Request) (*http.Response, error) {
		b.calls.Add(1)
		var answered <-chan time.Time
		if after >= 0 {
			answered = time.After(after)
		}
		select {
		case <-answered:
			return &http.Response{StatusCode: status, Header: make(http.Header), Body: io.NopCloser(strings.NewReader("{}"))}, nil
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
}

// post serves a notify and says how long that took.
func (b *bubble) post(t *testing.T, n notice) (got, time.Duration) {
	t.Helper()
	r := n.request(t, "http://x")
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	r.Body, r.RemoteAddr = io.NopCloser(bytes.NewReader(body)), "127.0.0.1:1"
	w := httptest.NewRecorder()
	start := time.Now()
	b.notify.ServeHTTP(w, r)
	return got{w.Code, w.Header(), w.Body.String(), nil}, time.Since(start)
}

// WeChat Pay is answered within its event family's time, or the route's where
// that is shorter.
func TestBudget(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		event       string
		route, want time.Duration
	}{
		{"TRANSACTION.SUCCESS", 0, 4500 * time.Millisecond},
		{"NEW.THING", 0, 4500 * time.Millisecond},
		{"TRANSACTION.SUCCESS", 2 * time.Second, 2 * time.Second},
		{"TRANSACTION.SUCCESS", time.Minute, 4500 * time.Millisecond},
		{"PARKING_FEE.QUERY_TRANS_INFO", 0, 2700 * time.Millisecond},
		{"CROSS_BORDER_PAY.GET_MCH_INFO", 0, 2700 * time.Millisecond},
		{"ENTRUST.TERMINATE_RETENTION", 0, 900 * time.Millisecond},
		{"ENTRUST.TERMINATE_RETENTION", 2 * time.Second, 900 * time.Millisecond},
	} {
		timeout := func(o *proxy.NotifyOptions) { o.Routes[0].Timeout = test.route }
		inBubble(t, -1, 200, timeout, func(t *testing.T, b *bubble) {
			answer, took := b.post(t, notice{event: test.event})
			answer.sentBack(t, 503)
			if took != test.want {
				t.Errorf("%s answered after %s, want %s", test.event, took, test.want)
			}
		})
	}
}

// The app's late yes still counts, and a copy that comes meanwhile waits for it.
func TestYesAfterTheBudget(t *testing.T) {
	t.Parallel()
	inBubble(t, 10*time.Second, 200, nil, func(t *testing.T, b *bubble) {
		for at, want := range []int{503, 503, 204, 204} {
			answer, took := b.post(t, notice{})
			if answer.status != want || (at == 2) != (took == time.Second) {
				t.Errorf("copy %d got %d after %s", at, answer.status, took)
			}
		}
		if n := b.calls.Load(); n != 1 {
			t.Errorf("%d deliveries", n)
		}
	})
}

// A copy that comes while the first is in flight gets the same answer at the
// same time.
func TestCopyInFlight(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]int{200: 204, 500: 502} {
		inBubble(t, 3*time.Second, status, nil, func(t *testing.T, b *bubble) {
			var wg sync.WaitGroup
			for i := range 5 {
				wg.Go(func() {
					late := time.Duration(i) * 500 * time.Millisecond
					time.Sleep(late)
					answer, took := b.post(t, notice{})
					if answer.status != want || took != 3*time.Second-late {
						t.Errorf("copy %d got %d after %s, want %d", i, answer.status, took, want)
					}
				})
			}
			wg.Wait()
			if n := b.calls.Load(); n != 1 {
				t.Errorf("%d deliveries", n)
			}
		})
	}
}

// An app that never answers is given up after the time of a delivery, and the
// next copy is delivered anew.
func TestAppNeverAnswers(t *testing.T) {
	t.Parallel()
	inBubble(t, -1, 200, nil, func(t *testing.T, b *bubble) {
		for i := range int32(2) {
			answer, _ := b.post(t, notice{})
			answer.sentBack(t, 503)
			time.Sleep(31 * time.Second)
			if n := b.calls.Load(); n != i+1 {
				t.Errorf("%d deliveries, want %d", n, i+1)
			}
		}
	})
}

// WeChat Pay's going away does not take the notify from the app.
func TestDeliveryOutlivesItsRequest(t *testing.T) {
	t.Parallel()
	inBubble(t, 2*time.Second, 200, nil, func(t *testing.T, b *bubble) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		answer, took := b.post(t, notice{edit: func(r *http.Request) { *r = *r.WithContext(ctx) }})
		answer.sentBack(t, 503)
		if took != time.Second {
			t.Errorf("the request was held for %s", took)
		}
		time.Sleep(2 * time.Second)
		answer, _ = b.post(t, notice{})
		answer.acknowledged(t)
		if n := b.calls.Load(); n != 1 {
			t.Errorf("%d deliveries", n)
		}
	})
}

// draining posts a notify, and drains while the app has it.
func draining(t *testing.T, b *bubble, event string, grace time.Duration) (first int, took time.Duration, err error) {
	t.Helper()
	done := make(chan int, 1)
	go func() {
		answer, _ := b.post(t, notice{event: event})
		done <- answer.status
	}()
	synctest.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), grace)
	defer cancel()
	start, drained := time.Now(), make(chan error, 1)
	go func() { drained <- b.notify.Drain(ctx) }()
	synctest.Wait()
	answer, waited := b.post(t, notice{id: "EV-2", event: event})
	answer.sentBack(t, 503) // WeChat Pay shall keep it
	if waited != 0 || b.calls.Load() != 1 {
		t.Errorf("%s: a new one was taken while draining", event)
	}
	err = <-drained
	took = time.Since(start)
	return <-done, took, err
}

// Both kinds of events, acknowledged and answered, are waited for and refused
// alike.
func TestDrainOfBothKinds(t *testing.T) {
	t.Parallel()
	for event, want := range map[string]int{"TRANSACTION.SUCCESS": 204, "PARKING_FEE.QUERY_TRANS_INFO": 200} {
		inBubble(t, 2*time.Second, 200, nil, func(t *testing.T, b *bubble) {
			first, took, err := draining(t, b, event, time.Minute)
			if first != want || took != 2*time.Second || err != nil {
				t.Errorf("%s: got %d, drained after %s: %v", event, first, took, err)
			}
		})
		inBubble(t, -1, 200, nil, func(t *testing.T, b *bubble) {
			first, took, err := draining(t, b, event, time.Second)
			if first != 503 || took != time.Second || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: got %d, cut off after %s: %v", event, first, took, err)
			}
		})
	}
}
