package proxy

import (
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/wxproxy/wxproxy/internal/jsonedit"
	"github.com/wxproxy/wxproxy/internal/wire"
)

// platformKeySize is the size of WeChat Pay's keys in bytes, for telling a
// ciphertext while none of them is known.
const platformKeySize = 256

// wantsFieldsAlone reports whether the caller encrypts and decrypts sensitive
// fields for itself in this call.
func wantsFieldsAlone(h http.Header) bool {
	return strings.EqualFold(strings.TrimSpace(h.Get(headerSensitive)), "off")
}

// encryptFields encrypts the sensitive values that still are plaintext and names
// the key in Wechatpay-Serial. Values that the caller encrypted stay, and so
// does the caller's Wechatpay-Serial, which alone says with which key; one
// header cannot name two, so a request is encrypted by one side as a whole.
func (o *Outbound) encryptFields(x *exchange, d *draft) *failure {
	fields := x.endpoint.Sensitive
	if fields == nil || x.fieldsAlone {
		return nil
	}
	serial, key, known := x.merchant.Preferred()
	g := gathering{size: platformKeySize}
	if known {
		g.size = key.Size()
	}
	if f := g.text(fields.Request, d.signed); f != nil {
		return f
	}
	if f := g.query(fields.Query, d.target.Query); f != nil {
		return f
	}
	if f := g.judge(d.header.Get(wire.HeaderSerial)); f != nil || len(g.plain) == 0 {
		return f
	}
	if !known {
		return fail(ReasonKeyUnavailable, "%s cannot be encrypted: no platform key of WeChat Pay is known for merchant %s; see /readyz on the admin port",
			outside(g.plain[0].field), x.merchant.Name)
	}
	if f := o.makeRoom(x, d, len(g.plain)); f != nil {
		return f
	}
	if f := g.seal(key, d); f != nil {
		return f
	}
	d.header.Set(wire.HeaderSerial, serial)
	o.metrics.fields(x.merchant.Name, fieldsOfRequest, fieldsEncrypted, len(g.plain))
	return nil
}

// makeRoom takes what n values grow by from the budget of bytes in flight.
func (o *Outbound) makeRoom(x *exchange, d *draft, n int) *failure {
	more := int64(n) * int64(base64.StdEncoding.EncodedLen(platformKeySize))
	if int64(len(d.body))+more > o.limits.Request {
		return fail(ReasonBodyTooLarge, "with its %d sensitive fields encrypted the body is larger than outbound.limits.request (%d bytes)", n, o.limits.Request)
	}
	if o.inFlight.take(more) != nil {
		return o.busy()
	}
	x.held += more
	return nil
}

// Where a sensitive value stands, in WeChat Pay's words.
const (
	inBody  = "body"
	inQuery = "query"
)

// sensitiveField is one sensitive value of a request.
type sensitiveField struct {
	location   string
	field      string // JSON pointer, or name of the parameter
	value      string
	start, end int // in the JSON text, or in the query
}

// gathering is the sensitive values of one request, none of them changed yet.
type gathering struct {
	size   int              // of a ciphertext, in bytes
	sealed []sensitiveField // values that the caller encrypted
	plain  []sensitiveField
}

// text gathers from a JSON text: the body, or the part meta of an upload.
func (g *gathering) text(paths *jsonedit.Paths, text []byte) *failure {
	if paths == nil || len(text) == 0 {
		return nil
	}
	matches, err := paths.Find(text)
	if err != nil {
		return badField(inBody, "", "the body is not well-formed JSON, so its sensitive fields cannot be encrypted").because(err)
	}
	for _, m := range matches {
		value, ok := jsonedit.Unquote(m.Raw)
		if !ok {
			return badField(inBody, m.Pointer, "must be a text (leave the member out rather than send null), to be encrypted")
		}
		if f := g.add(sensitiveField{inBody, m.Pointer, value, m.Start, m.End}); f != nil {
			return f
		}
	}
	return nil
}

// query gathers from a query, given with its question mark.
func (g *gathering) query(names []string, query string) *failure {
	if len(names) == 0 {
		return nil
	}
	seen := make([]string, 0, len(names))
	for start := 1; start < len(query); {
		end := len(query)
		if i := strings.IndexByte(query[start:], '&'); i >= 0 {
			end = start + i
		}
		name, value, _ := strings.Cut(query[start:end], "=")
		field := sensitiveField{location: inQuery, start: end - len(value), end: end}
		start = end + 1
		var err error
		if field.field, err = url.QueryUnescape(name); err != nil || !slices.Contains(names, field.field) {
			continue
		}
		if slices.Contains(seen, field.field) {
			return badField(inQuery, field.field, "stands twice")
		}
		seen = append(seen, field.field)
		if field.value, err = url.QueryUnescape(value); err != nil {
			return badField(inQuery, field.field, "has a broken percent-encoding")
		}
		if f := g.add(field); f != nil {
			return f
		}
	}
	return nil
}

// add takes a value in: an empty one stays as it is, a ciphertext too.
func (g *gathering) add(p sensitiveField) *failure {
	switch {
	case p.value == "":
	case wire.IsSealedField(p.value, g.size):
		g.sealed = append(g.sealed, p)
	case len(p.value) > wire.MaxField:
		return badField(p.location, p.field, "has %d bytes of UTF-8, of which at most %d can be encrypted", len(p.value), wire.MaxField)
	default:
		g.plain = append(g.plain, p)
	}
	return nil
}

// judge refuses what one Wechatpay-Serial cannot say.
func (g *gathering) judge(callers string) *failure {
	switch {
	case len(g.sealed) == 0:
		return nil
	case len(g.plain) > 0:
		p := g.plain[0]
		return badField(p.location, p.field, "is plaintext, and %s is encrypted already: encrypt all of them or none, since one Wechatpay-Serial names the key of all", outside(g.sealed[0].field))
	case callers == "":
		p := g.sealed[0]
		return badField(p.location, p.field, "is encrypted already, but no Wechatpay-Serial says with which key; send the ID of that key, or the plaintext")
	}
	return nil
}

// seal encrypts every value and puts it in place. Nothing else changes.
func (g *gathering) seal(key *rsa.PublicKey, d *draft) *failure {
	var body, query []jsonedit.Edit
	for _, p := range g.plain {
		sealed, err := wire.SealField(key, p.value)
		if err != nil {
			return fail(ReasonInternal, "%s could not be encrypted", outside(p.field)).because(err)
		}
		if p.location == inQuery {
			query = append(query, jsonedit.Edit{Start: p.start, End: p.end, New: []byte(url.QueryEscape(sealed))})
		} else {
			body = append(body, jsonedit.Edit{Start: p.start, End: p.end, New: []byte(`"` + sealed + `"`)})
		}
	}
	d.target.Query = string(jsonedit.Apply([]byte(d.target.Query), query))
	if len(body) == 0 {
		return nil
	}
	return d.resign(jsonedit.Apply(d.signed, body))
}

// badField refuses a value the way WeChat Pay does: detail says which.
func badField(location, field, format string, args ...any) *failure {
	issue := fmt.Sprintf(format, args...)
	message := issue
	if field != "" {
		message = outside(field) + " " + issue
	}
	return fail(ReasonBadField, "%s (%s: off sends it as it is)", message, headerSensitive).
		with("field", field).with("location", location).with("issue", issue)
}
