package proxy

import (
	"crypto"
	"crypto/rsa"
	"log/slog"
	"slices"
	"unicode/utf8"

	"github.com/wxproxy/wxproxy/internal/jsonedit"
	"github.com/wxproxy/wxproxy/internal/wire"
)

// revealed counts what became of the ciphertexts of one text.
type revealed struct {
	opened, failed int
	noKey          int // the merchant's private key cannot decrypt
}

// says is what the header Wxproxy-Sensitive tells the app; empty where there
// was no ciphertext.
func (r *revealed) says() string {
	switch {
	case r.failed > 0:
		return "failed"
	case r.noKey > 0:
		return "encrypted"
	case r.opened > 0:
		return "decrypted"
	}
	return ""
}

func (r *revealed) count(m *Metrics, merchant, in string) {
	m.fields(merchant, in, fieldsDecrypted, r.opened)
	m.fields(merchant, in, fieldsFailed, r.failed)
	m.fields(merchant, in, fieldsNoKey, r.noKey)
}

// reveal decrypts the sensitive values of a text from WeChat Pay that was
// verified; a text that was not must never come here, or an outsider could
// learn what opens. What is no ciphertext stays, and so does what does not
// open: the text itself tells of money that has moved.
func reveal(text []byte, paths *jsonedit.Paths, keys []crypto.Decrypter) ([]byte, revealed) {
	var r revealed
	if paths == nil || len(text) == 0 {
		return text, r
	}
	matches, err := paths.Find(text)
	if err != nil {
		return text, r // not JSON: nothing of it can be told apart
	}
	var edits []jsonedit.Edit
	for _, match := range matches {
		for _, m := range jsonedit.Strings(match) {
			if sealed, ok := jsonedit.Unquote(m.Raw); ok && isSealedFor(keys, sealed) {
				if plain, ok := r.open(keys, sealed); ok {
					edits = append(edits, jsonedit.Edit{Start: m.Start, End: m.End, New: jsonedit.Quote(plain)})
				}
			}
		}
	}
	return jsonedit.Apply(text, edits), r
}

// open decrypts one ciphertext and counts it.
func (r *revealed) open(keys []crypto.Decrypter, sealed string) (plain string, ok bool) {
	if len(keys) == 0 {
		r.noKey++
		return "", false
	}
	plain, err := openField(keys, sealed)
	if err != nil {
		r.failed++
		return "", false
	}
	r.opened++
	return plain, true
}

// isSealedFor reports whether a text has the form of a ciphertext for one of
// the keys.
func isSealedFor(keys []crypto.Decrypter, text string) bool {
	if len(keys) == 0 {
		return wire.IsSealedField(text, platformKeySize)
	}
	return slices.ContainsFunc(keys, func(key crypto.Decrypter) bool {
		public, ok := key.Public().(*rsa.PublicKey)
		return ok && wire.IsSealedField(text, public.Size())
	})
}

// openField decrypts a ciphertext with the first key that opens it. The error
// is wire.ErrField, also for a text that a JSON string could not hold.
func openField(keys []crypto.Decrypter, sealed string) (string, error) {
	for _, key := range keys {
		if plain, err := wire.OpenField(key, sealed); err == nil && utf8.ValidString(plain) {
			return plain, nil
		}
	}
	return "", wire.ErrField
}

// decryptFields opens the sensitive values of a verified answer for the app.
func (o *Outbound) decryptFields(x *exchange, body []byte) ([]byte, *failure) {
	fields := x.endpoint.Sensitive
	if fields == nil || x.fieldsAlone {
		return body, nil
	}
	body, r := reveal(body, fields.Response, x.key.Decrypters)
	r.count(o.metrics, x.merchant.Name, fieldsOfAnswer)
	x.sensitive = r.says()
	if r.failed > 0 {
		o.log.Warn("sensitive fields of an answer do not open with the merchant's key; they stay encrypted",
			"request_id", x.id, "merchant", x.merchant.Name, "endpoint", x.endpoint.Label(), "failed", r.failed, "opened", r.opened)
	}
	return body, nil
}

// decryptFields opens the texts that are encrypted once more inside the resource
// of a notify. One that does not open never holds the notify up.
func (n *Notify) decryptFields(x *callback, route *Route) {
	if route.FieldsAlone || route.Body == BodyRaw {
		return
	}
	x.opened.decryptFields(x.id, x.event.Sensitive, n.metrics, n.log)
}

// decryptFields does so for whoever asked, by the request id.
func (n *opened) decryptFields(id string, paths *jsonedit.Paths, metrics *Metrics, log *slog.Logger) {
	if paths == nil {
		return
	}
	var r revealed
	n.resource, r = reveal(n.resource, paths, n.merchant.PrivateKey().Decrypters)
	r.count(metrics, n.merchant.Name, fieldsOfNotify)
	n.sensitive = r.says()
	if r.failed > 0 {
		log.Warn("sensitive fields of a notify do not open with the merchant's key; they stay encrypted",
			"request_id", id, "merchant", n.merchant.Name, "event_id", outside(n.envelope.ID), "failed", r.failed, "opened", r.opened)
	}
}
