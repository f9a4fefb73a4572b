package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// maxAppAnswer bounds what is read of the app's answer, in bytes.
const maxAppAnswer = 64 << 10

var errAppAnswerTooLarge = fmt.Errorf("the app's answer is larger than %d bytes", maxAppAnswer)

// deliver hands a notify to the app once and reports what the app said.
func (n *Notify) deliver(ctx context.Context, route *Route, o *opened) result {
	start := n.now()
	n.metrics.inFlight(1)
	defer func() {
		n.metrics.inFlight(-1)
		n.metrics.app(n.now().Sub(start))
	}()
	r, err := n.appRequest(ctx, route, o)
	if err != nil {
		return result{outcome: outcomeEnvelope, cause: err}
	}
	answer, err := route.Client.Do(r)
	if named, ok := errors.AsType[*url.Error](err); ok && !errors.Is(err, errRedirect) {
		err = named.Err // without the app's URL, which may have a secret in its query
	}
	switch {
	case errors.Is(err, errRedirect):
		if answer != nil {
			_ = answer.Body.Close()
		}
		return result{outcome: outcomeAppRefused, cause: errRedirect}
	case err != nil && ctx.Err() != nil:
		return result{outcome: outcomeAppTimeout, cause: err}
	case err != nil:
		return result{outcome: outcomeUnreachable, cause: err}
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAppAnswer+1))
	switch {
	case err != nil && ctx.Err() != nil:
		return result{outcome: outcomeAppTimeout, cause: err}
	case err != nil:
		// The status line came, but not all that it promised: the app may have
		// died in the middle of taking the notify. Nor may half an answer go
		// back to WeChat Pay, signed perhaps.
		return result{outcome: outcomeUnreachable, cause: err}
	case len(body) > maxAppAnswer:
		return result{outcome: outcomeAppRefused, cause: errAppAnswerTooLarge}
	case !isSuccess(answer.StatusCode):
		return result{outcome: outcomeAppRefused, status: answer.StatusCode, body: body, cause: fmt.Errorf("the app answered %d", answer.StatusCode)}
	default:
		return result{outcome: outcomeDelivered, status: answer.StatusCode, body: body}
	}
}

// deliverNow delivers, each time anew, what WeChat Pay wants the app's own
// answer to. Drain waits for it and cuts it off like any other delivery.
func (n *Notify) deliverNow(ctx context.Context, route *Route, o *opened) result {
	if refused := n.acquire(); refused != "" {
		return result{outcome: refused}
	}
	defer n.release()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(n.life, cancel)()
	return n.deliver(ctx, route, o)
}

func (n *Notify) appRequest(ctx context.Context, route *Route, o *opened) (*http.Request, error) {
	body, contentType, err := o.payload(route.Body)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, route.To, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header = o.headers(route.Body, contentType)
	if route.Secret != nil {
		if err := signWebhook(r.Header, route.Secret(), o.idempotencyKey(), n.now(), body); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// deliverOnce delivers unless the app has taken the notify before or is about
// to. It waits until the budget's end; the delivery itself may take longer, so
// that a late yes is remembered.
func (n *Notify) deliverOnce(ctx context.Context, route *Route, o *opened) result {
	key := notifyKey{o.merchant.Name, o.envelope.ID}
	d, taken, pending := n.once.begin(key)
	if taken {
		return result{outcome: outcomeDuplicate}
	}
	if !pending {
		n.start(key, d, route, o)
	}
	select {
	case <-d.done:
		if pending && d.result.outcome == outcomeDelivered {
			return result{outcome: outcomeDuplicate}
		}
		return d.result
	case <-ctx.Done():
		return result{outcome: outcomeAppTimeout, cause: context.Cause(ctx)}
	}
}

// start runs a delivery in a goroutine that Drain waits for. It is not bound
// to WeChat Pay's connection.
func (n *Notify) start(key notifyKey, d *delivery, route *Route, o *opened) {
	if refused := n.acquire(); refused != "" {
		n.once.finish(key, d, result{outcome: refused})
		return
	}
	go func() {
		defer n.release()
		ctx, cancel := context.WithTimeout(n.life, n.appTimeout)
		defer cancel()
		begun := n.now()
		r := n.deliver(ctx, route, o)
		n.once.finish(key, d, r)
		if took := n.now().Sub(begun); r.outcome == outcomeDelivered && took > route.budget(n.event(o)) {
			n.log.Warn("the app took a notify late; WeChat Pay will send it again and be told it is taken",
				"merchant", o.merchant.Name, "event_id", outside(o.envelope.ID), "dur", took)
		}
	}()
}

// acquire takes a place among the deliveries in flight and one from the rate,
// unless they are used up or the notify face is shutting down: then it says
// which.
func (n *Notify) acquire() (refused outcome) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.closed || n.inFlight >= maxDeliveries:
		return outcomeBusy
	case !n.guard.admit():
		return outcomeRate
	}
	n.inFlight++
	n.deliveries.Add(1)
	return ""
}

func (n *Notify) release() {
	n.mu.Lock()
	n.inFlight--
	n.mu.Unlock()
	n.deliveries.Done()
}

// Drain takes no new deliveries and waits for those in flight until ctx ends;
// then it cuts them off, and WeChat Pay will send those notifies again.
func (n *Notify) Drain(ctx context.Context) error {
	n.mu.Lock()
	n.closed = true
	n.mu.Unlock()
	done := make(chan struct{})
	go func() { // ends with the last delivery, which n.end makes come
		n.deliveries.Wait()
		close(done)
	}()
	defer n.end()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		n.end()
		<-done
		return fmt.Errorf("notify: cut off deliveries that the app had not answered: %w", context.Cause(ctx))
	}
}

// budget is how long the app may take before WeChat Pay has to be answered.
func (r *Route) budget(family time.Duration) time.Duration {
	if r.Timeout > 0 && r.Timeout < family {
		return r.Timeout
	}
	return family
}
