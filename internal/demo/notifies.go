package demo

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/wxproxy/wxproxy/internal/sim"
)

// event is what arrived at the shop under an id.
func (s *story) event(id string) Event {
	all, _ := s.Shop.Events(0)
	for _, e := range all {
		if e.ID == id {
			return e
		}
	}
	return Event{}
}

// payment pays the first order.
func (s *story) payment(ctx context.Context, say Say) error {
	say("the customer pays order %s", s.first)
	e, err := s.pay(ctx, s.first)
	if err != nil {
		return err
	}
	onTheWire := s.Wiretap.Recorded()
	got := s.event(e.NotifyID)
	say("WeChat Pay → wxproxy")
	say("       %s", from(`"ciphertext"`, onTheWire))
	say("wxproxy → shop")
	say("       %s", from(`"resource":`, got.Body))
	if !bytes.Contains(onTheWire, []byte(e.NotifyID)) || bytes.Contains(onTheWire, []byte(s.first)) {
		return fmt.Errorf("expected notify %s on the wire without its order number in clear; recorded there: %s", e.NotifyID, brief(onTheWire))
	}
	if got.Resource.OutTradeNo != s.first || got.Resource.Amount.Total != price {
		return fmt.Errorf("expected the payment of %d fen for order %s in plain JSON; the shop got %s", price, s.first, brief(got.Body))
	}
	if e.Status != http.StatusNoContent {
		return fmt.Errorf("expected that WeChat Pay was answered 204; the simulator recorded %d", e.Status)
	}
	say("order %s is %s; WeChat Pay was answered %d", s.first, s.Shop.State(s.first), e.Status)
	return nil
}

// claim is a notify that says an order is paid which nobody paid.
func (s *story) claim(number string) sim.Notice {
	return sim.Notice{
		Event: "TRANSACTION.SUCCESS", OutTradeNo: number,
		Resource: map[string]any{
			"mchid": s.Shop.MchID, "out_trade_no": number, "trade_state": "SUCCESS",
			"amount": Amount{Total: price, Currency: "CNY"},
		},
	}
}

// forgeries claims that an order is paid, with signatures that are not WeChat
// Pay's over these bytes.
func (s *story) forgeries(ctx context.Context, say Say) error {
	var err error
	if s.second, err = s.order(ctx); err != nil {
		return err
	}
	say("order %s is not paid; forged notifies say that it is", s.second)
	for _, forgery := range []struct{ fault, what string }{
		{sim.FaultUnsigned, "a notify without a signature"},
		{sim.FaultFlipSignature, "a notify with one bit of the signature changed"},
		{sim.FaultFlipBody, "a notify with one byte changed after it was signed"},
		{sim.FaultWrongSerial, "a notify signed with a key that nobody knows"},
	} {
		e, err := s.Sim.Send(ctx, s.Shop.NotifyURL, s.claim(s.second), &sim.Fault{Kind: forgery.fault})
		if err != nil {
			return fmt.Errorf("sending %s: %w", forgery.what, err)
		}
		say("%s ← %d", forgery.what, e.Status)
		if err := s.wantNotDelivered(forgery.what, s.second, e.Entry); err != nil {
			return err
		}
	}
	say("order %s is still %s", s.second, s.Shop.State(s.second))
	return nil
}

