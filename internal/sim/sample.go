package sim

import (
	"time"

	"github.com/wxproxy/wxproxy/internal/endpoint"
)

// sample invents a resource for an event: the real fields of payments, refunds
// and a few more, and what the event table knows of the others.
func (s *Sim) sample(m *Merchant, event endpoint.Event) any {
	o := &order{owner: m.MchID, product: "jsapi", state: stateSuccess, paidAt: s.now()}
	o.AppID, o.MchID = orDefault(m.AppID, "wxsimulated0000001"), m.MchID
	o.OutTradeNo, o.Attach = "TRIGGER"+randomDigits(12), "sent by wxproxy trigger"
	o.Amount.Total, o.Payer.OpenID = 100, simulatedOpenID
	o.transactionID = "42000" + o.paidAt.In(beijing).Format("20060102") + randomDigits(15)
	switch event.OriginalType {
	case "transaction":
		t := s.transaction(o)
		if event.Type == "TRANSACTION.FAIL" {
			t.TradeState, t.TradeStateDesc = "PAYERROR", "支付失败"
		}
		return t
	case "refund":
		return s.sampleRefund(o, event.Type)
	case "security":
		return echoRequest{EchoMessage: "hello"}
	case "complaint":
		return map[string]string{"complaint_id": "2000" + randomDigits(20), "action_type": "CREATE_COMPLAINT"}
	}
	if question := sampleQuestion(event.Type, o); question != nil {
		return question
	}
	now := s.timestamp(s.now())
	generic := map[string]any{
		"mchid": m.MchID, "appid": o.AppID, "out_order_no": o.OutTradeNo, "transaction_id": o.transactionID,
		"create_time": now, "success_time": now, "state": "SUCCESS", "note": "invented by wxproxy: " + event.Type,
	}
	for _, field := range event.RSAFields {
		if sealed, err := encryptField(m, "invented "+field); err == nil {
			generic[field] = sealed
		}
	}
	return generic
}

// sampleQuestion is the resource of a notify that asks the merchant something.
func sampleQuestion(eventType string, o *order) map[string]any {
	switch eventType {
	case "PARKING_FEE.QUERY_TRANS_INFO":
		return map[string]any{"out_serial_number": o.OutTradeNo, "plate_number": "粤B888888", "out_parking_id": "P1"}
	case "ENTRUST.TERMINATE_RETENTION":
		return map[string]any{
			"mchid": o.MchID, "appid": o.AppID, "contract_id": "2026" + randomDigits(20), "plan_id": 12535,
			"out_contract_code": o.OutTradeNo, "openid": simulatedOpenID,
		}
	case "CROSS_BORDER_PAY.GET_MCH_INFO":
		return map[string]any{"acq_tid": "2026" + randomDigits(26), "bank_type": "WALLET", "qr_cd_mp": "https://example.com/qr/1"}
	case "CROSS_BORDER_PAY.PUSH_ORDER_INFO":
		return map[string]any{
			"acq_tid": "2026" + randomDigits(26), "bank_type": "WALLET", "openid": simulatedOpenID,
			"amount": map[string]any{"total": o.Amount.Total, "currency": "CNY"},
		}
	default:
		return nil
	}
}

func (s *Sim) sampleRefund(o *order, eventType string) refundNotice {
	status := RefundSuccess
	switch eventType {
	case "REFUND.ABNORMAL":
		status = RefundAbnormal
	case "REFUND.CLOSED":
		status = RefundClosed
	}
	r := &refund{order: o, id: "503" + randomDigits(25), status: status, doneAt: s.now().Add(-time.Second)}
	r.OutRefundNo, r.Amount.Refund = "R"+o.OutTradeNo, o.Amount.Total
	return s.refundNotice(r)
}
