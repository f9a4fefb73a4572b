package proxy

import (
	"log/slog"
	"net/http"
)

// record writes the one log line of a call and counts it. Neither holds a
// path, a query or a body: they have openids and names in them.
func (o *Outbound) record(r *http.Request, x *exchange, f *failure) {
	took := o.now().Sub(x.start)
	outcome, status := x.verified, 0
	if outcome == verifiedFalse {
		outcome = "unverified"
	}
	if outcome == verifiedTrue {
		outcome = "verified"
	}
	if x.answer != nil {
		status = x.answer.StatusCode
	}
	if x.local != 0 {
		outcome, status = "local", x.local
	}
	if f != nil {
		outcome, status = string(f.reason), f.status()
	}
	label, merchant, caller := "none", "none", "none"
	if x.endpoint != nil {
		label = x.endpoint.Label()
	}
	if x.merchant != nil {
		merchant = x.merchant.Name
	}
	if x.caller != nil {
		caller = x.caller.Name
	}
	o.metrics.outbound(merchant, label, outcome, status, took)
	attrs := []any{
		slog.String("request_id", x.id), slog.String("caller", caller), slog.String("merchant", merchant),
		slog.String("method", outside(r.Method)), slog.String("endpoint", label), slog.Int("status", status),
		slog.String("outcome", outcome), slog.Int("attempts", x.attempts), slog.Duration("dur", took),
	}
	if x.number != "" {
		attrs = append(attrs, slog.String(x.endpoint.IdempotencyKey, x.number))
	}
	if x.hints != "" {
		attrs = append(attrs, slog.String("hints", x.hints))
	}
	if x.answer != nil {
		attrs = append(attrs, slog.String("wechat_request_id", outside(x.answer.Header.Get("Request-Id"))))
	}
	switch {
	case f == nil:
		o.log.Info("outbound call", attrs...)
	case f.cause != nil:
		o.log.Warn("outbound call", append(attrs, slog.String("error", outsideError(f)))...)
	default:
		o.log.Warn("outbound call", append(attrs, slog.String("error", f.message))...)
	}
}

// record writes the one log line of a notify and counts it. What is not
// verified is said by strangers: only its form was checked.
func (n *Notify) record(x *callback, got result) {
	merchant, event := "none", "none"
	attrs := []any{
		slog.String("request_id", x.id), slog.String("source", x.source.String()),
		slog.String("outcome", string(got.outcome)), slog.Duration("dur", n.now().Sub(x.start)),
	}
	if x.stamp.Serial != "" {
		attrs = append(attrs, slog.String("serial", x.stamp.Serial))
	}
	if x.opened != nil {
		merchant, event = x.opened.merchant.Name, "other"
		if x.event.TitleZh != "" { // a type that the table knows
			event = x.event.Type
		}
		attrs = append(attrs, slog.String("merchant", merchant),
			slog.String("event_type", outside(x.opened.envelope.EventType)), slog.String("event_id", outside(x.opened.envelope.ID)))
	}
	if got.cause != nil {
		attrs = append(attrs, slog.String("error", outsideError(got.cause)))
	}
	n.metrics.notify(merchant, event, string(got.outcome))
	switch got.outcome {
	case outcomeDelivered, outcomeDuplicate, outcomeProbe, outcomeNotFound:
		n.log.Info("notify", attrs...)
	case outcomeDecrypt, outcomeCipher, outcomeMerchant, outcomeEnvelope:
		n.log.Error("notify", attrs...) // genuine, and yet unusable: money waits
	default:
		n.log.Warn("notify", attrs...)
	}
}

// outsideError bounds an error that may quote a peer.
func outsideError(err error) string {
	s := err.Error()
	if len(s) > 512 {
		s = s[:512]
	}
	return s
}
