package proxy

import (
	"github.com/wxproxy/wxproxy/internal/jsonedit"
)

// fillNotifyURL adds the merchant's notify URL to a body that leaves it out,
// where the table knows its place. A body that has the member stays as it is,
// whatever its value, and so does every other byte.
func (o *Outbound) fillNotifyURL(x *exchange, d *draft) *failure {
	ours := o.notifyURLs[x.merchant.Name]
	if ours == "" || d.upload != nil || x.endpoint.Body == nil || x.endpoint.Body.Notify == "" {
		return nil
	}
	name, there := x.endpoint.Body.Notify, false
	topLevel(d.signed, func(key string, _ []byte) { there = there || key == name })
	if there || !isJSON(d.signed) {
		return nil
	}
	edit, ok := jsonedit.Member(jsonedit.Match{Raw: d.signed, End: len(d.signed)}, name, ours)
	if !ok {
		return nil
	}
	more := int64(len(edit.New))
	if int64(len(d.body))+more > o.limits.Request {
		return fail(ReasonBodyTooLarge, "with the %s that notify.public_url gives the body is larger than outbound.limits.request (%d bytes)", name, o.limits.Request)
	}
	if o.inFlight.take(more) != nil {
		return o.busy()
	}
	x.held += more
	return d.resign(jsonedit.Apply(d.signed, []jsonedit.Edit{edit}))
}
