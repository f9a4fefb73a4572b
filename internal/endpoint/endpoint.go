package endpoint

import (
	"cmp"
	"slices"
)

// other is the label of every call that the table does not know.
const other = "other" // and the rate family of most

// Endpoint is one call of the API and what is known of it. Endpoints of a
// Table are shared and must not be changed.
type Endpoint struct {
	// Method and Template name the row, as in POST
	// /v3/refund/domestic/refunds/{refund_id}/apply-abnormal-refund. Both are
	// empty for a call that is not in the table.
	Method, Template string

	// Unsigned: a successful answer never carries a signature (downloads).
	// Only these may reach the app without one.
	Unsigned bool

	// Statement: a successful answer signs the JSON text {"sha1":"<value of
	// the header Wechatpay-Statement-Sha1>"} in place of the body. It is not
	// Unsigned: who does not know the rule rejects it, which is safe.
	Statement bool

	// IdempotencyKey is the body field, at the top level, that makes a repeat
	// of the same request harmless, as out_trade_no. Empty: no such field is
	// known, and a request whose fate is unknown must not be sent again.
	IdempotencyKey string

	// Repeatable: a repeat is harmless whatever the body holds: it reads, or
	// it closes the order that the path names.
	Repeatable bool

	// Sensitive says what of the call is encrypted with RSA; nil: nothing.
	Sensitive *Sensitive

	// Download: a successful answer has links to files; nil: it has none.
	Download *Download

	// EncryptedBy is the query parameter that asks for a cipher, as algorithm,
	// where those files are encrypted: in whole, with a key that is encrypted
	// to the merchant's certificate and stands beside the link. Empty: they are
	// not.
	EncryptedBy string

	// FileUnchecked: the file of an upload is not compared with the digest that
	// its meta part promises. No row of the table has it; users may set it.
	FileUnchecked bool

	// Body is what is known of the request's body; nil: nothing.
	Body *Body

	// Family is the rate family: calls that WeChat Pay limits together. One of
	// Families.
	Family string

	label    string // the user's, in place of the template
	executed []int
}

// Label names the endpoint in metrics and logs: its template, what the user's
// override calls it, or "other". The set of labels is closed, and a label
// holds nothing that a caller sent.
func (e *Endpoint) Label() string { return cmp.Or(e.label, e.Template, other) }

// MayHaveExecuted reports whether a call that WeChat Pay answered with this
// status may nevertheless have taken effect, so that the app must ask instead
// of taking it for failed.
func (e *Endpoint) MayHaveExecuted(status int) bool {
	return slices.Contains(e.executed, status)
}

// newEndpoint returns the row with what holds for every call of its method.
func newEndpoint(method, template string) *Endpoint {
	e := &Endpoint{Method: method, Template: template, Family: other}
	if reads(method) {
		e.Repeatable = true
		return e
	}
	e.executed = []int{500, 502, 503, 504}
	return e
}

func reads(method string) bool { return method == "GET" || method == "HEAD" }
