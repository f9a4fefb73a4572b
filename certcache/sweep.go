package certcache

import (
	"container/heap"
	"context"
	"crypto/rsa"
	"fmt"
	"time"

	"github.com/wxproxy/wxproxy/internal/wire"
	"github.com/wxproxy/wxproxy/verifier"
)

const (
	// sweepEach times the number of merchants is how often a serial number
	// that none of them knows makes their lists be downloaded: three a second,
	// whatever strangers invent. WeChat Pay lists a certificate for days before
	// it signs with it, and sends a notify that was not taken again for a day.
	sweepEach = 300 * time.Millisecond
	// mayWait is how many downloads a notify waits for. With more of them its
	// sender would have gone before the end.
	mayWait = 64
)

// For returns the keys of several merchants as the verifier sees them, for
// notifies of which nobody knows yet whose they are. A serial number that none
// of them trusts makes the lists of all of them be downloaded, one after the
// other and not again before sweepEach for each of them has passed.
func (f *Fleet) For(names ...string) verifier.Keys {
	s := sweep{fleet: f, again: max(budgetInterval, time.Duration(len(names))*sweepEach)}
	for _, name := range names {
		if p := f.byName[name]; p != nil {
			s.pollers = append(s.pollers, p)
		}
	}
	return s
}

// sweep asks for the lists of all merchants that one path serves.
type sweep struct {
	fleet   *Fleet
	pollers []*poller
	again   time.Duration
}

var _ verifier.Keys = sweep{}

// Lookup implements verifier.Keys.
func (s sweep) Lookup(ctx context.Context, serial string) (*rsa.PublicKey, error) {
	switch {
	case wire.CheckSerial(serial) != nil:
		return nil, fmt.Errorf("%w: it is malformed", verifier.ErrSerialUnknown)
	case isPublicKeyID(serial):
		return nil, fmt.Errorf("%w: %s is a WeChat Pay public key, which cannot be downloaded; take it from the merchant console and set platform.public_key and platform.public_key_id of its merchant",
			verifier.ErrSerialUnknown, serial)
	case len(s.pollers) == 0:
		return nil, fmt.Errorf("%w: it is of a platform certificate, and those are off for every merchant of this path", verifier.ErrSerialUnknown)
	}
	waits := s.begin()
	if len(waits) > mayWait {
		return nil, fmt.Errorf("%w in time: the lists of %d merchants are being downloaded for it", verifier.ErrKeysUnavailable, len(waits))
	}
	for _, done := range waits {
		select {
		case <-done:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w in time: %w", verifier.ErrKeysUnavailable, ctx.Err())
		}
		if key, ok := s.find(serial); ok {
			return key, nil
		}
	}
	return nil, s.unknown()
}

// begin makes the pollers due that may be asked again, and returns what is
// closed at the end of each poll that may bring the key.
func (s sweep) begin() []<-chan struct{} {
	f := s.fleet
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	var waits []<-chan struct{}
	for _, p := range s.pollers {
		switch {
		case p.place < 0 || !p.due.After(now): // under way, or about to be
		case now.Sub(p.swept) < s.again:
			continue
		default:
			p.swept, p.due = now, now
			heap.Fix(&f.queue, p.place)
		}
		if p.wake == nil {
			p.wake = make(chan struct{})
		}
		waits = append(waits, p.wake)
	}
	if len(waits) > 0 {
		f.hurry()
	}
	return waits
}

func (s sweep) find(serial string) (*rsa.PublicKey, bool) {
	for _, p := range s.pollers {
		if key, ok := p.cache.Find(serial); ok {
			return key, true
		}
	}
	return nil, false
}

// unknown says whether the lists are all fresh, so that the serial number is
// nobody's, or some of them could not be downloaded.
func (s sweep) unknown() error {
	f := s.fleet
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range s.pollers {
		if p.place < 0 || p.failures > 0 { // begun again meanwhile, or failed
			return fmt.Errorf("%w: that of merchant %s, at least", verifier.ErrKeysUnavailable, p.cache.Name())
		}
	}
	return fmt.Errorf("%w: WeChat Pay lists no certificate with it for any merchant of this path", verifier.ErrSerialUnknown)
}
