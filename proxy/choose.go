package proxy

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/wxproxy/wxproxy/signer"
)

// choose picks the merchant: the header Wxproxy-Merchant, else the listener's,
// else the one whose number a download's link has, else the only one the caller
// may use. Header and link choose only among these, and
// only those can be chosen that have the credential scheme that the call wants;
// an empty scheme means any, and an ordinary merchant where none is named.
func (o *Outbound) choose(r *http.Request, c *Caller, l Listener, scheme, linked string) (*Merchant, *failure) {
	named := r.Header[headerMerchant]
	switch {
	case len(named) > 1:
		return nil, fail(ReasonUnknownMerchant, "the header %s stands %d times", headerMerchant, len(named))
	case len(named) == 1:
		m := o.merchants.named[named[0]]
		if m == nil || !c.may(m) {
			return nil, fail(ReasonUnknownMerchant, "merchant %q is not configured for this caller", outside(named[0]))
		}
		return m, m.suits(scheme)
	case l.Merchant != "":
		m := o.merchants.named[l.Merchant]
		if m == nil || !c.may(m) {
			return nil, fail(ReasonUnknownMerchant, "the merchant of this listener is not configured for this caller")
		}
		return m, m.suits(scheme)
	}
	if m := o.merchants.named[linked]; m != nil && m.MchID == linked && c.may(m) && m.suits(scheme) == nil {
		return m, nil
	}
	switch possible := c.granted[cmp.Or(scheme, signer.SchemeMerchant)]; len(possible) {
	case 0:
		if scheme == signer.SchemeBrand {
			return nil, fail(ReasonUnknownMerchant, "/brand/ is signed by brands, and none is configured for this caller; see merchants[].brand_id")
		}
		return nil, fail(ReasonUnknownMerchant, "no merchant is configured for this caller")
	case 1:
		return possible[0], nil
	default:
		return nil, fail(ReasonUnknownMerchant, "several merchants are possible; name one in the header %s (alias or mchid)", headerMerchant)
	}
}

// suits refuses a merchant whose signature WeChat Pay would not take for a call.
func (m *Merchant) suits(scheme string) *failure {
	switch {
	case scheme == "" || m.scheme() == scheme:
		return nil
	case m.isBrand():
		return fail(ReasonUnknownMerchant, "%s is a brand, which signs calls under /brand/ alone; name a merchant in the header %s", m.Name, headerMerchant)
	default:
		return fail(ReasonUnknownMerchant, "%s is no brand, and calls under /brand/ are signed by brands; name one in the header %s", m.Name, headerMerchant)
	}
}

// merchantFields are the top-level fields of a body that name who signs it.
var merchantFields = []string{"mchid", "sp_mchid", "combine_mchid"}

// idFields are the fields that name the merchant itself. What other merchants a
// brand's bodies name is not for us to judge.
func (m *Merchant) idFields() []string {
	if m.isBrand() {
		return []string{"brand_id"}
	}
	return merchantFields
}

// inspectBody reads, in one pass, what of a body concerns us. It refuses one that
// names another merchant than the one who is going to sign it: WeChat Pay would
// refuse it with a message that does not say so. Every occurrence of a repeated
// key counts. And it reads the idempotency key, for the log. What is not a JSON
// object is not looked at.
func inspectBody(x *exchange, d *draft) (wrong *failure) {
	m, fields, number := x.merchant, x.merchant.idFields(), ""
	topLevel(d.signed, func(key string, value []byte) {
		switch {
		case slices.Contains(fields, key):
			var mchid string
			if json.Unmarshal(value, &mchid) == nil && mchid != m.MchID && wrong == nil {
				wrong = fail(ReasonMerchantMismatch, "the body's %s is not that of merchant %s (%s), who would sign it; choose the other with the header %s",
					key, m.Name, m.MchID, headerMerchant)
			}
		case key != "" && key == x.endpoint.IdempotencyKey:
			_ = json.Unmarshal(value, &number)
		}
	})
	x.number = outside(strings.TrimSpace(number))
	return wrong
}

// topLevel calls f for each member of a JSON object, in order, and stops at
// the first thing that is not well-formed.
func topLevel(body []byte, f func(key string, value []byte)) {
	// A Buffer, because the decoder then reads its bytes in place.
	d := jsontext.NewDecoder(bytes.NewBuffer(body), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if t, err := d.ReadToken(); err != nil || t.Kind() != jsontext.KindBeginObject {
		return
	}
	for d.PeekKind() == jsontext.KindString {
		key, err := d.ReadToken()
		if err != nil {
			return
		}
		name := key.String()
		value, err := d.ReadValue()
		if err != nil {
			return
		}
		f(name, value)
	}
}
