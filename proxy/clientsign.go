package proxy

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"net/url"
	"regexp"

	"github.com/wxproxy/wxproxy/internal/wire"
)

// signMessage is a signature besides those of payments that pages and apps
// need. The list is closed, each has its fixed members, and timestamp, nonce
// and merchant are ours: no request to WeChat Pay can be made from one.
type signMessage struct {
	form []param
	run  func(*Outbound, context.Context, *localCall) (any, *failure)
}

var (
	numberForm   = regexp.MustCompile(`^[0-9A-Za-z_|*-]{1,64}$`) // 服务订单号, 签约单号
	tradeForm    = regexp.MustCompile(`^[0-9A-Za-z_|*@-]{1,32}$`)
	packageForm  = regexp.MustCompile(`^[0-9A-Za-z_.+/|*-]{1,512}$`)
	serviceForm  = regexp.MustCompile(`^[0-9A-Za-z_-]{1,64}$`)
	stockForm    = regexp.MustCompile(`^[0-9A-Za-z_-]{1,20}$`)
	requestForm  = regexp.MustCompile(`^[0-9A-Za-z_|*-]{1,128}$`)
	openIDForm   = regexp.MustCompile(`^[0-9A-Za-z_-]{1,128}$`)
	cardForm     = regexp.MustCompile(`^[0-9A-Za-z_-]{1,64}$`)
	merchantForm = regexp.MustCompile(`^[0-9]{8,15}$`)
	timeForm     = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})$`)
)

// signMessages by the name in their path. Sources: the digital-signature page of
// wechatpay-im/website; wechatpay-skills (payscore); pay.weixin.qq.com
// doc/v3/merchant/4012285674 (plugin), 4012285783 (H5), the wiki's
// payscore.php?chapter=29_1 (Enable) and discount-card pages.
var signMessages = map[string]signMessage{
	"wxpayScoreUse": {run: (*Outbound).signPayScore, form: []param{
		{name: "package", pattern: packageForm},
	}},
	"wxpayScoreEnable": {run: (*Outbound).signPayScore, form: []param{
		{name: "service_id", pattern: serviceForm},
		{name: "out_request_no", pattern: numberForm},
	}},
	"wxpayScoreDetail": {run: (*Outbound).signPayScore, form: []param{
		{name: "service_id", pattern: serviceForm},
		{name: "out_order_no", pattern: numberForm},
	}},
	"couponPlugin": {run: (*Outbound).signCouponPlugin, form: []param{
		{name: "coupons", most: 10, list: []param{
			{name: "stock_id", pattern: stockForm},
			{name: "out_request_no", pattern: requestForm},
			{name: "coupon_code", pattern: requestForm, optional: true},
			{name: "create_coupon_merchant", pattern: merchantForm, optional: true},
			{name: "customize_send_time", pattern: timeForm, optional: true},
		}},
	}},
	"couponH5": {run: (*Outbound).signCouponH5, form: []param{
		{name: "stock_id", pattern: stockForm},
		{name: "out_request_no", pattern: requestForm},
		{name: "open_id", pattern: openIDForm},
		{name: "coupon_code", pattern: requestForm, optional: true},
	}},
	"discountCard": {run: (*Outbound).signDiscountCard, form: []param{
		{name: "appid", pattern: appIDForm},
		{name: "discount_card_id", pattern: cardForm},
		{name: "out_trade_no", pattern: tradeForm},
	}},
}

// signPayScore makes the extraData of wx.openBusinessView for pay score (支付分).
func (o *Outbound) signPayScore(_ context.Context, c *localCall) (any, *failure) {
	pairs := maps.Clone(c.form.texts)
	pairs["mch_id"] = c.merchant.MchID
	pairs["timestamp"] = wire.FormatTimestamp(o.now().Unix())
	pairs["nonce_str"] = rand.Text()
	pairs["sign_type"] = "HMAC-SHA256"
	var f *failure
	pairs["sign"], f = signPairs(c.merchant, pairs)
	return pairs, f
}

// couponPlugin is what the coupon plugin (小程序发券插件) takes.
type couponPlugin struct {
	Merchant string              `json:"send_coupon_merchant"`
	Params   []map[string]string `json:"send_coupon_params"`
	Sign     string              `json:"sign"`
}

// signCouponPlugin signs each coupon's members under their names and its number.
func (*Outbound) signCouponPlugin(_ context.Context, c *localCall) (any, *failure) {
	pairs := map[string]string{"send_coupon_merchant": c.merchant.MchID}
	for i, coupon := range c.form.items {
		for name, value := range coupon {
			pairs[fmt.Sprint(name, i)] = value
		}
	}
	sign, f := signPairs(c.merchant, pairs)
	return couponPlugin{c.merchant.MchID, c.form.items, sign}, f
}

// signCouponH5 makes the address of the page that hands out a coupon (H5发券).
func (*Outbound) signCouponH5(_ context.Context, c *localCall) (any, *failure) {
	pairs := maps.Clone(c.form.texts)
	pairs["send_coupon_merchant"] = c.merchant.MchID
	sign, f := signPairs(c.merchant, pairs)
	if f != nil {
		return nil, f
	}
	pairs["sign"] = sign
	query := make(url.Values, len(pairs))
	for name, value := range pairs {
		query.Set(name, value)
	}
	pairs["url"] = "https://action.weixin.qq.com/busifavor/getcouponinfo?" + query.Encode() + "#wechat_pay&wechat_redirect"
	return pairs, nil
}

// discountCard is the extraData for the mini program of discount cards (先享卡).
type discountCard struct {
	CardID     string `json:"discount_card_id"`
	MchID      string `json:"mch_id"`
	AppID      string `json:"appid"`
	OutTradeNo string `json:"out_trade_no"`
	Timestamp  string `json:"timestamp"`
	Nonce      string `json:"nonce_str"`
	SignType   string `json:"sign_type"`
	Serial     string `json:"serial_no"`
	Sign       string `json:"sign"`
}

func (*Outbound) signDiscountCard(ctx context.Context, c *localCall) (any, *failure) {
	t, m := c.form.texts, c.merchant
	key := m.PrivateKey().Signer // once: a reload in between must not mix two serial numbers
	s, f := signClient(ctx, m, key, t["appid"], t["discount_card_id"], m.MchID, t["out_trade_no"])
	if f != nil {
		return nil, f
	}
	return discountCard{
		t["discount_card_id"], m.MchID, t["appid"], t["out_trade_no"],
		s.Timestamp, s.Nonce, wire.SchemeRSA, key.Serial(), s.Signature,
	}, nil
}

// signPairs signs as APIv2 does, for what WeChat never moved to APIv3.
func signPairs(m *Merchant, pairs map[string]string) (string, *failure) {
	key := m.APIv2Key()
	if key.IsZero() {
		return "", fail(ReasonKeyUnavailable, "this signature is made with the APIv2 key, and merchant %s has none: set apiv2_key", m.Name)
	}
	sign, err := wire.SignPairs(pairs, key.Bytes())
	if err != nil {
		return "", fail(ReasonInternal, "a text passed its pattern and cannot be signed").because(err)
	}
	return sign, nil
}
