package certcache

import (
	"container/heap"
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"
)

// What the caches of a Fleet ask of WeChat Pay together. The limit of the
// endpoint is 1000 a second for each merchant, and such a download costs the
// process two RSA operations.
const (
	fleetRate      = 50 // downloads begun a second
	fleetDownloads = 16 // at one time
	// fleetSpread is the time over which caches that have certificates from
	// disk are asked for the first time, so that a restart is not a burst.
	fleetSpread = 10 * time.Minute
)

// Fleet keeps the caches of any number of merchants fresh, with one goroutine
// and a few more while downloads are under way.
type Fleet struct {
	all    []*Cache
	byName map[string]*poller // of those that download
	woken  chan struct{}      // something became due earlier

	mu    sync.Mutex
	queue queue
}

// NewFleet takes care of the caches given, which have different names.
func NewFleet(caches ...*Cache) *Fleet {
	f := &Fleet{all: caches, byName: make(map[string]*poller), woken: make(chan struct{}, 1)}
	for _, c := range caches {
		if c.options.Certificates {
			p := &poller{cache: c}
			f.byName[c.Name()] = p
			f.queue = append(f.queue, p)
		}
	}
	return f
}

// Run downloads every list, again and again, until ctx ends, and returns nil
// then. Who has no certificates comes at once, others soon. When Run has
// returned, no download is under way and none begins. It is called once; serve
// traffic no longer than it runs.
func (f *Fleet) Run(ctx context.Context) error {
	defer f.stop()
	f.plan()
	var polls errgroup.Group
	polls.SetLimit(fleetDownloads)
	defer func() { _ = polls.Wait() }() // they return nil
	pace := rate.NewLimiter(fleetRate, 1)
	for {
		p, err := f.next(ctx)
		if err != nil || pace.Wait(ctx) != nil {
			return nil
		}
		polls.Go(func() error {
			f.done(p, jitter(p.poll(ctx)))
			return nil
		})
	}
}

// plan sets the times of the first polls.
func (f *Fleet) plan() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, p := range f.queue {
		p.place, p.due = i, time.Now()
		if p.cache.trusted.Load().usable(p.cache.now()) {
			p.due = p.due.Add(rand.N(fleetSpread)) //nolint:gosec // jitter is no secret
		}
	}
	heap.Init(&f.queue)
}

// next waits until a poll is due and takes it from the queue.
func (f *Fleet) next(ctx context.Context) (*poller, error) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		f.mu.Lock()
		wait := 24 * time.Hour
		if len(f.queue) > 0 {
			wait = time.Until(f.queue[0].due)
		}
		if wait <= 0 && ctx.Err() == nil {
			p := heap.Pop(&f.queue).(*poller) //nolint:forcetypeassert // nothing else is in it
			f.mu.Unlock()
			return p, nil
		}
		f.mu.Unlock()
		timer.Reset(max(wait, 0))
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-f.woken:
		case <-timer.C:
		}
	}
}

// done puts a poller back and tells those who wait for it.
func (f *Fleet) done(p *poller, wait time.Duration) {
	f.mu.Lock()
	p.due = time.Now().Add(wait)
	heap.Push(&f.queue, p)
	if p.wake != nil {
		close(p.wake)
		p.wake = nil
	}
	f.mu.Unlock()
	f.hurry()
}

func (f *Fleet) hurry() {
	select {
	case f.woken <- struct{}{}:
	default: // it is woken already
	}
}

// stop ends the downloads under way and lets none begin.
func (f *Fleet) stop() {
	for _, c := range f.all {
		c.stop()
	}
}

// queue is a heap of pollers, the one that is due first on top.
type queue []*poller

// Len implements heap.Interface.
func (q *queue) Len() int { return len(*q) }

// Less implements heap.Interface.
func (q *queue) Less(i, j int) bool { return (*q)[i].due.Before((*q)[j].due) }

// Swap implements heap.Interface.
func (q *queue) Swap(i, j int) {
	all := *q
	all[i], all[j] = all[j], all[i]
	all[i].place, all[j].place = i, j
}

// Push implements heap.Interface.
func (q *queue) Push(x any) {
	p := x.(*poller) //nolint:forcetypeassert // nothing else is put in
	p.place = len(*q)
	*q = append(*q, p)
}

// Pop implements heap.Interface.
func (q *queue) Pop() any {
	last := len(*q) - 1
	p := (*q)[last]
	p.place = -1
	(*q)[last] = nil
	*q = (*q)[:last]
	return p
}
