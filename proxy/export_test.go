package proxy

import "github.com/wxproxy/wxproxy/internal/wire"

// Matches lets the tests of patterns see what a caller's allow list sees.
func (p Pattern) Matches(method, path string) bool { return p.matches(method, path) }

// Forget makes n remember only the last size notifies that were taken.
func (n *Notify) Forget(size int) { n.once = newOnce(size) }

// HeldBytes is how much of the in-flight budget is taken.
func (o *Outbound) HeldBytes() int64 { return o.inFlight.held.Load() }

// VerifyKnown is the check of a notify without refresh.
func VerifyKnown(candidates []*Merchant, stamp wire.Stamp, body []byte) []*Merchant {
	verified, _ := verifyKnown(candidates, stamp, body)
	return verified
}
