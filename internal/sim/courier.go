package sim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wxproxy/wxproxy/internal/wire"
)

// handshakeDeadline is how long a connection to a receiver may take to be made.
const handshakeDeadline = 5 * time.Second

const maxAnswer = 64 << 10

// courier delivers notifies until they are taken or their schedule is over.
type courier struct {
	sim    *Sim
	client *http.Client

	mu sync.Mutex

	held []*parcel // until another notify went out
}

func newCourier(s *Sim) *courier {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSHandshakeTimeout: handshakeDeadline, DialContext: DialLocal}}
	if s.opts.Client != nil {
		client = *s.opts.Client
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &courier{sim: s, client: &client}
}

// Notify has a notify delivered while Run runs, again and again on its event's
// schedule until it is taken. It returns the notify's ID.
func (s *Sim) Notify(to string, n Notice) (id string, err error) {
	if err := checkNotifyURL("to", to); err != nil {
		return "", fmt.Errorf("sending a notify to %.128q: %w", to, err)
	}
	n.ID = orDefault(n.ID, randomUUID())
	return n.ID, s.notify(n.MchID, to, n)
}

func (s *Sim) notify(mchID, to string, n Notice) error {
	n.MchID = mchID
	target, refused := s.destination(to)
	p, err := s.pack(orDefault(target, to), n)
	if err != nil {
		return err
	}
	if refused == "" && !s.agenda.after(0, func() { s.courier.attempt(p) }) {
		refused = "too many notifies are waiting"
	}
	if refused != "" {
		s.record(p.entry(VerdictGivenUp, refused))
	}
	return nil
}

// Delivery is what came of one delivery of a notify.
type Delivery struct {
	Entry
	Header http.Header // of the receiver's answer
	Answer []byte      // its body, at most 64 KiB
}

// Send delivers a notify once, at once, spoiled by the fault if there is one,
// and returns what came of it. It needs no Run and goes to any address.
func (s *Sim) Send(ctx context.Context, to string, n Notice, f *Fault) (Delivery, error) {
	if f != nil {
		ordered := *f
		ordered.On = OnNotify
		if err := ordered.complete(); err != nil {
			return Delivery{}, err
		}
		if !ordered.forges() {
			return Delivery{}, fmt.Errorf("%w: %s spoils no single delivery", ErrFault, f.Kind)
		}
		f = &ordered
	}
	p, err := s.pack(to, n)
	if err != nil {
		return Delivery{}, err
	}
	d, err := s.courier.deliver(ctx, p, f)
	if err == nil {
		s.record(d.Entry)
	}
	return d, err
}

func (p *parcel) entry(verdict, reason string) Entry {
	return Entry{
		Kind: KindNotify, Method: http.MethodPost, Target: cut(p.to, 256), MchID: p.merchant.MchID,
		Verdict: verdict, Reason: reason, OutTradeNo: p.OutTradeNo, Event: p.Event, NotifyID: p.ID, Attempt: p.attempt,
	}
}

// attempt is one turn of the schedule.
func (c *courier) attempt(p *parcel) {
	f := c.sim.faults.take(OnNotify, p.Event, slices.Concat(faultNotify, faultSignature))
	kind := ""
	if f != nil {
		kind = f.Kind
	}
	switch kind {
	case FaultOutOfOrder:
		c.hold(p)
		return
	case FaultSlow:
		c.sim.agenda.after(time.Duration(f.Delay), func() { c.turn(p, f) })
		return
	case FaultDrop:
		p.attempt++
		e := p.entry(VerdictNotTaken, "lost on the way, as ordered")
		e.Fault = kind
		c.next(p, e)
		return
	}
	c.turn(p, f)
}

// turn delivers and plans what follows.
func (c *courier) turn(p *parcel, f *Fault) {
	// The delivery in progress may end when Run is told to stop: it has its own
	// deadline.
	e := c.try(p, f)
	if f != nil && f.Kind == FaultDuplicate {
		c.sim.record(e)
		if again := c.try(p, f); e.Verdict != VerdictTaken || again.Verdict == VerdictTaken {
			e = again
		}
	}
	c.next(p, e)
	c.release(p)
}

func (c *courier) try(p *parcel, f *Fault) Entry {
	d, err := c.deliver(context.Background(), p, f)
	if err != nil {
		return p.entry(VerdictNotTaken, err.Error())
	}
	return d.Entry
}

