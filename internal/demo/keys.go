package demo

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wxproxy/wxproxy/internal/sim"
)

const (
	callers      = 4
	callsByPhase = 20
	pause        = 5 * time.Millisecond // between the calls of one caller: a load, not a flood
)

// steadyCall is one of the calls under which the certificate changes.
type steadyCall struct {
	phase  int32 // of the rotation, when the call began
	answer Answer
	err    error
}

// load is callers that call all the time.
type load struct {
	phase atomic.Int32
	calls chan steadyCall
	stop  context.CancelFunc
	done  sync.WaitGroup
}

func (s *story) startLoad(ctx context.Context, number string) *load {
	ctx, stop := context.WithCancel(ctx)
	l := &load{calls: make(chan steadyCall, 4096), stop: stop}
	for range callers {
		l.done.Go(func() {
			tick := time.NewTicker(pause)
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
				c := steadyCall{phase: l.phase.Load()}
				// The end of the load must not cut off a call.
				whole, cancel := context.WithTimeout(context.WithoutCancel(ctx), stepTimeout)
				c.answer, c.err = s.Shop.Query(whole, s.Proxy, number)
				cancel()
				l.calls <- c
			}
		})
	}
	return l
}

// end stops the load and returns the calls that nobody has read.
func (l *load) end() []steadyCall {
	l.stop()
	go func() { // ends with the last caller, which is not cut off
		l.done.Wait()
		close(l.calls)
	}()
	var rest []steadyCall
	for c := range l.calls {
		rest = append(rest, c)
	}
	return rest
}

// tally sorts the calls of a load by the key that signed their answers.
type tally struct {
	number   int
	bySerial map[string]int
	phases   map[int32]map[string]int // serial numbers seen by calls begun in a phase
	lost     error                    // the first call that failed
}

func (t *tally) add(c steadyCall) {
	t.number++
	err := c.err
	if err == nil {
		err = wantVerified("each call", c.answer)
	}
	if err != nil {
		if t.lost == nil {
			t.lost = err
		}
		return
	}
	serial := c.answer.Header.Get(headerSerial)
	t.bySerial[serial]++
	if t.phases[c.phase] == nil {
		t.phases[c.phase] = make(map[string]int)
	}
	t.phases[c.phase][serial]++
}

// await reads calls until enough of those came back that began in the present
// phase.
func (t *tally) await(ctx context.Context, l *load) error {
	for seen := 0; seen < callsByPhase; {
		select {
		case c := <-l.calls:
			t.add(c)
			if c.phase == l.phase.Load() {
				seen++
			}
		case <-ctx.Done():
			return fmt.Errorf("expected %d calls to come back in time; %d did", callsByPhase, seen)
		}
	}
	return t.lost
}

// rotation changes the platform certificate under steady calls.
func (s *story) rotation(ctx context.Context, say Say) error {
	number, err := s.order(ctx)
	if err != nil {
		return err
	}
	since := s.mark()
	old := signing(s.Sim)
	t := &tally{bySerial: make(map[string]int), phases: make(map[int32]map[string]int)}
	l := s.startLoad(ctx, number)
	err = s.rotate(ctx, say, l, t)
	for _, c := range l.end() {
		t.add(c)
	}
	if err == nil {
		err = t.lost
	}
	if err != nil {
		return fmt.Errorf("of %d calls during the change, at least one was lost: %w", t.number, err)
	}
	now := signing(s.Sim)
	say("%d calls, none lost: %d answers signed by %s, %d by %s", t.number, t.bySerial[old], short(old), t.bySerial[now], short(now))
	if err := checkRotation(t, old, now); err != nil {
		return err
	}
	say("the new certificate was downloaded when the first answer named it: %s", times(downloads(s.Sim.Log(since))))
	if n := downloads(s.Sim.Log(since)); n < 1 || n > 2 {
		return fmt.Errorf("expected one shared download of the new certificate; the simulator recorded %d", n)
	}
	e, err := s.pay(ctx, number)
	if err != nil {
		return err
	}
	say("and a notify signed by %s arrives", short(e.Serial))
	if e.Serial != now {
		return fmt.Errorf("expected a notify signed by the new certificate %s; the simulator signed with %s", short(now), short(e.Serial))
	}
	return nil
}

