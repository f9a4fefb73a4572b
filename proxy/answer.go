package proxy

import (
	"context"
	"crypto/sha1" //nolint:gosec // WeChat Pay names statements by SHA-1 and signs that name
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/wxproxy/wxproxy/internal/wire"
	"github.com/wxproxy/wxproxy/verifier"
)

// What Wxproxy-Verified says.
const (
	verifiedTrue     = "true"     // the signature was checked
	verifiedUnsigned = "unsigned" // the table says such answers never are signed
	verifiedFalse    = "false"    // an error status without a valid signature
)

// receive reads WeChat Pay's answer and verifies it before anything else looks
// at it. Unsigned files are left to be streamed.
func (o *Outbound) receive(ctx context.Context, x *exchange) *failure {
	if x.answer.StatusCode < http.StatusOK { // net/http panics when told to send such a status
		return fail(ReasonBroken, "%v: status %d is no answer", ErrBroken, x.answer.StatusCode)
	}
	if x.upload != nil {
		x.read = x.upload.app.isRead()
	}
	if x.endpoint.Unsigned && isSuccess(x.answer.StatusCode) {
		x.verified = verifiedUnsigned
		return nil
	}
	err := o.readAnswer(ctx, x)
	x.stopUpload()
	if f := o.readFailure(ctx, err); f != nil {
		return f
	}
	return o.verify(ctx, x, x.body)
}

func (x *exchange) closeAnswer() {
	if x.answer != nil {
		_ = x.answer.Body.Close()
	}
}

// respond hands the answer to the app.
func (o *Outbound) respond(ctx context.Context, w http.ResponseWriter, x *exchange) *failure {
	if x.verified == verifiedUnsigned {
		return o.download(ctx, w, x)
	}
	body, f := o.rewrite(x, x.body)
	if f != nil {
		o.writeFailure(w, x, f)
		return f
	}
	o.writeHeader(w, x)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	if !bodyAllowed(x.answer.StatusCode) {
		w.Header().Del("Content-Length")
	}
	limitWrite(w, o.now().Add(o.timeout))
	w.WriteHeader(x.answer.StatusCode)
	if _, err := w.Write(body); err != nil && !errors.Is(err, http.ErrBodyNotAllowed) {
		return fail(reasonClientGone, "the answer could not be delivered").because(err)
	}
	return nil
}

func (o *Outbound) readFailure(ctx context.Context, err error) *failure {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errTooLarge):
		return fail(ReasonTooLarge, "the answer is larger than outbound.limits.response (%d bytes)", o.limits.Response).because(err)
	case errors.Is(context.Cause(ctx), context.Canceled):
		return fail(reasonClientGone, "the caller went away").because(err)
	case errors.Is(err, errBudget):
		return o.busy().because(err)
	case ctx.Err() != nil:
		return fail(ReasonTimeout, "%v (outbound.timeout is %s)", ErrTimeout, o.timeout).because(err)
	default:
		return fail(ReasonBroken, "%v in the middle of the answer", ErrBroken).because(err)
	}
}

// verify checks the answer over its raw bytes. Error statuses come unsigned
// and pass, marked; everything else must be signed, redirects too.
func (o *Outbound) verify(ctx context.Context, x *exchange, body []byte) *failure {
	err := o.checkSignature(ctx, x, body)
	serial := outside(x.answer.Header.Get(wire.HeaderSerial))
	switch {
	case err == nil:
		x.verified = verifiedTrue
		return nil
	case x.answer.StatusCode >= 400:
		x.verified = verifiedFalse
		return nil
	case errors.Is(err, verifier.ErrProbe):
		return fail(ReasonProbe, "WeChat Pay sent a signature probe (a wrong signature on purpose, to see that it is refused); repeat the call").because(err)
	case errors.Is(err, verifier.ErrUnsigned):
		return fail(ReasonUnsigned, "the answer (status %d) has no signature; is outbound.upstreams WeChat Pay, and does nothing in between strip headers?", x.answer.StatusCode).because(err)
	case errors.Is(err, verifier.ErrHeaders):
		return fail(ReasonSignature, "the answer's signature cannot be verified: %v", err).because(err)
	case errors.Is(err, verifier.ErrStale):
		return fail(ReasonStale, "the answer's %v", err).because(err)
	case errors.Is(err, verifier.ErrSerialUnknown):
		return fail(ReasonSerialUnknown, "the answer is signed with key %s, which merchant %s does not trust: %v",
			serial, x.merchant.Name, err).with("serial", serial).because(err)
	case errors.Is(err, verifier.ErrKeysUnavailable):
		return fail(ReasonKeysNotRefreshed, "the answer is signed with key %s, which is not known yet, and the platform certificates could not be refreshed",
			serial).with("serial", serial).because(err)
	default:
		return fail(ReasonSignature, "the answer's signature does not hold: the bytes were changed, or are not from WeChat Pay").because(err)
	}
}

func (o *Outbound) checkSignature(ctx context.Context, x *exchange, body []byte) error {
	stamp, err := verifier.StampFor(x.merchant.scheme(), x.answer.Header, o.now())
	if err != nil {
		return err
	}
	if x.answer.StatusCode >= 400 { // handed on either way: no refresh for its sake
		key, known := x.merchant.Find(stamp.Serial)
		if !known {
			return verifier.ErrSerialUnknown
		}
		return verifier.Check(key, stamp, body)
	}
	signed := body
	if x.endpoint.Statement && isSuccess(x.answer.StatusCode) {
		if signed, err = statementText(x.answer.Header, body); err != nil {
			return err
		}
	}
	return verifier.Verify(ctx, x.merchant.AnswerKeys, stamp, signed)
}

// statementText is what is signed of a statement: its SHA-1, as the header
// gives it, in a JSON text. The file itself must have that hash.
func statementText(h http.Header, body []byte) ([]byte, error) {
	promised := h.Get(wire.HeaderStatementSHA1)
	sum := sha1.Sum(body) //nolint:gosec // see the import
	if !strings.EqualFold(promised, hex.EncodeToString(sum[:])) {
		return nil, verifier.ErrSignature
	}
	return []byte(`{"sha1":"` + promised + `"}`), nil
}

func (o *Outbound) writeHeader(w http.ResponseWriter, x *exchange) {
	h := w.Header()
	answerHeaders(h, x.answer.Header)
	if !x.read {
		h.Set("Connection", "close") // answered before it had the whole upload
	}
	h.Set(headerRequestID, x.id)
	h.Set(headerVerified, x.verified)
	h.Set(headerMerchant, x.merchant.Name)
	h.Set(headerAttempts, strconv.Itoa(x.attempts))
	if x.hints != "" {
		h.Set(headerHint, x.hints)
	}
	if x.rewritten {
		h.Set(headerRewritten, "true")
	}
	if x.sensitive != "" {
		h.Set(headerSensitive, x.sensitive)
	}
	if x.checked != "" {
		h.Set(headerChecked, x.checked)
	}
	if x.encrypted {
		h.Set(headerDecrypt, "failed")
	}
	if x.unknown() {
		h.Set(headerResult, "unknown")
	}
}

func limitWrite(w http.ResponseWriter, deadline time.Time) {
	_ = http.NewResponseController(w).SetWriteDeadline(deadline)
}

func isSuccess(status int) bool { return status >= 200 && status < 300 }

func bodyAllowed(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}