// next records a delivery and plans the following one if it is needed.
func (c *courier) next(p *parcel, e Entry) {
	if e.Verdict == VerdictTaken {
		c.sim.record(e)
		return
	}
	if len(p.retry) == 0 {
		if e.Verdict == VerdictNotTaken {
			e.Verdict = VerdictGivenUp
		}
		c.sim.record(e)
		return
	}
	delay := time.Duration(float64(p.retry[0]) / c.speedUp())
	p.retry = p.retry[1:]
	c.sim.record(e)
	c.sim.agenda.after(delay, func() { c.attempt(p) })
}

func (c *courier) speedUp() float64 {
	if c.sim.opts.SpeedUp == 0 {
		return 1
	}
	return c.sim.opts.SpeedUp
}

// hold keeps a notify back until another one went out; if none does, it goes on
// when its first retry would be due.
func (c *courier) hold(p *parcel) {
	e := p.entry(VerdictHeld, "waits for another notify to go out first, as ordered")
	e.Fault = FaultOutOfOrder
	c.mu.Lock()
	c.held = append(c.held, p)
	c.mu.Unlock()
	c.sim.record(e)
	patience := time.Minute
	if len(p.retry) > 0 {
		patience = p.retry[0]
	}
	c.sim.agenda.after(time.Duration(float64(patience)/c.speedUp()), func() {
		if c.take(p) {
			c.turn(p, nil)
		}
	})
}

// take reports whether p was held, and holds it no longer.
func (c *courier) take(p *parcel) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.Index(c.held, p)
	if i >= 0 {
		c.held = slices.Delete(c.held, i, i+1)
	}
	return i >= 0
}

// release sends what was held back behind p.
func (c *courier) release(p *parcel) {
	c.mu.Lock()
	held := slices.Clone(c.held)
	c.mu.Unlock()
	for _, h := range held {
		if h != p && c.take(h) {
			c.sim.agenda.after(0, func() { c.turn(h, nil) })
		}
	}
}

// deliver posts the notify once, with a new timestamp, nonce and signature.
func (c *courier) deliver(ctx context.Context, p *parcel, f *Fault) (Delivery, error) {
	p.attempt++
	body := p.body
	if f != nil && f.Kind == FaultBadCipher {
		other, err := p.seal([]byte(randomHex(wire.APIv3KeyLen)))
		if err != nil {
			return Delivery{}, err
		}
		body = other
	}
	key := c.sim.platform.forNotify()
	header, body := c.sim.sign(key, body, f)
	event := c.sim.events.Event(p.Event)
	ctx, cancel := context.WithTimeout(ctx, event.Wait)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.to, bytes.NewReader(body))
	if err != nil {
		return Delivery{}, fmt.Errorf("addressing a notify: %w", err)
	}
	req.Header = header
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "*/*")
	req.Header.Set("User-Agent", "Mozilla/4.0")
	req.Header.Set(wire.HeaderRequestID, strings.ToUpper(randomHex(40))+"-0")
	d := Delivery{Entry: p.entry("", "")}
	d.RequestID, d.Fault, d.Serial = req.Header.Get(wire.HeaderRequestID), faultName(f), req.Header.Get(wire.HeaderSerial)
	err = c.post(req, &d)
	d.Verdict, d.Reason = judgeDelivery(d.Status, err, f, event.Wait)
	if d.Verdict == VerdictTaken {
		if wrong := c.sim.judgeReply(p.merchant, event, d.Header, d.Answer); wrong != "" {
			d.Verdict, d.Reason = VerdictNotTaken, wrong
		}
	}
	return d, nil
}

// post sends the request and notes the answer, if it came whole.
func (c *courier) post(req *http.Request, d *Delivery) error {
	resp, err := c.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return err
	}
	d.Status, d.Header, d.Answer = resp.StatusCode, resp.Header, body
	return nil
}

func judgeDelivery(status int, err error, f *Fault, wait time.Duration) (verdict, reason string) {
	var cause *url.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return VerdictNotTaken, "no answer within " + wait.String()
	case errors.As(err, &cause):
		return VerdictNotTaken, "not delivered: " + cause.Err.Error()
	case err != nil:
		return VerdictNotTaken, "not delivered: " + err.Error()
	case status != http.StatusOK && status != http.StatusNoContent:
		return VerdictNotTaken, "the answer is neither 200 nor 204"
	case f.forges():
		return VerdictFooled, "the receiver took a notify that was spoiled on order (" + f.Kind + "): it does not verify"
	}
	return VerdictTaken, ""
}
