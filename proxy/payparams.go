package proxy

import (
	"context"
	"errors"
	"regexp"

	"github.com/wxproxy/wxproxy/signer"
)

// Forms of the texts that local endpoints sign. None has a control character,
// a space, & or =; the lengths are WeChat Pay's, where it gives one.
var (
	appIDForm       = regexp.MustCompile(`^w[wx][0-9A-Za-z]{8,30}$`)
	prepayForm      = regexp.MustCompile(`^[0-9A-Za-z_-]{1,64}$`)
	periodForm      = regexp.MustCompile(`^(DAILY|PERIOD)$`)
	installmentForm = regexp.MustCompile(`^[0-9]{1,2}$`)
)

// payForm is what payment parameters are made from. For a combined order appid
// is its combine_appid.
var payForm = []param{
	{name: "appid", pattern: appIDForm},
	{name: "prepay_id", pattern: prepayForm},
	{name: "subsidy_period_type", pattern: periodForm, optional: true},
	{name: "selected_installment_number", pattern: installmentForm, optional: true},
}

// pagePayment is what a page hands to WeixinJSBridge, or, without the appId, a
// mini program to wx.requestPayment.
type pagePayment struct {
	AppID     string `json:"appId,omitempty"`
	Timestamp string `json:"timeStamp"`
	Nonce     string `json:"nonceStr"`
	Package   string `json:"package"`
	SignType  string `json:"signType"`
	PaySign   string `json:"paySign"`
}

// appPayment is what an app hands to the WeChat SDK as PayReq.
type appPayment struct {
	AppID     string `json:"appid"`
	PartnerID string `json:"partnerid"`
	PrepayID  string `json:"prepayid"`
	Package   string `json:"package"`
	Nonce     string `json:"noncestr"`
	Timestamp string `json:"timestamp"`
	Sign      string `json:"sign"`
}

func (o *Outbound) payJSAPI(ctx context.Context, c *localCall) (any, *failure) {
	extra, f := subsidy(c.form.texts)
	if f != nil {
		return nil, f
	}
	appID, pack := c.form.texts["appid"], "prepay_id="+c.form.texts["prepay_id"]+extra
	s, f := signClient(ctx, c.merchant, c.merchant.PrivateKey().Signer, appID, pack)
	if f != nil {
		return nil, f
	}
	return pagePayment{appID, s.Timestamp, s.Nonce, pack, "RSA", s.Signature}, nil
}

func (o *Outbound) payMiniProgram(ctx context.Context, c *localCall) (any, *failure) {
	answer, f := o.payJSAPI(ctx, c)
	if p, ok := answer.(pagePayment); ok {
		p.AppID = "" // it is signed, but wx.requestPayment knows its own
		return p, nil
	}
	return nil, f
}

// payApp signs the bare prepay_id: unlike a page's, an app's package stays out
// of the signature, subsidy and all.
func (o *Outbound) payApp(ctx context.Context, c *localCall) (any, *failure) {
	extra, f := subsidy(c.form.texts)
	if f != nil {
		return nil, f
	}
	appID, prepay := c.form.texts["appid"], c.form.texts["prepay_id"]
	s, f := signClient(ctx, c.merchant, c.merchant.PrivateKey().Signer, appID, prepay)
	if f != nil {
		return nil, f
	}
	return appPayment{appID, c.merchant.MchID, prepay, "Sign=WXPay" + extra, s.Nonce, s.Timestamp, s.Signature}, nil
}

// subsidy is what is added to the package when the merchant pays the interest
// of an instalment (微信分付贴息).
func subsidy(texts map[string]string) (string, *failure) {
	period, number := texts["subsidy_period_type"], texts["selected_installment_number"]
	switch {
	case period == "" && number == "":
		return "", nil
	case period == "":
		return "", badParameter("/subsidy_period_type", "is missing beside selected_installment_number")
	case number == "" && period == "PERIOD":
		return "", badParameter("/selected_installment_number", "is missing beside subsidy_period_type PERIOD")
	case number == "":
		return "&subsidy_period_type=" + period, nil
	default:
		return "&subsidy_period_type=" + period + "&selected_installment_number=" + number, nil
	}
}

// signClient signs with the merchant's key. The signer's own timestamp and
// nonce go in, and it takes no text that could make another message.
func signClient(ctx context.Context, m *Merchant, key *signer.Signer, appID string, lines ...string) (signer.ClientSignature, *failure) {
	if key == nil {
		return signer.ClientSignature{}, fail(ReasonKeyUnavailable, "no key is loaded for merchant %s; see /readyz on the admin port", m.Name)
	}
	s, err := key.Client(ctx, appID, lines...)
	switch {
	case errors.Is(err, signer.ErrClientText):
		return s, fail(ReasonInternal, "a text passed its pattern and cannot be signed").because(err)
	case err != nil:
		return s, fail(ReasonKeyUnavailable, "the key of merchant %s did not sign", m.Name).because(err)
	}
	return s, nil
}
