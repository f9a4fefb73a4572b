package sim

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"time"
)

// Statuses of a refund. A refund ends in one of the last three.
const (
	refundProcessing = "PROCESSING"
	RefundSuccess    = "SUCCESS"
	RefundAbnormal   = "ABNORMAL"
	RefundClosed     = "CLOSED"
)

const defaultRefundDelay = 500 * time.Millisecond

type refundRequest struct {
	SubMchID      string `json:"sub_mchid"`
	TransactionID string `json:"transaction_id"`
	OutTradeNo    string `json:"out_trade_no"`
	OutRefundNo   string `json:"out_refund_no"`
	Reason        string `json:"reason"`
	NotifyURL     string `json:"notify_url"`
	Amount        struct {
		Refund   int64  `json:"refund"`
		Total    int64  `json:"total"`
		Currency string `json:"currency"`
	} `json:"amount"`
}

type refund struct {
	refundRequest
	fingerprint [sha256.Size]byte
	order       *order
	id          string
	status      string
	createdAt   time.Time
	doneAt      time.Time
}

// refundAmount has the fields of answers; notifies have the first four.
type refundAmount struct {
	Total            int64  `json:"total"`
	Refund           int64  `json:"refund"`
	PayerTotal       int64  `json:"payer_total"`
	PayerRefund      int64  `json:"payer_refund"`
	SettlementRefund int64  `json:"settlement_refund"`
	SettlementTotal  int64  `json:"settlement_total"`
	DiscountRefund   int64  `json:"discount_refund"`
	Currency         string `json:"currency"`
}

type refundView struct {
	RefundID            string       `json:"refund_id"`
	OutRefundNo         string       `json:"out_refund_no"`
	TransactionID       string       `json:"transaction_id"`
	OutTradeNo          string       `json:"out_trade_no"`
	Channel             string       `json:"channel"`
	UserReceivedAccount string       `json:"user_received_account"`
	SuccessTime         string       `json:"success_time,omitempty"`
	CreateTime          string       `json:"create_time"`
	Status              string       `json:"status"`
	FundsAccount        string       `json:"funds_account"`
	Amount              refundAmount `json:"amount"`
}

type refundNotice struct {
	MchID               string `json:"mchid,omitempty"`
	SpMchID             string `json:"sp_mchid,omitempty"`
	SubMchID            string `json:"sub_mchid,omitempty"`
	OutTradeNo          string `json:"out_trade_no"`
	TransactionID       string `json:"transaction_id"`
	OutRefundNo         string `json:"out_refund_no"`
	RefundID            string `json:"refund_id"`
	RefundStatus        string `json:"refund_status"`
	SuccessTime         string `json:"success_time,omitempty"`
	UserReceivedAccount string `json:"user_received_account"`
	Amount              struct {
		Total       int64 `json:"total"`
		Refund      int64 `json:"refund"`
		PayerTotal  int64 `json:"payer_total"`
		PayerRefund int64 `json:"payer_refund"`
	} `json:"amount"`
}

const receivedAccount = "支付用户零钱"

func (s *Sim) refund(c *call) (answer, error) {
	r := &refund{fingerprint: fingerprint(c.body), status: refundProcessing, createdAt: s.now()}
	if err := decode(c, &r.refundRequest); err != nil {
		return answer{}, err
	}
	c.entry.OutTradeNo = cut(r.OutTradeNo, 64)
	if err := r.check(); err != nil {
		return answer{}, err
	}
	s.book.mu.Lock()
	defer s.book.mu.Unlock()
	key := joinKey(c.merchant.MchID, r.OutRefundNo)
	if old, exists := s.book.refunds.get(key); exists {
		if old.fingerprint != r.fingerprint {
			return answer{}, businessError(http.StatusBadRequest, "INVALID_REQUEST", "订单金额或退款金额与之前请求不一致，请核实后再试",
				"out_refund_no was used with other parameters")
		}
		return ok(s.refundView(old))
	}
	if err := s.acceptRefund(c, r); err != nil {
		return answer{}, err
	}
	s.book.refunds.put(key, r)
	delay := s.opts.RefundDelay
	if delay == 0 {
		delay = defaultRefundDelay
	}
	if delay > 0 {
		// By then somebody may have ended it on command.
		s.agenda.after(delay, func() { _ = s.endRefund(r, RefundSuccess) })
	}
	return ok(s.refundView(r))
}

func (r *refund) check() *apiError {
	switch {
	case r.TransactionID == "" && r.OutTradeNo == "":
		return bodyError("/out_trade_no", "one of transaction_id and out_trade_no is required")
	case !refundNoPattern.MatchString(r.OutRefundNo):
		return bodyError("/out_refund_no", "must have 1 to 64 of 0-9 A-Z a-z _ - | * @")
	case r.Amount.Refund < 1:
		return bodyError("/amount/refund", "must be at least 1, in fen")
	case r.Amount.Total < 1:
		return bodyError("/amount/total", "must be at least 1, in fen")
	case r.Amount.Currency != "CNY":
		return bodyError("/amount/currency", "must be CNY")
	}
	if r.NotifyURL != "" {
		if err := checkNotifyURL("/notify_url", r.NotifyURL); err != nil {
			return err
		}
	}
	return checkLengths("/reason", r.Reason, "/transaction_id", r.TransactionID, "/out_trade_no", r.OutTradeNo, "/sub_mchid", r.SubMchID)
}

