package demo

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/wxproxy/wxproxy/internal/sim"
)

// plainCall shows what a plain HTTP client meets at WeChat Pay.
func (s *story) plainCall(ctx context.Context, say Say) error {
	s.first = s.number()
	since := s.mark()
	a, err := s.Shop.Prepay(ctx, s.WeChat, s.first, price)
	if err != nil {
		return fmt.Errorf("calling WeChat Pay directly: %w", err)
	}
	say("shop → POST %s/v3/pay/transactions/jsapi", s.WeChat)
	say("       %s", from(`"out_trade_no"`, a.Sent))
	say("shop ← %d %s %s", a.Status, a.Reply.Code, brief(a.Reply.Message))
	if a.Status != http.StatusUnauthorized || a.Reply.Code != "SIGN_ERROR" {
		return fmt.Errorf("expected 401 SIGN_ERROR for a call without a signature; the shop got %d %s", a.Status, brief(a.Body))
	}
	s.plain = a.Sent
	if seen := requests(s.Sim.Log(since), http.MethodPost); len(seen) != 1 || seen[0].Verdict != sim.VerdictRefused {
		return fmt.Errorf("expected that WeChat Pay recorded one refused call; it recorded %+v", seen)
	}
	return nil
}

// signedCall sends the same bytes through the proxy.
func (s *story) signedCall(ctx context.Context, say Say) error {
	since := s.mark()
	a, err := s.Shop.Prepay(ctx, s.Proxy, s.first, price)
	if err != nil {
		return fmt.Errorf("calling through the proxy: %w", err)
	}
	say("shop → POST %s/v3/pay/transactions/jsapi", s.Proxy)
	say("       %s", from(`"out_trade_no"`, a.Sent))
	say("shop ← %d %s", a.Status, brief(a.Body))
	if err := wantVerified("the prepay", a); err != nil {
		return err
	}
	if !bytes.Equal(a.Sent, s.plain) {
		return fmt.Errorf("expected the same call as before; the shop sent %s, then %s", brief(s.plain), brief(a.Sent))
	}
	if a.Reply.PrepayID == "" {
		return fmt.Errorf("expected a prepay_id; the shop got %s", brief(a.Body))
	}
	seen := requests(s.Sim.Log(since), http.MethodPost)
	if len(seen) != 1 || seen[0].Verdict != sim.VerdictAccepted || seen[0].MchID != s.Shop.MchID || seen[0].OutTradeNo != s.first {
		return fmt.Errorf("expected that WeChat Pay accepted one call of merchant %s for order %s; it recorded %+v", s.Shop.MchID, s.first, seen)
	}
	say("WeChat Pay checked the signature of merchant %s, certificate %s", seen[0].MchID, short(seen[0].Serial))
	return nil
}

// requests picks the API calls of one method from the simulator's log.
func requests(log []sim.Entry, method string) []sim.Entry {
	var list []sim.Entry
	for _, e := range log {
		if e.Kind == sim.KindRequest && e.Method == method {
			list = append(list, e)
		}
	}
	return list
}

// queries picks those that ask for an order: the proxy may ask for the list of
// certificates at any time.
func queries(log []sim.Entry, number string) []sim.Entry {
	return slices.DeleteFunc(requests(log, http.MethodGet), func(e sim.Entry) bool { return e.OutTradeNo != number })
}

// attempts is how often a proxy sends a call that only reads, at most.
const attempts = 3

// verifiedQuery queries an order, then again with one digit of the answers
// changed on the way.
func (s *story) verifiedQuery(ctx context.Context, say Say) error {
	a, err := s.Shop.Query(ctx, s.Proxy, s.first)
	if err != nil {
		return fmt.Errorf("querying order %s: %w", s.first, err)
	}
	say("shop → GET /v3/pay/transactions/out-trade-no/%s", s.first)
	say("shop ← %d %s: %s, trade_state %s, signed by %s", a.Status, headerVerified, a.Header.Get(headerVerified),
		a.Reply.TradeState, short(a.Header.Get(headerSerial)))
	if err := wantVerified("the query", a); err != nil {
		return err
	}
	if a.Reply.TradeState != "NOTPAY" || a.Reply.Amount.Total != price {
		return fmt.Errorf("expected an order not paid of %d fen; the shop got %s", price, brief(a.Body))
	}
	if _, err := s.Sim.Fault(sim.Fault{Kind: sim.FaultFlipBody, On: sim.OnAnswer, Match: "GET /v3/pay/", Count: attempts}); err != nil {
		return fmt.Errorf("ordering a changed answer: %w", err)
	}
	since := s.mark()
	b, err := s.Shop.Query(ctx, s.Proxy, s.first)
	if err != nil {
		return fmt.Errorf("querying order %s: %w", s.first, err)
	}
	say("now one digit of the answer changes on its way to wxproxy, and of the answers to its repeats")
	say("shop ← %d %s: %s", b.Status, headerError, orNone(b.Header.Get(headerError)))
	if seen := queries(s.Sim.Log(since), s.first); len(seen) == 0 || slices.ContainsFunc(seen, func(e sim.Entry) bool { return e.Fault != sim.FaultFlipBody }) {
		return fmt.Errorf("expected that changed answers were sent; the simulator recorded %+v", seen)
	}
	if err := wantRefused("a changed answer", "response_signature_invalid", b); err != nil {
		return err
	}
	if bytes.Contains(b.Body, []byte("trade_state")) {
		return fmt.Errorf("expected nothing of the changed answer in the refusal; the shop got %s", brief(b.Body))
	}
	return nil
}

// refund gives the money of the first order back.
func (s *story) refund(ctx context.Context, say Say) error {
	since := s.mark()
	a, err := s.Shop.Refund(ctx, s.Proxy, s.first, price)
	if err != nil {
		return fmt.Errorf("refunding order %s: %w", s.first, err)
	}
	say("shop → POST /v3/refund/domestic/refunds")
	say("       %s", brief(a.Sent))
	say("shop ← %d status %s", a.Status, a.Reply.Status)
	if err := wantVerified("the refund", a); err != nil {
		return err
	}
	if a.Reply.Status != "PROCESSING" {
		return fmt.Errorf("expected a refund in status PROCESSING; the shop got %s", brief(a.Body))
	}
	e, err := s.taken(ctx, since, "REFUND.SUCCESS", s.first)
	if err != nil {
		return err
	}
	if err := s.wantState(s.first, Refunded, e.NotifyID); err != nil {
		return err
	}
	got := s.event(e.NotifyID)
	say("shop ← %s", from(`"event_type"`, got.Body))
	say("       %s", from(`"resource":`, got.Body))
	if got.Resource.OutRefundNo != "R-"+s.first || got.Resource.Amount.Refund != price {
		return fmt.Errorf("expected the refund of %d fen in plain JSON; the shop got %s", price, brief(got.Body))
	}
	say("order %s is %s", s.first, s.Shop.State(s.first))
	return nil
}
