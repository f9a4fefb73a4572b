package proxy

import "sync"

// notifyKey is what makes a notify one and the same.
type notifyKey struct{ merchant, id string }

// result is what came of a delivery.
type result struct {
	outcome outcome
	status  int    // of the app, for those whose answer WeChat Pay reads
	body    []byte // likewise
	cause   error
}

// delivery is one notify on its way to the app. Copies that arrive meanwhile
// wait for it.
type delivery struct {
	done   chan struct{} // closed when result is set
	result result
}

// once remembers what the app has taken, in memory and bounded: after eviction
// or a restart a notify is delivered again, and its id tells the app.
type once struct {
	size int

	mu      sync.Mutex
	pending map[notifyKey]*delivery
	taken   map[notifyKey]struct{}
	order   []notifyKey // of taken, oldest at next once it is full
	next    int
}

func newOnce(size int) *once {
	return &once{size: size, pending: make(map[notifyKey]*delivery), taken: make(map[notifyKey]struct{})}
}

// begin tells what to do with a notify: nothing if it was taken, wait for d if
// it is pending, or deliver it as d and finish.
func (o *once) begin(k notifyKey) (d *delivery, taken, pending bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, ok := o.taken[k]; ok {
		return nil, true, false
	}
	if d := o.pending[k]; d != nil {
		return d, false, true
	}
	d = &delivery{done: make(chan struct{})}
	o.pending[k] = d
	return d, false, false
}

// finish ends a delivery and lets those go who wait for it. Only a notify that
// the app has taken is remembered.
func (o *once) finish(k notifyKey, d *delivery, r result) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.pending, k)
	if r.outcome == outcomeDelivered {
		o.remember(k)
	}
	d.result = r
	close(d.done)
}

func (o *once) remember(k notifyKey) {
	if len(o.order) < o.size {
		o.order = append(o.order, k)
	} else {
		delete(o.taken, o.order[o.next])
		o.order[o.next] = k
		o.next = (o.next + 1) % o.size
	}
	o.taken[k] = struct{}{}
}