// rotate takes WeChat Pay's three steps, with calls before, between and after.
func (s *story) rotate(ctx context.Context, say Say, l *load, t *tally) error {
	for i, step := range []struct{ name, what string }{
		{sim.RotateAnnounce, "a new certificate is listed beside the old one"},
		{sim.RotateSwitch, "the new certificate signs"},
		{sim.RotateRetire, "the old certificate is listed no more"},
	} {
		if err := t.await(ctx, l); err != nil {
			return err
		}
		if err := s.Sim.RotateCertificate(step.name); err != nil {
			return fmt.Errorf("changing the certificate (%s): %w", step.name, err)
		}
		l.phase.Store(int32(i + 1))
		say("%s: %s", step.name, step.what)
	}
	return t.await(ctx, l)
}

// checkRotation expects the old certificate before the switch and the new one
// after it.
func checkRotation(t *tally, old, now string) error {
	const switched = 2
	if old == now || t.bySerial[old] == 0 || t.bySerial[now] == 0 {
		return fmt.Errorf("expected answers of an old and a new certificate; the shop recorded %v", t.bySerial)
	}
	for phase, serials := range t.phases {
		for serial := range serials {
			if phase >= switched && serial != now {
				return fmt.Errorf("expected answers signed by %s after the switch; the shop recorded %s", short(now), short(serial))
			}
		}
	}
	return nil
}

// downloads counts how often the list of certificates was asked for.
func downloads(log []sim.Entry) int {
	n := 0
	for _, e := range log {
		if e.Kind == sim.KindRequest && strings.HasPrefix(e.Target, "/v3/certificates") {
			n++
		}
	}
	return n
}

// signing is the serial number of the certificate that signs now.
func signing(s *sim.Sim) string {
	for _, c := range s.Overview().Certificates {
		if c.Signs {
			return c.SerialNo
		}
	}
	return ""
}

// publicKey takes WeChat Pay's switch to the public key and back. The proxy has
// both kinds of keys and is told nothing.
func (s *story) publicKey(ctx context.Context, say Say) error {
	certificate := signing(s.Sim)
	id, _ := s.Sim.PublicKey()
	for _, stage := range []struct {
		what    string
		mode    string
		percent float64
		answers string   // who signs answers
		notifs  []string // who signs one notify after the other
	}{
		{"half of the notifies and the answers", sim.PublicKeyOn, 50, id, []string{certificate, id}},
		{"everything, no certificates any more", sim.PublicKeyOnly, 100, id, []string{id}},
		{"nothing: back to certificates", sim.PublicKeyOff, 0, certificate, []string{certificate}},
	} {
		if err := s.Sim.UsePublicKey(stage.mode, stage.percent); err != nil {
			return fmt.Errorf("switching the public key %s: %w", stage.mode, err)
		}
		say("the public key signs %s", stage.what)
		for _, signer := range stage.notifs {
			if err := s.paidUnder(ctx, say, stage.answers, signer); err != nil {
				return fmt.Errorf("public key %s: %w", stage.mode, err)
			}
		}
	}
	return nil
}

// paidUnder makes an order and has it paid, and expects who signed what.
func (s *story) paidUnder(ctx context.Context, say Say, answers, notify string) error {
	number := s.number()
	a, err := s.Shop.Prepay(ctx, s.Proxy, number, price)
	if err != nil {
		return fmt.Errorf("ordering %s: %w", number, err)
	}
	if err := wantVerified("the order "+number, a); err != nil {
		return err
	}
	if got := a.Header.Get(headerSerial); got != answers {
		return fmt.Errorf("expected an answer signed by %s; the shop recorded %s", short(answers), short(got))
	}
	e, err := s.pay(ctx, number)
	if err != nil {
		return err
	}
	if e.Serial != notify {
		return fmt.Errorf("expected a notify signed by %s; the simulator recorded %s", short(notify), short(e.Serial))
	}
	say("order %s: answer verified with %s, notify with %s", number, short(answers), short(notify))
	return nil
}
