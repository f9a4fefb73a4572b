package proxy

import (
	"net/http"

	"github.com/wxproxy/wxproxy/internal/wire"
)

// draft is the app's request on its way to becoming the one that is signed.
type draft struct {
	header http.Header // what goes to WeChat Pay, Authorization aside
	target wire.Target
	body   []byte // as it is sent; nil while an upload holds it
	signed []byte // the text that is signed: body, or the meta part of an upload
	upload *upload
}

// prepare checks and changes a draft, one step after the other. After it
// nothing touches the request but the signer.
func (o *Outbound) prepare(x *exchange, d *draft) *failure {
	for _, step := range []func(*exchange, *draft) *failure{openLink, checkDecrypt, inspectBody, o.giveHints, o.fillNotifyURL, o.encryptFields, askForKey} {
		if f := step(x, d); f != nil {
			return f
		}
	}
	return nil
}

// resign puts another text in place of the one that is signed: the body, or the
// part meta of an upload.
func (d *draft) resign(text []byte) *failure {
	if d.upload == nil {
		d.body, d.signed = text, text
		return nil
	}
	if err := d.upload.setMeta(text); err != nil {
		return fail(ReasonInternal, "the part meta of this upload cannot be changed").because(err)
	}
	d.signed = text
	return nil
}

// askForKey tells WeChat Pay which platform key to sign the answer with, unless
// the caller or an earlier step has named one.
func askForKey(x *exchange, d *draft) *failure {
	if serial, _, ok := x.merchant.Preferred(); ok && d.header.Get(wire.HeaderSerial) == "" {
		d.header.Set(wire.HeaderSerial, serial)
	}
	return nil
}
