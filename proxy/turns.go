package proxy

import (
	"context"
	"slices"
	"sync"
)

// turns bounds how many signatures are verified at one time. Sources in debt
// wait until nobody else does; among equals it is first come, first served.
type turns struct {
	mu      sync.Mutex
	free    int
	waiting [2][]chan struct{} // who is not in debt, and who is
}

func newTurns(n int) *turns { return &turns{free: n} }

// take waits for a turn, as long as ctx allows. Who has got it gives it back.
func (t *turns) take(ctx context.Context, inDebt bool) error {
	queue := 0
	if inDebt {
		queue = 1
	}
	t.mu.Lock()
	if t.free > 0 {
		t.free--
		t.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	t.waiting[queue] = append(t.waiting[queue], turn)
	t.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.Index(t.waiting[queue], turn)
	if i < 0 { // the turn came meanwhile
		return nil
	}
	t.waiting[queue] = slices.Delete(t.waiting[queue], i, i+1)
	return ctx.Err()
}

// give lets the next one have a turn.
func (t *turns) give() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, queue := range t.waiting {
		if len(queue) > 0 {
			t.waiting[i] = queue[1:]
			close(queue[0])
			return
		}
	}
	t.free++
}
