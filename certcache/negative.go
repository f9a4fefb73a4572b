package certcache

import (
	"sync"
	"time"

	"github.com/wxproxy/wxproxy/internal/wire"
)

const (
	negativeTTL = time.Minute
	maxNegative = 1024
)

// negative remembers serial numbers that a successful refresh did not know, so
// that a sender who repeats one costs nothing. It is bounded; what is pushed
// out costs the budget's refresh at most. The zero value is ready.
type negative struct {
	mu   sync.Mutex
	seen map[string]time.Time // canonical serial number → when
}

func (n *negative) has(serial string, now time.Time) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	at, ok := n.seen[wire.CanonicalSerial(serial)]
	return ok && now.Sub(at) < negativeTTL
}

func (n *negative) add(serial string, now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.seen == nil {
		n.seen = make(map[string]time.Time)
	}
	if len(n.seen) >= maxNegative {
		n.shrink(now)
	}
	n.seen[wire.CanonicalSerial(serial)] = now
}

// shrink drops what is too old, or else any half: under a flood no entry is
// worth more than another.
func (n *negative) shrink(now time.Time) {
	for serial, at := range n.seen {
		if now.Sub(at) >= negativeTTL {
			delete(n.seen, serial)
		}
	}
	for serial := range n.seen {
		if len(n.seen) <= maxNegative/2 {
			return
		}
		delete(n.seen, serial)
	}
}
