// Package wire is the APIv3 byte format: what is signed, how the headers that
// carry a signature read, how a notify is packed and sealed.
//
// It holds no keys and no state, knows nothing of HTTP connections, and
// imports the standard library only. Nothing else in the tree knows where a
// line feed goes.
package wire

import "strconv"

// Header names of APIv3, in their canonical form.
const (
	HeaderTimestamp     = "Wechatpay-Timestamp"
	HeaderNonce         = "Wechatpay-Nonce"
	HeaderSignature     = "Wechatpay-Signature"
	HeaderSerial        = "Wechatpay-Serial"
	HeaderSignatureType = "Wechatpay-Signature-Type"
	HeaderStatementSHA1 = "Wechatpay-Statement-Sha1"
	HeaderRequestID     = "Request-Id"
)

// ProbePrefix begins the signatures that WeChat Pay makes wrong on purpose, to
// find merchants that do not verify. Its presence is never a reason to accept
// anything; it only names the reason of the refusal.
const ProbePrefix = "WECHATPAY/SIGNTEST/"

// WindowSeconds is how far a timestamp may be from the clock: a message is
// stale when the difference reaches it (the official Go SDK refuses at >= 300).
const WindowSeconds = 300

// RequestMessage is what a request signature covers: method, request target as
// on the wire, timestamp, nonce and body, each ended by a line feed. An empty
// body leaves an empty last line.
func RequestMessage(method, target, timestamp, nonce string, body []byte) []byte {
	b := make([]byte, 0, len(method)+len(target)+len(timestamp)+len(nonce)+len(body)+5)
	b = append(append(b, method...), '\n')
	b = append(append(b, target...), '\n')
	b = append(append(b, timestamp...), '\n')
	b = append(append(b, nonce...), '\n')
	return append(append(b, body...), '\n')
}

// ResponseMessage is what the signature of an answer or a notify covers:
// timestamp, nonce and raw body, each ended by a line feed.
func ResponseMessage(timestamp, nonce string, body []byte) []byte {
	b := make([]byte, 0, len(timestamp)+len(nonce)+len(body)+3)
	b = append(append(b, timestamp...), '\n')
	b = append(append(b, nonce...), '\n')
	return append(append(b, body...), '\n')
}

// FormatTimestamp writes Unix seconds as the headers carry them.
func FormatTimestamp(unix int64) string { return strconv.FormatInt(unix, 10) }
