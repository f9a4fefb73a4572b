package sim

import (
	"crypto/sha256"
	"net/http"
	"regexp"
	"time"
)

// States of an order.
const (
	stateNotPay  = "NOTPAY"
	stateSuccess = "SUCCESS"
	stateRefund  = "REFUND"
	stateClosed  = "CLOSED"
)

// order is one payment, by an ordinary merchant, a partner, or a part of a
// combined one.
type order struct {
	prepayRequest
	owner       string // who signed: mchid or sp_mchid
	product     string
	fingerprint [sha256.Size]byte
	answer      map[string]string

	state         string
	transactionID string
	paidAt        time.Time
	refunded      int64 // in all refunds that were accepted
	combined      *combined
}

// prepayRequest is the body of a prepay, as far as the simulator looks at it.
type prepayRequest struct {
	AppID       string `json:"appid"`
	MchID       string `json:"mchid"`
	SpAppID     string `json:"sp_appid"`
	SpMchID     string `json:"sp_mchid"`
	SubAppID    string `json:"sub_appid"`
	SubMchID    string `json:"sub_mchid"`
	Description string `json:"description"`
	OutTradeNo  string `json:"out_trade_no"`
	TimeExpire  string `json:"time_expire"`
	Attach      string `json:"attach"`
	NotifyURL   string `json:"notify_url"`
	Amount      struct {
		Total    int64  `json:"total"`
		Currency string `json:"currency"`
	} `json:"amount"`
	Payer struct {
		OpenID    string `json:"openid"`
		SpOpenID  string `json:"sp_openid"`
		SubOpenID string `json:"sub_openid"`
	} `json:"payer"`
	SceneInfo struct {
		PayerClientIP string `json:"payer_client_ip"`
		H5Info        struct {
			Type string `json:"type"`
		} `json:"h5_info"`
	} `json:"scene_info"`
}

var (
	tradeNoPattern  = regexp.MustCompile(`^[0-9A-Za-z_\-|*@]{6,32}$`)
	refundNoPattern = regexp.MustCompile(`^[0-9A-Za-z_\-|*@]{1,64}$`)
)

// prepay makes the handler of one product: jsapi, native, app or h5.
func (s *Sim) prepay(product string) func(*call) (answer, error) {
	return func(c *call) (answer, error) {
		o := &order{product: product, owner: c.merchant.MchID, state: stateNotPay}
		if err := decode(c, &o.prepayRequest); err != nil {
			return answer{}, err
		}
		c.entry.OutTradeNo = cut(o.OutTradeNo, 64)
		if err := o.check(c.merchant); err != nil {
			return answer{}, err
		}
		o.fingerprint = fingerprintOf(product, c.body)
		o.answer = s.prepayAnswer(product)
		kept, err := s.placeOrder(o)
		if err != nil {
			return answer{}, err
		}
		if kept == o {
			s.scheduleAutoPay(o)
		}
		return ok(kept.answer)
	}
}

// fingerprintOf makes the same parameters at another product another order.
func fingerprintOf(product string, body []byte) [sha256.Size]byte {
	sum := fingerprint(body)
	return sha256.Sum256(append(sum[:], product...))
}

