package proxy

import (
	"cmp"
	"errors"
	"io"
	"net/http"
	"sync"
)

const (
	// maxArriving bounds, in bytes, what is held of notifies that nobody has
	// verified yet.
	maxArriving = 16 << 20
	// arrivalCost is what a request costs besides its headers and its body.
	arrivalCost = 8 << 10
	// smallArrival is as much as a notify of WeChat Pay holds here: a few
	// kilobytes of body and of headers.
	smallArrival = 32 << 10
	// firstRead is the room that a body of unknown length gets at first.
	firstRead = 4 << 10
)

// errCrowded: a request had to make room for others.
var errCrowded = errors.New("more was arriving at one time than there is room for")

// intake bounds what strangers make us hold. Where it is full, somebody who is
// still sending has to go rather than he who comes: a notify of WeChat Pay is
// small and there at once, so the one to go is in debt before he is not, large
// before he is small, and early before he is late. What is larger than small
// may use three quarters.
type intake struct {
	limit int64

	mu      sync.Mutex
	held    int64
	arrived uint64
	sending map[*arrival]struct{}
}

func newIntake(limit int64) *intake {
	return &intake{limit: limit, sending: make(map[*arrival]struct{})}
}

// arrival is one request in an intake, from its headers until it is verified
// or refused.
type arrival struct {
	in      *intake
	inDebt  bool
	stop    func() // ends a read that waits; never called once the body is there
	number  uint64
	held    int64
	crowded bool
}

// begin makes room for a request's headers. The caller ends what it gets.
func (in *intake) begin(h http.Header, inDebt bool, stop func()) (*arrival, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.arrived++
	a := &arrival{in: in, inDebt: inDebt, stop: stop, number: in.arrived}
	in.sending[a] = struct{}{}
	if err := in.give(a, arrivalCost+headerSize(h)); err != nil {
		delete(in.sending, a)
		return nil, err
	}
	return a, nil
}

func headerSize(h http.Header) (n int64) {
	for name, values := range h {
		n += int64(len(name))
		for _, v := range values {
			n += int64(len(v))
		}
	}
	return n
}

// give lets a hold n bytes more, if need be at the cost of others. The lock is
// held.
func (in *intake) give(a *arrival, n int64) error {
	if a.crowded {
		return errCrowded
	}
	limit := in.limit
	if a.held+n > smallArrival {
		limit -= limit / 4
	}
	a.held, in.held = a.held+n, in.held+n
	for in.held > limit {
		worst := in.worst()
		if worst == nil || worst == a {
			a.held, in.held = a.held-n, in.held-n
			return errCrowded
		}
		in.drop(worst)
	}
	return nil
}

// worst is who has to go first, nil if nobody is sending.
func (in *intake) worst() (worst *arrival) {
	for a := range in.sending {
		if worst == nil || a.before(worst) {
			worst = a
		}
	}
	return worst
}

// before reports whether a has to go rather than b.
func (a *arrival) before(b *arrival) bool {
	if a.inDebt != b.inDebt {
		return a.inDebt
	}
	return cmp.Or(cmp.Compare(max(b.held, smallArrival), max(a.held, smallArrival)), cmp.Compare(a.number, b.number)) < 0
}

// drop takes a's bytes for free, though its goroutine has yet to let them go.
func (in *intake) drop(a *arrival) {
	delete(in.sending, a)
	in.held -= a.held
	a.held, a.crowded = 0, true
	a.stop()
}

func (a *arrival) grow(n int64) error {
	a.in.mu.Lock()
	defer a.in.mu.Unlock()
	return a.in.give(a, n)
}

// settle says that the body is there: it stays until end, which is soon.
func (a *arrival) settle() error {
	a.in.mu.Lock()
	defer a.in.mu.Unlock()
	delete(a.in.sending, a)
	if a.crowded {
		return errCrowded
	}
	return nil
}

// end gives back what a holds. It may be called again.
func (a *arrival) end() {
	a.in.mu.Lock()
	defer a.in.mu.Unlock()
	delete(a.in.sending, a)
	a.in.held -= a.held
	a.held = 0
}

// read reads a whole body of at most limit bytes, which grows as it comes; a
// negative length is unknown. The errors are errTooLarge, errCrowded, or the
// body's own; the body is nil unless it was read to its end.
func (a *arrival) read(body io.Reader, length, limit int64) ([]byte, error) {
	if length > limit {
		return nil, errTooLarge
	}
	if length < 0 {
		length = limit
	}
	var buf []byte
	for {
		if len(buf) == cap(buf) { // one byte more than may come shows the end, or that there is none
			size := min(max(2*int64(cap(buf)), firstRead), length+1)
			if err := a.grow(size - int64(cap(buf))); err != nil {
				return nil, err
			}
			buf = append(make([]byte, 0, size), buf...)
		}
		n, err := body.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		switch {
		case int64(len(buf)) > limit:
			return nil, errTooLarge
		case errors.Is(err, io.EOF):
			return buf, a.settle()
		case err != nil:
			return nil, cmp.Or(a.settle(), err)
		}
	}
}
