package sim

import (
	"crypto/sha256"
	"fmt"
	"net/http"
)

// combined is a payment of several orders at once.
type combined struct {
	combineRequest
	fingerprint [sha256.Size]byte
	owner       string
	answer      map[string]string
	parts       []*order
}

type combineRequest struct {
	CombineAppID      string `json:"combine_appid"`
	CombineMchID      string `json:"combine_mchid"`
	CombineOutTradeNo string `json:"combine_out_trade_no"`
	NotifyURL         string `json:"notify_url"`
	SubOrders         []struct {
		MchID       string `json:"mchid"`
		OutTradeNo  string `json:"out_trade_no"`
		Attach      string `json:"attach"`
		Description string `json:"description"`
		Amount      struct {
			TotalAmount int64  `json:"total_amount"`
			Currency    string `json:"currency"`
		} `json:"amount"`
	} `json:"sub_orders"`
	CombinePayerInfo struct {
		OpenID string `json:"openid"`
	} `json:"combine_payer_info"`
}

type combinedView struct {
	CombineAppID      string            `json:"combine_appid"`
	CombineMchID      string            `json:"combine_mchid"`
	CombineOutTradeNo string            `json:"combine_out_trade_no"`
	CombinePayerInfo  map[string]string `json:"combine_payer_info,omitempty"`
	SubOrders         []combinedPart    `json:"sub_orders"`
}

type combinedPart struct {
	MchID         string         `json:"mchid"`
	TradeType     string         `json:"trade_type"`
	TradeState    string         `json:"trade_state"`
	BankType      string         `json:"bank_type,omitempty"`
	Attach        string         `json:"attach,omitempty"`
	SuccessTime   string         `json:"success_time,omitempty"`
	TransactionID string         `json:"transaction_id,omitempty"`
	OutTradeNo    string         `json:"out_trade_no"`
	Amount        map[string]any `json:"amount"`
}

const maxParts = 50

func (s *Sim) combinePrepay(product string) func(*call) (answer, error) {
	return func(c *call) (answer, error) {
		all := &combined{owner: c.merchant.MchID, fingerprint: fingerprintOf(product, c.body)}
		if err := decode(c, &all.combineRequest); err != nil {
			return answer{}, err
		}
		c.entry.OutTradeNo = cut(all.CombineOutTradeNo, 64)
		if err := all.check(product); err != nil {
			return answer{}, err
		}
		all.answer = s.prepayAnswer(product)
		for _, sub := range all.SubOrders {
			o := &order{product: product, owner: all.owner, state: stateNotPay, combined: all}
			o.MchID, o.OutTradeNo, o.Attach, o.NotifyURL = sub.MchID, sub.OutTradeNo, sub.Attach, all.NotifyURL
			o.Amount.Total = sub.Amount.TotalAmount
			all.parts = append(all.parts, o)
		}
		return s.placeCombined(all)
	}
}

func (all *combined) check(product string) *apiError {
	switch {
	case all.CombineAppID == "" || all.CombineMchID == "":
		return bodyError("/combine_mchid", "combine_appid and combine_mchid are required")
	case !tradeNoPattern.MatchString(all.CombineOutTradeNo):
		return bodyError("/combine_out_trade_no", "must have 6 to 32 of 0-9 A-Z a-z _ - | * @")
	case len(all.SubOrders) < 1 || len(all.SubOrders) > maxParts:
		return bodyError("/sub_orders", fmt.Sprintf("must have 1 to %d", maxParts))
	case product == "jsapi" && all.CombinePayerInfo.OpenID == "":
		return bodyError("/combine_payer_info/openid", "is required for JSAPI")
	}
	for i, sub := range all.SubOrders {
		if sub.MchID == "" || sub.Description == "" || !tradeNoPattern.MatchString(sub.OutTradeNo) || sub.Amount.TotalAmount < 1 {
			return bodyError(fmt.Sprintf("/sub_orders/%d", i), "mchid, out_trade_no, description and amount.total_amount are required")
		}
		if err := checkLengths("/sub_orders", sub.MchID, "/sub_orders", sub.Description, "/sub_orders", sub.Attach); err != nil {
			return err
		}
	}
	if err := checkLengths("/combine_appid", all.CombineAppID, "/combine_payer_info/openid", all.CombinePayerInfo.OpenID); err != nil {
		return err
	}
	return checkNotifyURL("/notify_url", all.NotifyURL)
}