// replay pays the second order and sends its notify again, byte for byte.
func (s *story) replay(ctx context.Context, say Say) error {
	e, err := s.pay(ctx, s.second)
	if err != nil {
		return err
	}
	say("the customer pays order %s; its notify %s arrives", s.second, short(e.NotifyID))
	for _, copied := range []string{"second", "third"} {
		if !bytes.Contains(s.Wiretap.Recorded(), []byte(e.NotifyID)) {
			return fmt.Errorf("expected a recording of notify %s; recorded was %s", e.NotifyID, brief(s.Wiretap.Recorded()))
		}
		status, err := s.Wiretap.Replay(ctx)
		if err != nil {
			return fmt.Errorf("replaying notify %s: %w", e.NotifyID, err)
		}
		n := s.Shop.Arrivals(e.NotifyID)
		say("the same bytes a %s time ← %d; the shop has seen it %s", copied, status, times(n))
		if status != http.StatusNoContent || n != 1 {
			return fmt.Errorf("expected that a fresh copy of notify %s is answered 204 and not delivered again; it was answered %d, and the shop recorded %d arrivals",
				e.NotifyID, status, n)
		}
	}
	return nil
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// stale sends a notify whose signature is genuine and 301 seconds old.
func (s *story) stale(ctx context.Context, say Say) error {
	number, err := s.order(ctx)
	if err != nil {
		return err
	}
	const what = "a genuine notify from 301 seconds ago"
	old := &sim.Fault{Kind: sim.FaultSkew, Skew: sim.Duration(-301 * time.Second)}
	e, err := s.Sim.Send(ctx, s.Shop.NotifyURL, s.claim(number), old)
	if err != nil {
		return fmt.Errorf("sending %s: %w", what, err)
	}
	say("%s ← %d", what, e.Status)
	return s.wantNotDelivered(what, number, e.Entry)
}

// probes has WeChat Pay probe the answers to one query, and a notify.
func (s *story) probes(ctx context.Context, say Say) error {
	number, err := s.order(ctx)
	if err != nil {
		return err
	}
	if _, err := s.Sim.Fault(sim.Fault{Kind: sim.FaultProbe, On: sim.OnAnswer, Match: "GET /v3/pay/", Count: attempts}); err != nil {
		return fmt.Errorf("ordering a probe of an answer: %w", err)
	}
	probed, err := s.Shop.Query(ctx, s.Proxy, number)
	if err != nil {
		return fmt.Errorf("querying order %s: %w", number, err)
	}
	say("shop → GET /v3/pay/transactions/out-trade-no/%s", number)
	say("shop ← %d %s: %s, after %d probes in a row: it repeats such calls by itself", probed.Status, headerError, orNone(probed.Header.Get(headerError)), attempts)
	if err := wantRefused("a probed answer", "signtest_probe", probed); err != nil {
		return err
	}
	again, err := s.Shop.Query(ctx, s.Proxy, number)
	if err != nil {
		return fmt.Errorf("querying order %s again: %w", number, err)
	}
	say("shop ← %d %s: %s, when it asks again", again.Status, headerVerified, orNone(again.Header.Get(headerVerified)))
	if err := wantVerified("the repeated query", again); err != nil {
		return err
	}
	return s.probedNotify(ctx, say, number)
}

// probedNotify pays an order whose notify comes as a probe first.
func (s *story) probedNotify(ctx context.Context, say Say, number string) error {
	if _, err := s.Sim.Fault(sim.Fault{Kind: sim.FaultProbe, On: sim.OnNotify, Match: "TRANSACTION."}); err != nil {
		return fmt.Errorf("ordering a probe of a notify: %w", err)
	}
	since := s.mark()
	if err := s.Sim.Pay(number); err != nil {
		return fmt.Errorf("paying order %s: %w", number, err)
	}
	probe, err := s.Sim.Await(ctx, since, func(e sim.Entry) bool { return e.Kind == sim.KindNotify && e.OutTradeNo == number })
	if err != nil {
		return fmt.Errorf("waiting for the probe: %w", err)
	}
	say("notify %s, a probe ← %d", short(probe.NotifyID), probe.Status)
	if probe.Fault != sim.FaultProbe || probe.Status != http.StatusUnauthorized {
		return fmt.Errorf("expected that the probe of a notify is answered 401; the simulator recorded %d (%s)", probe.Status, probe.Verdict)
	}
	e, err := s.taken(ctx, probe.Seq, "TRANSACTION.SUCCESS", number)
	if err != nil {
		return err
	}
	say("notify %s, WeChat Pay's genuine repeat ← %d", short(e.NotifyID), e.Status)
	if e.NotifyID != probe.NotifyID || e.Attempt < 2 {
		return fmt.Errorf("expected the repeat of notify %s; the simulator recorded attempt %d of %s", probe.NotifyID, e.Attempt, e.NotifyID)
	}
	return s.wantState(number, Paid, e.NotifyID)
}
