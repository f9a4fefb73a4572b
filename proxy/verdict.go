package proxy

import (
	"context"
	"encoding/json"

	"github.com/wxproxy/wxproxy/internal/wire"
	"github.com/wxproxy/wxproxy/verifier"
)

// verdict is the answer of verify.
type verdict struct {
	Valid  bool   `json:"valid"`
	Reason string `json:"reason,omitempty"` // why not: one of the outcomes of a notify
	Serial string `json:"serial,omitempty"` // of the key that signed
}

// verifyNotify tells an app that receives callbacks by itself whether the bytes
// and headers that it hands on are WeChat Pay's. That it cannot be told, for
// want of keys, is an error and no verdict.
func (o *Outbound) verifyNotify(ctx context.Context, c *localCall) (any, *failure) {
	stamp, err := o.verifyLocal(ctx, c)
	if err == nil {
		return verdict{Valid: true, Serial: stamp.Serial}, nil
	}
	why := verifyOutcome(err)
	if why == outcomeKeys {
		return nil, keysNotRefreshed(stamp, err)
	}
	return verdict{Reason: string(why), Serial: stamp.Serial}, nil
}

// decryptNotify opens a notify, verified in the same call: without WeChat Pay's
// signature nothing is decrypted.
func (o *Outbound) decryptNotify(ctx context.Context, c *localCall) (any, *failure) {
	stamp, err := o.verifyLocal(ctx, c)
	if err != nil {
		why := verifyOutcome(err)
		if why == outcomeKeys {
			return nil, keysNotRefreshed(stamp, err)
		}
		return nil, fail(ReasonNotifyInvalid, "the notify is not verified (%s); hand its body and its Wechatpay-… headers on as they came", why).with("reason", why).because(err)
	}
	n, err := open([]*Merchant{c.merchant}, c.body, c.header)
	if err == nil {
		if !wantsFieldsAlone(c.header) {
			n.decryptFields(c.id, o.table.Event(n.envelope.EventType).Sensitive, o.metrics, o.log)
			c.sensitive = n.sensitive
		}
		body, _, err := n.payload(BodyEnvelope)
		if err != nil {
			return nil, fail(ReasonDecryptFailed, "what the notify holds is not a JSON object").because(err)
		}
		return json.RawMessage(body), nil
	}
	switch openOutcome(err) {
	case outcomeKeyMissing:
		return nil, fail(ReasonKeyUnavailable, "no APIv3 key is loaded for merchant %s; see /readyz on the admin port", c.merchant.Name).because(err)
	case outcomeMerchant:
		return nil, fail(ReasonMerchantMismatch, "the notify is not for merchant %s; choose the other with the header %s", c.merchant.Name, headerMerchant).because(err)
	default:
		return nil, fail(ReasonDecryptFailed, "the notify does not open with the APIv3 key of merchant %s", c.merchant.Name).because(err)
	}
}

// verifyLocal spends the budget of notifies, not that of answers: what the app
// hands on may come from anyone.
func (o *Outbound) verifyLocal(ctx context.Context, c *localCall) (wire.Stamp, error) {
	stamp, err := verifier.StampFor(c.merchant.scheme(), c.header, o.now())
	if err != nil {
		return stamp, err
	}
	return stamp, verifier.Verify(ctx, c.merchant.NotifyKeys, stamp, c.body)
}

func keysNotRefreshed(stamp wire.Stamp, err error) *failure {
	serial := outside(stamp.Serial)
	return fail(ReasonKeysNotRefreshed, "the notify is signed with key %s, which is not known yet, and the platform certificates could not be refreshed; answer it with a 5xx, so that it comes again",
		serial).with("serial", serial).because(err)
}
