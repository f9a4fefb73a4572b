// Package demo is a story that shows what wxproxy does, step by step, with a
// simulated WeChat Pay, the real proxy and a small shop.
//
// Each step is asserted from what the shop and the simulator recorded, never
// from what the proxy says of itself: a proxy that does not sign, does not
// verify, or delivers twice makes the step fail that tells of it. The package
// neither starts nor configures anything; it is given who plays.
package demo

import (
	"context"
	"fmt"
	"time"

	"github.com/wxproxy/wxproxy/internal/sim"
)

// Cast is who plays.
type Cast struct {
	Sim     *sim.Sim // its Run runs, and its notifies go through Wiretap
	Shop    *Shop    // its Handler is served where the proxy delivers; its NotifyURL is the proxy's
	Wiretap *Wiretap
	WeChat  string // base URL of Sim
	Proxy   string // base URL of the proxy's port for the shop
}

// Say tells one line of what happens within a step.
type Say func(format string, args ...any)

// Step is one step of the story. The error of Run says what was expected and
// what was recorded instead.
type Step struct {
	Name string
	Why  string // why it matters
	Run  func(ctx context.Context, say Say) error
}

// stepTimeout bounds a step; each takes a fraction of a second when all is well.
const stepTimeout = 10 * time.Second

// StepError is the failure of a step.
type StepError struct {
	Number int
	Name   string
	Err    error
}

// Error implements error.
func (e *StepError) Error() string {
	return fmt.Sprintf("step %d (%s) failed: %v", e.Number, e.Name, e.Err)
}

func (e *StepError) Unwrap() error { return e.Err }

// Story returns the steps, in their order. They build on each other and are
// told once.
func Story(c Cast) []Step {
	s := &story{Cast: c}
	return []Step{
		{
			"A plain call to WeChat Pay is refused",
			"APIv3 wants an RSA signature over every request. A plain HTTP client has none.",
			s.plainCall,
		},
		{
			"The same call through wxproxy succeeds",
			"wxproxy signs the bytes that it sends. All that the shop changes is a base URL.",
			s.signedCall,
		},
		{
			"The answer to a query is verified",
			"An answer that was changed on the way never reaches the shop as an answer.",
			s.verifiedQuery,
		},
		{
			"A payment arrives as plain JSON",
			"The notify is signed and encrypted. WeChat Pay is told \"taken\" once the shop has it.",
			s.payment,
		},
		{
			"A refund, with its notify",
			"The same two ways: a signed call out, a verified and decrypted notify in.",
			s.refund,
		},
		{
			"Forged notifies are refused",
			"The notify address is public. Whoever could forge a notify could say \"paid\".",
			s.forgeries,
		},
		{
			"A replayed notify is not delivered twice",
			"WeChat Pay repeats notifies, and so may whoever recorded one. Tea is shipped once.",
			s.replay,
		},
		{
			"A stale notify is refused",
			"A recording must not be good for ever: a signature counts for five minutes.",
			s.stale,
		},
		{
			"Signature probes are refused, and what follows is taken",
			"WeChat Pay sends wrong signatures on purpose, to find merchants who do not verify.",
			s.probes,
		},
		{
			"The platform certificate changes under load",
			"WeChat Pay changes it every few years. No restart, and no call may be lost.",
			s.rotation,
		},
		{
			"From certificates to the public key, and back",
			"WeChat Pay moves merchants step by step, and may move them back. wxproxy just follows.",
			s.publicKey,
		},
	}
}

// story is the state that steps share.
type story struct {
	Cast
	numbers int
	plain   []byte // what the shop sent without the proxy
	first   string // order of the first steps
	second  string // ordered, and paid in a later step
}

// price of everything in the shop, in fen.
const price = 880

// number invents an order number.
func (s *story) number() string {
	s.numbers++
	return fmt.Sprintf("TEA%05d", s.numbers)
}

// mark is the present end of the simulator's log.
func (s *story) mark() int64 { return s.Sim.Overview().LastSeq }

// order makes an order through the proxy.
func (s *story) order(ctx context.Context) (string, error) {
	number := s.number()
	a, err := s.Shop.Prepay(ctx, s.Proxy, number, price)
	if err != nil {
		return "", fmt.Errorf("ordering %s: %w", number, err)
	}
	return number, wantVerified("the order "+number, a)
}

// pay pays an order as the customer and waits until WeChat Pay's notify was
// answered well. It returns that delivery as the simulator recorded it.
func (s *story) pay(ctx context.Context, number string) (sim.Entry, error) {
	since := s.mark()
	if err := s.Sim.Pay(number); err != nil {
		return sim.Entry{}, fmt.Errorf("paying order %s: %w", number, err)
	}
	e, err := s.taken(ctx, since, "TRANSACTION.SUCCESS", number)
	if err != nil {
		return e, err
	}
	return e, s.wantState(number, Paid, e.NotifyID)
}

// taken waits until the simulator has recorded that a notify was taken.
func (s *story) taken(ctx context.Context, since int64, event, number string) (sim.Entry, error) {
	last := "none"
	e, err := s.Sim.Await(ctx, since, func(e sim.Entry) bool {
		if e.Kind != sim.KindNotify || e.Event != event || e.OutTradeNo != number {
			return false
		}
		last = fmt.Sprintf("%d, %s %s", e.Status, e.Verdict, e.Reason)
		return e.Verdict == sim.VerdictTaken
	})
	if err != nil {
		return e, fmt.Errorf("expected the %s notify of order %s to be taken; the last delivery that WeChat Pay recorded: %s", event, number, last)
	}
	return e, nil
}
