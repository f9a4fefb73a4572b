package proxy

import (
	"crypto/rsa"
	"slices"
	"sync/atomic"

	"github.com/wxproxy/wxproxy/internal/wire"
	"github.com/wxproxy/wxproxy/verifier"
)

// entrance is one path of the notify face: whose notifies may arrive there,
// and where each of them goes.
type entrance struct {
	merchants []*Merchant
	open      []*Route                 // that serve every merchant
	named     map[*Merchant][]*Route   // of merchants that some route names: all of its routes
	shared    verifier.Keys            // of all the merchants; nil: each one's own
	changes   func() uint64            // see NotifyOptions
	index     atomic.Pointer[bySerial] // nil until the first notify
}

// bySerial says who trusts which serial number. It is built once for each
// change of keys and only narrows the search: Merchant.Find decides.
type bySerial struct {
	changes uint64
	trusts  map[string][]*Merchant // by canonical serial number
}

// makeEntrances sorts routes by path.
func makeEntrances(d directory, routes []*Route) map[string]*entrance {
	paths := make(map[string]*entrance)
	for _, r := range routes {
		e := paths[r.Path]
		if e == nil {
			e = &entrance{named: make(map[*Merchant][]*Route)}
			paths[r.Path] = e
		}
		if len(r.Merchants) == 0 {
			e.open = append(e.open, r)
		}
		for _, m := range d.list(r.Merchants) {
			e.named[m] = append(e.named[m], r)
		}
	}
	for _, e := range paths {
		e.merchants = slices.DeleteFunc(slices.Clone(d.all), func(m *Merchant) bool { return e.named[m] == nil })
		for m, routes := range e.named {
			if len(routes) == len(e.open) { // it has no route that others have not
				delete(e.named, m)
			}
		}
	}
	return paths
}

// routes are those of one of the entrance's merchants, in the config's order.
func (e *entrance) routes(m *Merchant) []*Route {
	if own, ok := e.named[m]; ok {
		return own
	}
	return e.open
}

// trusting lists the merchants that trust a stamp's serial number now, without
// waiting, and whose kind it is for. Of a thousand it asks those only that may.
func (e *entrance) trusting(stamp wire.Stamp) []trust {
	var list []trust
	for _, m := range e.candidates(stamp.Serial) {
		if !stamp.Fits(m.scheme()) {
			continue
		}
		if key, ok := m.Find(stamp.Serial); ok {
			list = append(list, trust{m, key})
		}
	}
	return list
}

// trust is a merchant with the key that it trusts under some serial number.
type trust struct {
	merchant *Merchant
	key      *rsa.PublicKey
}

func (e *entrance) candidates(serial string) []*Merchant {
	if e.changes == nil || len(e.merchants) == 1 {
		return e.merchants
	}
	index, now := e.index.Load(), e.changes() // read before the keys: what changes meanwhile is built again
	if index == nil || index.changes != now {
		index = e.build(now)
		e.index.Store(index)
	}
	return index.trusts[wire.CanonicalSerial(serial)]
}

func (e *entrance) build(changes uint64) *bySerial {
	index := &bySerial{changes: changes, trusts: make(map[string][]*Merchant, len(e.merchants))}
	for _, m := range e.merchants {
		for _, serial := range m.Serials() {
			id := wire.CanonicalSerial(serial)
			index.trusts[id] = append(index.trusts[id], m)
		}
	}
	return index
}
