package sim

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

const (
	maxTasks   = 20_000
	maxRunning = 64
)

// agenda is what will happen later: deliveries, ends of refunds, payments.
type agenda struct {
	wake chan struct{} // told when an earlier task came

	mu sync.Mutex

	tasks tasks
}

type task struct {
	at time.Time
	do func()
}

func newAgenda() *agenda { return &agenda{wake: make(chan struct{}, 1)} }

// after has do called once Run runs and d has passed. It reports false when too
// much is waiting already.
func (a *agenda) after(d time.Duration, do func()) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.tasks) >= maxTasks {
		return false
	}
	// Not Options.Now: a clock that is set wrong on purpose must not keep
	// notifies from going out.
	heap.Push(&a.tasks, task{time.Now().Add(d), do})
	select {
	case a.wake <- struct{}{}:
	default:
	}
	return true
}

// run does the tasks when they are due, several at a time, and waits for those
// in progress when ctx ends.
func (a *agenda) run(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()
	slots := make(chan struct{}, maxRunning)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		do, pause := a.next(time.Now())
		if do != nil {
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return ctx.Err() // and what was due is lost, as all that waits
			}
			running.Go(func() {
				defer func() { <-slots }()
				do()
			})
			continue
		}
		timer.Reset(pause)
		select {
		case <-timer.C:
		case <-a.wake:
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}

// next takes a task that is due, or says how long until there is one.
func (a *agenda) next(now time.Time) (do func(), pause time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.tasks) == 0 {
		return nil, time.Hour
	}
	if pause := a.tasks[0].at.Sub(now); pause > 0 {
		return nil, pause
	}
	return heap.Pop(&a.tasks).(task).do, 0
}

// waiting is how many tasks are still to come.
func (a *agenda) waiting() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.tasks)
}

// tasks is a heap with the earliest first.
type tasks []task

func (t tasks) Len() int           { return len(t) }
func (t tasks) Less(i, j int) bool { return t[i].at.Before(t[j].at) }
func (t tasks) Swap(i, j int)      { t[i], t[j] = t[j], t[i] }
func (t *tasks) Push(v any)        { *t = append(*t, v.(task)) }
func (t *tasks) Pop() any {
	old := *t
	last := old[len(old)-1]
	old[len(old)-1] = task{}
	*t = old[:len(old)-1]
	return last
}