func (o *order) check(m *Merchant) *apiError {
	partner := o.SpMchID != ""
	missing := func(pairs ...string) *apiError {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i+1] == "" {
				return bodyError(pairs[i], "is required")
			}
		}
		return nil
	}
	var err *apiError
	if partner {
		err = missing("/sp_appid", o.SpAppID, "/sub_mchid", o.SubMchID)
	} else {
		err = missing("/mchid", o.MchID, "/appid", o.AppID)
	}
	if err == nil {
		err = missing("/description", o.Description, "/out_trade_no", o.OutTradeNo, "/notify_url", o.NotifyURL)
	}
	if err != nil {
		return err
	}
	if m.AppID != "" && o.AppID+o.SpAppID != m.AppID {
		return businessError(http.StatusBadRequest, "APPID_MCHID_NOT_MATCH", "appid和mch_id不匹配", "the appid is not the merchant's")
	}
	if !tradeNoPattern.MatchString(o.OutTradeNo) {
		return bodyError("/out_trade_no", "must have 6 to 32 of 0-9 A-Z a-z _ - | * @")
	}
	if o.Amount.Total < 1 {
		return bodyError("/amount/total", "must be at least 1, in fen")
	}
	if o.Amount.Currency != "" && o.Amount.Currency != "CNY" {
		return bodyError("/amount/currency", "must be CNY")
	}
	if o.product == "jsapi" && o.Payer.OpenID+o.Payer.SpOpenID+o.Payer.SubOpenID == "" {
		return bodyError("/payer/openid", "is required for JSAPI")
	}
	if o.product == "h5" && (o.SceneInfo.PayerClientIP == "" || o.SceneInfo.H5Info.Type == "") {
		return bodyError("/scene_info", "payer_client_ip and h5_info.type are required for H5")
	}
	if err := checkNotifyURL("/notify_url", o.NotifyURL); err != nil {
		return err
	}
	return checkLengths("/description", o.Description, "/attach", o.Attach, "/time_expire", o.TimeExpire,
		"/appid", o.AppID, "/sp_appid", o.SpAppID, "/sub_appid", o.SubAppID, "/sub_mchid", o.SubMchID,
		"/payer/openid", o.Payer.OpenID, "/payer/sp_openid", o.Payer.SpOpenID, "/payer/sub_openid", o.Payer.SubOpenID,
		"/scene_info/payer_client_ip", o.SceneInfo.PayerClientIP, "/scene_info/h5_info/type", o.SceneInfo.H5Info.Type)
}

// prepayAnswer is what a customer's client is started with.
func (s *Sim) prepayAnswer(product string) map[string]string {
	prepayID := "wx" + s.now().In(beijing).Format("02150405") + randomHex(26)
	switch product {
	case "native":
		return map[string]string{"code_url": "weixin://wxpay/bizpayurl?pr=" + randomHex(9) + "zz"}
	case "h5":
		return map[string]string{"h5_url": "https://wx.tenpay.com/cgi-bin/mmpayweb-bin/checkmweb?prepay_id=" + prepayID + "&package=" + randomDigits(10)}
	default:
		return map[string]string{"prepay_id": prepayID}
	}
}

// placeOrder keeps a new order, or returns the one that has its number.
func (s *Sim) placeOrder(o *order) (*order, *apiError) {
	s.book.mu.Lock()
	defer s.book.mu.Unlock()
	key := joinKey(o.owner, o.OutTradeNo)
	old, exists := s.book.orders.get(key)
	if !exists {
		s.book.orders.put(key, o)
		return o, nil
	}
	switch {
	case old.fingerprint != o.fingerprint:
		return nil, businessError(http.StatusForbidden, "OUT_TRADE_NO_USED", "商户订单号重复", "out_trade_no was used with other parameters")
	case old.state == stateClosed:
		return nil, businessError(http.StatusBadRequest, "ORDER_CLOSED", "订单已关闭", "the order is closed; use a new out_trade_no")
	case old.state != stateNotPay:
		return nil, businessError(http.StatusBadRequest, "ORDERPAID", "该订单已支付", "the order is paid already")
	}
	return old, nil
}

func (s *Sim) closeOrder(c *call) (answer, error) {
	c.entry.OutTradeNo = cut(c.vars["out_trade_no"], 64)
	if err := requireMerchant(c); err != nil {
		return answer{}, err
	}
	s.book.mu.Lock()
	defer s.book.mu.Unlock()
	o, exists := s.book.orders.get(joinKey(c.merchant.MchID, c.vars["out_trade_no"]))
	if !exists {
		return answer{}, businessError(http.StatusNotFound, "ORDER_NOT_EXIST", messageNoOrder, "no such order")
	}
	if o.state != stateNotPay && o.state != stateClosed {
		return answer{}, businessError(http.StatusBadRequest, "ORDERPAID", "该订单已支付", "a paid order cannot be closed")
	}
	o.state = stateClosed
	return noContent()
}

// requireMerchant wants the merchant named in the body; that it is the right
// one was checked for all bodies.
func requireMerchant(c *call) *apiError {
	var names struct {
		MchID   string `json:"mchid"`
		SpMchID string `json:"sp_mchid"`
	}
	if err := decode(c, &names); err != nil {
		return err
	}
	if names.MchID+names.SpMchID == "" {
		return bodyError("/mchid", "is required")
	}
	return nil
}