// acceptRefund books the amount; the caller holds the book.
func (s *Sim) acceptRefund(c *call, r *refund) *apiError {
	o, exists := s.book.orders.get(joinKey(c.merchant.MchID, r.OutTradeNo))
	if r.TransactionID != "" {
		o, exists = s.book.transactions.get(joinKey(c.merchant.MchID, r.TransactionID))
	}
	if !exists || o.transactionID == "" {
		return businessError(http.StatusNotFound, "RESOURCE_NOT_EXISTS", messageNoOrder, "no such order, or it is not paid")
	}
	c.entry.OutTradeNo = o.OutTradeNo
	if r.OutTradeNo != "" && r.OutTradeNo != o.OutTradeNo || r.Amount.Total != o.Amount.Total {
		return businessError(http.StatusBadRequest, "INVALID_REQUEST", "您的请求参数与订单信息不一致", "amount.total or a number is not the order's")
	}
	if o.refunded+r.Amount.Refund > o.Amount.Total {
		return businessError(http.StatusForbidden, "NOT_ENOUGH", "基本账户余额不足，请充值后重新发起", "all refunds together exceed what was paid")
	}
	o.refunded += r.Amount.Refund
	o.state = stateRefund
	r.order, r.id = o, "503"+randomDigits(25)
	return nil
}

func (s *Sim) queryRefund(c *call) (answer, error) {
	s.book.mu.Lock()
	defer s.book.mu.Unlock()
	r, exists := s.book.refunds.get(joinKey(c.merchant.MchID, c.vars["out_refund_no"]))
	if !exists {
		return answer{}, businessError(http.StatusNotFound, "RESOURCE_NOT_EXISTS", "退款单不存在", "no such refund")
	}
	c.entry.OutTradeNo = r.order.OutTradeNo
	return ok(s.refundView(r))
}

func (s *Sim) refundView(r *refund) refundView {
	v := refundView{
		RefundID: r.id, OutRefundNo: r.OutRefundNo, TransactionID: r.order.transactionID, OutTradeNo: r.order.OutTradeNo,
		Channel: "ORIGINAL", UserReceivedAccount: receivedAccount, CreateTime: s.timestamp(r.createdAt),
		Status: r.status, FundsAccount: "UNSETTLED",
		Amount: refundAmount{
			Total: r.order.Amount.Total, Refund: r.Amount.Refund,
			PayerTotal: r.order.Amount.Total, PayerRefund: r.Amount.Refund,
			SettlementTotal: r.order.Amount.Total, SettlementRefund: r.Amount.Refund, Currency: "CNY",
		},
	}
	if r.status == RefundSuccess {
		v.SuccessTime = s.timestamp(r.doneAt)
	}
	return v
}

// EndRefund ends a refund that is being processed, with RefundSuccess,
// RefundAbnormal or RefundClosed, and has its notify sent.
func (s *Sim) EndRefund(outRefundNo, status string) error {
	if status != RefundSuccess && status != RefundAbnormal && status != RefundClosed {
		return fmt.Errorf("%w: a refund cannot become %.64q", ErrState, status)
	}
	for _, m := range s.merchants {
		s.book.mu.Lock()
		r, exists := s.book.refunds.get(joinKey(m.MchID, outRefundNo))
		s.book.mu.Unlock()
		if exists {
			return s.endRefund(r, status)
		}
	}
	return fmt.Errorf("%w: no refund %.64q", ErrUnknown, outRefundNo)
}

func (s *Sim) endRefund(r *refund, status string) error {
	s.book.mu.Lock()
	if r.status != refundProcessing {
		s.book.mu.Unlock()
		return fmt.Errorf("%w: refund %s is %s", ErrState, r.OutRefundNo, r.status)
	}
	r.status, r.doneAt = status, s.now()
	o := r.order
	if status != RefundSuccess {
		o.refunded -= r.Amount.Refund
	}
	n := s.refundNotice(r)
	to := orDefault(r.NotifyURL, o.NotifyURL)
	s.book.mu.Unlock()
	return s.notify(o.owner, to, Notice{Event: "REFUND." + status, OutTradeNo: o.OutTradeNo, Resource: n})
}

// refundNotice describes a refund that ended.
func (s *Sim) refundNotice(r *refund) refundNotice {
	o := r.order
	n := refundNotice{
		MchID: o.MchID, SpMchID: o.SpMchID, SubMchID: o.SubMchID,
		OutTradeNo: o.OutTradeNo, TransactionID: o.transactionID, OutRefundNo: r.OutRefundNo,
		RefundID: r.id, RefundStatus: r.status, UserReceivedAccount: receivedAccount,
	}
	if r.status == RefundSuccess {
		n.SuccessTime = s.timestamp(r.doneAt)
	}
	n.Amount.Total, n.Amount.PayerTotal = o.Amount.Total, o.Amount.Total
	n.Amount.Refund, n.Amount.PayerRefund = r.Amount.Refund, r.Amount.Refund
	return n
}
