package certcache

import (
	"cmp"
	"crypto/rsa"
	"maps"
	"slices"
	"time"

	"github.com/wxproxy/wxproxy/internal/wire"
)

// maxCertificates bounds what is kept. WeChat Pay lists one or two.
const maxCertificates = 16

// entry is one platform certificate.
type entry struct {
	serial    string // as WeChat Pay writes it
	der       []byte // the certificate; parsed it would take four times the memory
	key       *rsa.PublicKey
	notAfter  time.Time // the certificate's own end
	effective time.Time // encrypt with it from here on …
	expire    time.Time // … until here: the API's word, the certificate's end or its leaving the list, whichever is first
}

// verifies reports whether signatures of the certificate count. Its own end
// decides: WeChat Pay shortens expire before a change, and answers and notifies
// signed with the old one are still under way then.
func (e entry) verifies(now time.Time) bool { return now.Before(e.notAfter) }

// encrypts reports whether the certificate may be chosen for new use.
func (e entry) encrypts(now time.Time) bool {
	return !now.Before(e.effective) && now.Before(e.expire)
}

// snapshot is an immutable set of certificates by canonical serial number. Its
// zero value is empty.
type snapshot struct {
	entries map[string]entry
}

func (s *snapshot) find(serial string, now time.Time) (entry, bool) {
	e, ok := s.entries[wire.CanonicalSerial(serial)]
	if !ok || !e.verifies(now) {
		return entry{}, false
	}
	return e, true
}

// newest is the certificate in effect that took effect last.
func (s *snapshot) newest(now time.Time) (entry, bool) {
	var best entry
	found := false
	for e := range maps.Values(s.entries) {
		if e.encrypts(now) && (!found || younger(e, best) < 0) {
			best, found = e, true
		}
	}
	return best, found
}

// usable reports whether any certificate verifies.
func (s *snapshot) usable(now time.Time) bool {
	for e := range maps.Values(s.entries) {
		if e.verifies(now) {
			return true
		}
	}
	return false
}

// merge returns a snapshot with the listed certificates and those kept from
// before that still verify, the youngest ones if there are too many. What the
// list no longer has is not encrypted with: WeChat Pay may have taken back a
// new certificate.
func (s *snapshot) merge(listed []entry, now time.Time) *snapshot {
	merged := make(map[string]entry, len(listed)+len(s.entries))
	for _, e := range listed {
		if e.verifies(now) {
			merged[wire.CanonicalSerial(e.serial)] = e
		}
	}
	for _, e := range s.sorted() {
		id := wire.CanonicalSerial(e.serial)
		if _, ok := merged[id]; !ok && e.verifies(now) && len(merged) < maxCertificates {
			if now.Before(e.expire) {
				e.expire = now
			}
			merged[id] = e
		}
	}
	return &snapshot{entries: merged}
}

// sorted lists the certificates, the youngest first.
func (s *snapshot) sorted() []entry { return slices.SortedFunc(maps.Values(s.entries), younger) }

// younger orders by the time of taking effect, the latest first, and always
// the same way.
func younger(a, b entry) int {
	return cmp.Or(b.effective.Compare(a.effective), b.notAfter.Compare(a.notAfter), cmp.Compare(a.serial, b.serial))
}
