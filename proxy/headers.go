package proxy

import (
	"maps"
	"net/http"
	"net/textproto"
	"strings"
)

// Headers of ours. What comes in under these names from outside is dropped
// before ours are set, in all four directions.
const (
	headerError     = "Wxproxy-Error"
	headerCause     = "Wxproxy-Cause"
	headerResult    = "Wxproxy-Result"
	headerRewrite   = "Wxproxy-Rewrite"
	headerRewritten = "Wxproxy-Rewritten"
	headerSensitive = "Wxproxy-Sensitive"
	headerChecked   = "Wxproxy-Checked"
	headerDecrypt   = "Wxproxy-Decrypt"
	headerVerified  = "Wxproxy-Verified"
	headerMerchant  = "Wxproxy-Merchant"
	headerAttempts  = "Wxproxy-Attempts"
	headerRequestID = "Wxproxy-Request-Id"
	headerToken     = "Wxproxy-Token"
	headerHint      = "Wxproxy-Hint"
	headerEventID   = "Wxproxy-Event-Id"
	headerEventType = "Wxproxy-Event-Type"
)

// hopHeaders belong to one connection and are never handed on.
var hopHeaders = []string{
	"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection",
	"Te", "Trailer", "Transfer-Encoding", "Upgrade", "Expect",
}

// dropHop removes the headers of one connection, those that its Connection
// header names among them.
func dropHop(h http.Header) {
	for _, v := range h["Connection"] {
		for name := range strings.SplitSeq(v, ",") {
			delete(h, textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name)))
		}
	}
	for _, name := range hopHeaders {
		delete(h, name)
	}
}

// dropOurs removes every header in which only wxproxy may speak.
func dropOurs(h http.Header) {
	for name := range h {
		if lower := strings.ToLower(name); strings.HasPrefix(lower, "wxproxy-") || strings.HasPrefix(lower, "webhook-") {
			delete(h, name)
		}
	}
	delete(h, "Idempotency-Key")
	delete(h, "X-Idempotency-Key") // to net/http it means that it may repeat a POST by itself
}

// requestHeaders is what of the app's headers goes to WeChat Pay. Its
// Authorization is dropped: an SDK with a throw-away key may stand in front.
// Accept-Encoding is ours, since the signature covers the uncompressed bytes.
func requestHeaders(in http.Header) http.Header {
	h := in.Clone()
	dropHop(h)
	dropOurs(h)
	for _, name := range []string{"Authorization", "Cookie", "Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip"} {
		delete(h, name)
	}
	h.Set("Accept-Encoding", "identity")
	if h.Get("Accept") == "" { // some endpoints answer 400 without it
		h.Set("Accept", "application/json, */*;q=0.5")
	}
	if h.Get("User-Agent") == "" { // likewise
		h.Set("User-Agent", userAgent)
	}
	return h
}

const userAgent = "wxproxy"

// answerHeaders copies what of WeChat Pay's headers goes to the app.
func answerHeaders(to, from http.Header) {
	h := from.Clone()
	dropHop(h)
	dropOurs(h)
	maps.Copy(to, h)
}
