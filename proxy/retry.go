package proxy

import (
	"context"
	"net/http"
	"strconv"
	"time"
)

// mayRepeat reports whether a second request can do no second thing: the table
// says so of the call, or of calls whose body has its idempotency key, which
// this one has.
func (x *exchange) mayRepeat() bool {
	return x.endpoint.Repeatable || x.endpoint.IdempotencyKey != "" && x.number != ""
}

// ask sends a call until there is an answer to hand on. What may not be
// repeated is sent again only if no connection came about.
func (o *Outbound) ask(ctx context.Context, x *exchange, c *Call) *failure {
	if f := o.reserveAnswer(x); f != nil {
		return f
	}
	t := o.upstream.try(c)
	t.deadline = o.upstream.now().Add(o.timeLeft(x))
	for {
		f := o.send(ctx, x, t)
		if f == nil {
			f = o.receive(ctx, x)
		}
		reason, after := whyRepeat(x, f)
		if reason == "" || ctx.Err() != nil || !t.again(ctx, after) || o.waitForRate(ctx, x) != nil {
			return f
		}
		if reason != string(ReasonUnreachable) {
			x.before = reason
		}
		x.forget()
		o.giveAnswer(x, min(x.answered, answerRoom))
		o.metrics.repeat(reason)
		if key := x.merchant.PrivateKey(); key.Signer != nil {
			x.key, c.Signer = key, key.Signer
		}
	}
}

// whyRepeat says what a repeat would mend, as a metric label, and how long
// WeChat Pay wants us to wait; empty: nothing that may be repeated.
func whyRepeat(x *exchange, f *failure) (reason string, after time.Duration) {
	switch {
	case f != nil && f.reason == ReasonUnreachable:
		return string(f.reason), 0
	case !x.mayRepeat():
		return "", 0
	case f == nil:
		return repeatedStatus(x.answer), retryAfter(x.answer.Header)
	}
	switch f.reason {
	case ReasonBroken, ReasonProbe, ReasonUnsigned, ReasonSignature:
		return string(f.reason), 0
	default: // it would be the same again, or there is no time left
		return "", 0
	}
}

// repeatedStatus is the status as a label if WeChat Pay may answer another one
// soon.
func repeatedStatus(answer *http.Response) string {
	switch answer.StatusCode {
	case http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return strconv.Itoa(answer.StatusCode)
	default:
		return ""
	}
}

// retryAfter reads the header Retry-After, in seconds or as a date.
func retryAfter(h http.Header) time.Duration {
	text := h.Get("Retry-After")
	if seconds, err := strconv.ParseUint(text, 10, 16); err == nil {
		return time.Duration(seconds) * time.Second
	}
	at, err := http.ParseTime(text)
	sent, dated := http.ParseTime(h.Get("Date"))
	if err != nil || dated != nil {
		return 0
	}
	return max(at.Sub(sent), 0)
}

// forget drops an answer that will be asked for again. Whether its call was
// executed is unknown from now on, unless the status says that it was not.
func (x *exchange) forget() {
	x.closeAnswer()
	executed := x.sent
	if x.answer != nil && x.verified != "" {
		executed = x.answer.StatusCode >= 500 || x.endpoint.MayHaveExecuted(x.answer.StatusCode)
	}
	x.doubt = x.doubt || executed
	x.answer, x.body, x.verified, x.sent = nil, nil, "", false
}

// unknown reports whether an answer leaves open what became of the call: for
// itself, or because an attempt before it may have been executed.
func (x *exchange) unknown() bool {
	status := x.answer.StatusCode
	return x.endpoint.MayHaveExecuted(status) || x.doubt && status >= 400 && !x.endpoint.Repeatable
}
