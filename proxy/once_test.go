package proxy_test

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/wxproxy/wxproxy/proxy"
)

func TestTakenOnce(t *testing.T) {
	t.Parallel()
	a := newApp(t, nil)
	g := newGate(t, a)
	g.post(notice{}).acknowledged(t)
	g.post(notice{}).acknowledged(t) // freshly signed, the same id
	a.only(t)
	g.post(notice{id: "EV-2"}).acknowledged(t)
	if n := len(a.seen()); n != 2 {
		t.Errorf("the app got %d deliveries, want 2", n)
	}
	// An old copy of a taken notify is refused like any other old one.
	g.post(notice{skew: -301 * time.Second}).sentBack(t, 401)
}

// A refusal is not remembered: the next copy is delivered.
func TestRefusedIsDeliveredAgain(t *testing.T) {
	t.Parallel()
	status := make(chan int, 2)
	status <- 500
	status <- 200
	a := newApp(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(<-status) })
	g := newGate(t, a)
	g.post(notice{}).sentBack(t, 502)
	g.post(notice{}).acknowledged(t)
	g.post(notice{}).acknowledged(t)
	if n := len(a.seen()); n != 2 {
		t.Errorf("the app got %d deliveries, want 2", n)
	}
}

// Copies that come while the first is on its way wait for it and get its
// answer, whichever that is.
func TestCopiesWaitForTheFirst(t *testing.T) {
	t.Parallel()
	for _, status := range []int{200, 500} {
		const copies = 50
		release := make(chan struct{})
		a := newApp(t, func(w http.ResponseWriter, _ *http.Request) {
			<-release
			w.WriteHeader(status)
		})
		g := newGate(t, a)
		got := make([]got, copies)
		var all sync.WaitGroup
		for i := range got {
			all.Go(func() { got[i] = g.post(notice{}) })
		}
		for len(a.seen()) == 0 { // until the first has reached the app
			time.Sleep(time.Millisecond)
		}
		close(release)
		all.Wait()
		for _, one := range got {
			if status == 200 {
				one.acknowledged(t)
			} else if one.status != 502 {
				t.Errorf("got %d, want 502", one.status)
			}
		}
		if n := len(a.seen()); status == 200 && n != 1 {
			t.Errorf("%d copies made %d deliveries", copies, n)
		}
	}
}

// At the end of the budget WeChat Pay is told to come again, never that the
// notify is taken; a late yes of the app is remembered all the same.
func TestLateYesIsRemembered(t *testing.T) {
	t.Parallel()
	release, answered := make(chan struct{}), make(chan struct{})
	a := newApp(t, func(http.ResponseWriter, *http.Request) { <-release })
	past := func() time.Time { return time.Now().Add(-4400 * time.Millisecond) } // of the 4.5 s
	g := newGate(t, a, func(o *proxy.NotifyOptions) { o.Now = past })
	g.post(notice{now: past}).sentBack(t, 503)
	g.post(notice{now: past}).sentBack(t, 503) // a copy waits too, and no longer
	close(release)
	go func() {
		defer close(answered)
		for g.post(notice{now: past}).status != 204 {
			time.Sleep(time.Millisecond)
		}
	}()
	<-answered
	a.only(t)
}

// The memory is bounded; what falls out of it is delivered again.
func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	a := newApp(t, nil)
	g := newGate(t, a)
	g.notify.Forget(3)
	for i := range 4 {
		g.post(notice{id: strconv.Itoa(i)}).acknowledged(t)
	}
	g.post(notice{id: "3"}).acknowledged(t)
	g.post(notice{id: "1"}).acknowledged(t)
	if n := len(a.seen()); n != 4 {
		t.Errorf("remembered ones were delivered again: %d deliveries, want 4", n)
	}
	g.post(notice{id: "0"}).acknowledged(t)
	if n := len(a.seen()); n != 5 {
		t.Errorf("a forgotten one was not delivered again: %d deliveries, want 5", n)
	}
}

func TestDrainWaitsForTheApp(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	a := newApp(t, func(http.ResponseWriter, *http.Request) { <-release })
	g := newGate(t, a)
	first, drained := make(chan got, 1), make(chan error, 1)
	go func() { first <- g.post(notice{}) }()
	for len(a.seen()) == 0 {
		time.Sleep(time.Millisecond)
	}
	go func() { drained <- g.notify.Drain(context.Background()) }()
	for g.post(notice{id: "EV-2"}).status != 503 { // new ones are sent back once it drains
		time.Sleep(time.Millisecond)
	}
	select {
	case err := <-drained:
		t.Fatalf("drained with a delivery in flight: %v", err)
	default:
	}
	close(release)
	if err := <-drained; err != nil {
		t.Error(err)
	}
	(<-first).acknowledged(t)
}

func TestDrainCutsOffAtItsEnd(t *testing.T) {
	t.Parallel()
	gone := make(chan struct{})
	a := newApp(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done(); close(gone) })
	g := newGate(t, a)
	first := make(chan got, 1)
	go func() { first <- g.post(notice{}) }()
	for len(a.seen()) == 0 {
		time.Sleep(time.Millisecond)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := g.notify.Drain(ctx); err == nil {
		t.Error("a delivery was cut off, and nobody told")
	}
	<-gone
	if got := <-first; got.status < 500 {
		t.Errorf("got %d for a notify that was cut off", got.status)
	}
}
