package proxy

import (
	"net/http"
	"strings"

	"github.com/wxproxy/wxproxy/internal/wire"
)

// wantsUntouched reports whether the caller verifies answers for itself, or
// asks for their bytes as they came.
func wantsUntouched(h http.Header) bool {
	return strings.HasPrefix(h.Get("Authorization"), "WECHATPAY") || strings.EqualFold(h.Get(headerRewrite), "off")
}

// rewrite changes the body of a verified answer for the app, one step after the
// other. The signature then fits no longer, so it goes, and a header says so.
func (o *Outbound) rewrite(x *exchange, body []byte) ([]byte, *failure) {
	if x.untouched || x.verified != verifiedTrue || !isSuccess(x.answer.StatusCode) {
		return body, nil
	}
	changed := false
	for _, step := range []func(*exchange, []byte) ([]byte, *failure){
		o.rewriteLinks, // reads encrypt_key while it is a ciphertext
		o.decryptFields,
	} {
		after, f := step(x, body)
		if f != nil {
			return nil, f
		}
		changed = changed || string(after) != string(body)
		body = after
	}
	if changed {
		for _, name := range []string{wire.HeaderSignature, wire.HeaderTimestamp, wire.HeaderNonce, wire.HeaderSerial, wire.HeaderSignatureType} {
			x.answer.Header.Del(name)
		}
		x.rewritten = true
	}
	return body, nil
}