func (s *Sim) placeCombined(all *combined) (answer, error) {
	s.book.mu.Lock()
	defer s.book.mu.Unlock()
	used := businessError(http.StatusForbidden, "OUT_TRADE_NO_USED", "商户订单号重复", "an order number was used with other parameters")
	key := joinKey(all.owner, all.CombineOutTradeNo)
	if old, exists := s.book.combined.get(key); exists {
		if old.fingerprint != all.fingerprint {
			return answer{}, used
		}
		return ok(old.answer)
	}
	for _, o := range all.parts {
		if _, exists := s.book.orders.get(joinKey(o.owner, o.OutTradeNo)); exists {
			return answer{}, used
		}
	}
	s.book.combined.put(key, all)
	for _, o := range all.parts {
		s.book.orders.put(joinKey(o.owner, o.OutTradeNo), o)
	}
	s.scheduleAutoPay(all.parts[0])
	return ok(all.answer)
}

// findCombined returns the payment that a request names; the caller holds the
// book.
func (s *Sim) findCombined(c *call) (*combined, *apiError) {
	c.entry.OutTradeNo = cut(c.vars["combine_out_trade_no"], 64)
	all, exists := s.book.combined.get(joinKey(c.merchant.MchID, c.vars["combine_out_trade_no"]))
	if !exists {
		return nil, businessError(http.StatusNotFound, "ORDER_NOT_EXIST", messageNoOrder, "no such combined order")
	}
	return all, nil
}

func (s *Sim) queryCombined(c *call) (answer, error) {
	s.book.mu.Lock()
	defer s.book.mu.Unlock()
	all, err := s.findCombined(c)
	if err != nil {
		return answer{}, err
	}
	return ok(s.combinedView(all))
}

func (s *Sim) closeCombined(c *call) (answer, error) {
	s.book.mu.Lock()
	defer s.book.mu.Unlock()
	all, err := s.findCombined(c)
	if err != nil {
		return answer{}, err
	}
	if all.parts[0].transactionID != "" {
		return answer{}, businessError(http.StatusBadRequest, "ORDERPAID", "该订单已支付", "a paid order cannot be closed")
	}
	for _, o := range all.parts {
		o.state = stateClosed
	}
	return noContent()
}

func (s *Sim) combinedView(all *combined) combinedView {
	v := combinedView{CombineAppID: all.CombineAppID, CombineMchID: all.CombineMchID, CombineOutTradeNo: all.CombineOutTradeNo}
	for _, o := range all.parts {
		t := s.transaction(o)
		p := combinedPart{
			MchID: o.MchID, TradeType: tradeType(o.product), TradeState: t.TradeState, BankType: t.BankType, Attach: o.Attach,
			SuccessTime: t.SuccessTime, TransactionID: t.TransactionID, OutTradeNo: o.OutTradeNo,
			Amount: map[string]any{"total_amount": o.Amount.Total, "currency": "CNY"},
		}
		if t.TransactionID != "" {
			p.Amount["payer_amount"], p.Amount["payer_currency"] = o.Amount.Total, "CNY"
			v.CombinePayerInfo = map[string]string{"openid": orDefault(all.CombinePayerInfo.OpenID, simulatedOpenID)}
		}
		v.SubOrders = append(v.SubOrders, p)
	}
	return v
}

func (s *Sim) payCombined(all *combined) error {
	s.book.mu.Lock()
	if state := all.parts[0].state; state != stateNotPay {
		s.book.mu.Unlock()
		return fmt.Errorf("%w: combined order %s is %s", ErrState, all.CombineOutTradeNo, state)
	}
	for _, o := range all.parts {
		s.markPaid(o)
	}
	v := s.combinedView(all)
	s.book.mu.Unlock()
	return s.notify(all.owner, all.NotifyURL, Notice{Event: "TRANSACTION.SUCCESS", OutTradeNo: all.CombineOutTradeNo, Resource: v})
}
