package sim

import (
	"errors"
	"fmt"
	"net/http"
)

// transaction is an order as queries and notifies show it. Empty fields are
// left out, so that one type serves all kinds of merchants.
type transaction struct {
	SpAppID        string            `json:"sp_appid,omitempty"`
	SpMchID        string            `json:"sp_mchid,omitempty"`
	SubAppID       string            `json:"sub_appid,omitempty"`
	SubMchID       string            `json:"sub_mchid,omitempty"`
	AppID          string            `json:"appid,omitempty"`
	MchID          string            `json:"mchid,omitempty"`
	OutTradeNo     string            `json:"out_trade_no"`
	TransactionID  string            `json:"transaction_id,omitempty"`
	TradeType      string            `json:"trade_type,omitempty"`
	TradeState     string            `json:"trade_state"`
	TradeStateDesc string            `json:"trade_state_desc"`
	BankType       string            `json:"bank_type,omitempty"`
	Attach         string            `json:"attach,omitempty"`
	SuccessTime    string            `json:"success_time,omitempty"`
	Payer          map[string]string `json:"payer,omitempty"`
	Amount         transactionAmount `json:"amount"`
}

type transactionAmount struct {
	Total         int64  `json:"total"`
	PayerTotal    int64  `json:"payer_total,omitempty"`
	Currency      string `json:"currency"`
	PayerCurrency string `json:"payer_currency,omitempty"`
}

// simulatedOpenID is the customer where an order names none.
const simulatedOpenID = "oSimulatedPayer000000000001"

// ErrState: something cannot happen to an order, refund or transfer now.
var ErrState = errors.New("not possible in this state")

// ErrUnknown: there is no such order, refund or transfer.
var ErrUnknown = errors.New("unknown number")

// transaction describes the order; the caller holds the book.
func (s *Sim) transaction(o *order) transaction {
	t := transaction{
		SpAppID: o.SpAppID, SpMchID: o.SpMchID, SubAppID: o.SubAppID, SubMchID: o.SubMchID,
		AppID: o.AppID, MchID: o.MchID, OutTradeNo: o.OutTradeNo,
		TradeState: o.state, TradeStateDesc: stateDescription(o.state),
		Amount: transactionAmount{Total: o.Amount.Total, Currency: "CNY"},
	}
	if o.transactionID == "" {
		return t
	}
	t.TransactionID, t.TradeType, t.BankType, t.Attach = o.transactionID, tradeType(o.product), "OTHERS", o.Attach
	t.SuccessTime = s.timestamp(o.paidAt)
	t.Amount.PayerTotal, t.Amount.PayerCurrency = o.Amount.Total, "CNY"
	t.Payer = make(map[string]string)
	if o.SpMchID == "" {
		t.Payer["openid"] = orDefault(o.Payer.OpenID, simulatedOpenID)
		return t
	}
	t.Payer["sp_openid"] = orDefault(o.Payer.SpOpenID, simulatedOpenID)
	if o.Payer.SubOpenID != "" {
		t.Payer["sub_openid"] = o.Payer.SubOpenID
	}
	return t
}

func orDefault(v, fallback string) string {
	if v == "" {
		return fallback
	}
	return v
}

func tradeType(product string) string {
	switch product {
	case "native":
		return "NATIVE"
	case "app":
		return "APP"
	case "h5":
		return "MWEB"
	default:
		return "JSAPI"
	}
}

func stateDescription(state string) string {
	switch state {
	case stateNotPay:
		return "订单未支付"
	case stateSuccess:
		return "支付成功"
	case stateRefund:
		return "转入退款"
	default:
		return "订单已关闭"
	}
}

func (s *Sim) queryOrder(c *call) (answer, error) {
	if mchID := c.query.Get("mchid") + c.query.Get("sp_mchid"); mchID == "" {
		return answer{}, paramError("query", "mchid", "is required")
	} else if mchID != c.merchant.MchID {
		return answer{}, paramError("query", "mchid", "is not the merchant that signed the request")
	}
	s.book.mu.Lock()
	defer s.book.mu.Unlock()
	shelf, number := s.book.orders, c.vars["out_trade_no"]
	if number == "" {
		shelf, number = s.book.transactions, c.vars["transaction_id"]
	}
	o, exists := shelf.get(joinKey(c.merchant.MchID, number))
	if !exists {
		c.entry.OutTradeNo = cut(c.vars["out_trade_no"], 64)
		return answer{}, businessError(http.StatusNotFound, "ORDER_NOT_EXIST", messageNoOrder, "no such order")
	}
	c.entry.OutTradeNo = o.OutTradeNo
	return ok(s.transaction(o))
}

func (s *Sim) scheduleAutoPay(o *order) {
	if s.opts.AutoPay > 0 {
		s.agenda.after(s.opts.AutoPay, func() { _ = s.pay(o) }) // closed or paid by then is fine
	}
}

// Pay pays an order, as the customer would, and has its notify sent. Of several
// merchants with that number the first one's is meant.
func (s *Sim) Pay(outTradeNo string) error {
	for _, m := range s.merchants {
		s.book.mu.Lock()
		o, exists := s.book.orders.get(joinKey(m.MchID, outTradeNo))
		all, isCombined := s.book.combined.get(joinKey(m.MchID, outTradeNo))
		s.book.mu.Unlock()
		switch {
		case isCombined:
			return s.payCombined(all)
		case exists:
			return s.pay(o)
		}
	}
	return fmt.Errorf("%w: no order %.64q", ErrUnknown, outTradeNo)
}

func (s *Sim) pay(o *order) error {
	s.book.mu.Lock()
	if o.combined != nil {
		s.book.mu.Unlock()
		return s.payCombined(o.combined)
	}
	if o.state != stateNotPay {
		s.book.mu.Unlock()
		return fmt.Errorf("%w: order %s is %s", ErrState, o.OutTradeNo, o.state)
	}
	s.markPaid(o)
	t := s.transaction(o)
	s.book.mu.Unlock()
	return s.notify(o.owner, o.NotifyURL, Notice{Event: "TRANSACTION.SUCCESS", OutTradeNo: o.OutTradeNo, Resource: t})
}

// markPaid changes the order; the caller holds the book.
func (s *Sim) markPaid(o *order) {
	now := s.now()
	o.state, o.paidAt = stateSuccess, now
	o.transactionID = "42000" + now.In(beijing).Format("20060102") + randomDigits(15)
	s.book.transactions.put(joinKey(o.owner, o.transactionID), o)
}
