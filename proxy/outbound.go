package proxy

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/wxproxy/wxproxy/internal/endpoint"
	"github.com/wxproxy/wxproxy/internal/wire"
	"github.com/wxproxy/wxproxy/signer"
)

// Limits bound what one request, and all of them together, may hold.
type Limits struct {
	Request  int64 // bytes of the app's body
	Response int64 // bytes of an answer that has to be verified
	InFlight int64 // bytes of all bodies held at one time
	// EncryptedBill bounds, in bytes, an encrypted file that is decrypted here,
	// which takes it whole. Zero: 32 MiB.
	EncryptedBill int64
}

// OutboundOptions makes an Outbound.
type OutboundOptions struct {
	Merchants []*Merchant
	Callers   []*Caller // empty: everyone who reaches the port
	Table     *endpoint.Table
	Upstream  *Upstream
	Hosts     []string // names that are ours besides loopback, without port
	Limits    Limits
	Rate      Rate            // of all calls of a merchant
	Rates     map[string]Rate // of its calls by the endpoint's rate family
	Hints     Hints           // about bodies that WeChat Pay would refuse
	// NotifyURLs by merchant alias stand in for those that bodies leave out; a
	// merchant without one has none filled in.
	NotifyURLs map[string]string
	// NotifyAddresses by merchant alias are all URLs whose notifies reach us; of
	// a merchant without any nothing is known.
	NotifyAddresses map[string][]string
	Timeout         time.Duration    // of a whole call with its repeat; zero: 30 s
	Now             func() time.Time // nil: time.Now
	Log             *slog.Logger     // nil: none
	Metrics         *Metrics         // nil: none
}

// Outbound is the face to the app.
type Outbound struct {
	merchants  directory
	callers    []*Caller
	everyone   *Caller // where no callers are configured, else nil
	table      *endpoint.Table
	upstream   *Upstream
	hosts      map[string]struct{} // names that are ours
	groups     map[string]string   // of upstreams, by the host name that a call is for
	limits     Limits
	inFlight   *budget
	rates      rates
	timeout    time.Duration
	now        func() time.Time
	log        *slog.Logger
	metrics    *Metrics
	hints      Hints
	notifyURLs map[string]string
	ourURLs    map[string][]string // NotifyAddresses, as plainURL writes them
}

// Listener is what an Outbound needs to know of where a request came in.
type Listener struct {
	Merchant string // alias; empty: none is preset
	Unix     bool   // a Unix socket, which no browser reaches
}

// NewOutbound checks the options and starts nothing.
func NewOutbound(o OutboundOptions) (*Outbound, error) {
	if len(o.Merchants) == 0 || o.Table == nil || o.Upstream == nil {
		return nil, errors.New("outbound: merchants, table and upstream are required")
	}
	if o.Limits.Request <= 0 || o.Limits.Response <= 0 || o.Limits.InFlight <= 0 {
		return nil, errors.New("outbound: limits must be positive")
	}
	if err := checkGrants(o.Callers); err != nil {
		return nil, err
	}
	if o.Limits.EncryptedBill == 0 {
		o.Limits.EncryptedBill = 32 << 20
	}
	o.Limits.EncryptedBill = min(o.Limits.EncryptedBill, o.Limits.InFlight)
	if o.Timeout == 0 {
		o.Timeout = 30 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	merchants, err := newDirectory(o.Merchants)
	if err != nil {
		return nil, err
	}
	out := &Outbound{
		merchants: merchants, table: o.Table, upstream: o.Upstream,
		hosts: make(map[string]struct{}), limits: o.Limits, inFlight: newBudget(o.Limits.InFlight),
		rates: rates{all: o.Rate, families: o.Rates}, timeout: o.Timeout, now: o.Now, log: o.Log, metrics: o.Metrics, hints: o.Hints, notifyURLs: o.NotifyURLs,
		ourURLs: plainURLs(o.NotifyAddresses),
	}
	if len(o.Callers) == 0 {
		out.everyone = everyone().grant(merchants)
	}
	for _, c := range o.Callers {
		out.callers = append(out.callers, c.grant(merchants))
	}
	for _, h := range o.Hosts {
		out.hosts[strings.ToLower(h)] = struct{}{}
	}
	if out.groups, err = groupsByHost(o.Upstream, o.Merchants); err != nil {
		return nil, err
	}
	return out, nil
}

// Handler serves one listener.
func (o *Outbound) Handler(l Listener) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { o.serve(w, r, l) })
}

// serve walks one request through: admit, choose, read, send, verify, answer.
func (o *Outbound) serve(w http.ResponseWriter, r *http.Request, l Listener) {
	x := &exchange{id: rand.Text(), start: o.now(), read: r.Body == http.NoBody}
	x.began = x.start
	w.Header().Set(headerRequestID, x.id)
	limitWrite(w, x.start.Add(o.timeout)) // the last request's on this connection may have passed
	if isLocal(r) {
		limitRead(w, x.start.Add(o.timeout))
		o.serveLocal(w, r, l, x)
		return
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	x.watch = &watchdog{timer: time.AfterFunc(o.timeout, func() { cancel(context.DeadlineExceeded) }), limit: o.timeout}
	defer x.watch.stop()
	defer func() {
		o.giveAnswer(x, 0)
		o.inFlight.give(x.held)
	}()
	defer x.stopUpload()
	defer x.closeAnswer()
	limitRead(w, x.start.Add(o.timeout)) // net/http reads on after a refusal, too
	f := o.prepareAndSend(ctx, w, r, l, x)
	if f == nil {
		f = o.respond(ctx, w, x)
	} else {
		x.stopUpload()
		o.writeFailure(w, x, f)
	}
	o.record(r, x, f)
	if x.isForm && !x.read {
		o.linger(w, r)
	}
	if f != nil && x.streaming {
		breakOff(w)
	}
}

// prepareAndSend does all that comes before WeChat Pay's answer.
func (o *Outbound) prepareAndSend(ctx context.Context, w http.ResponseWriter, r *http.Request, l Listener, x *exchange) *failure {
	var f *failure
	if x.caller, x.target, f = o.admit(r, l); f != nil {
		return f
	}
	x.endpoint = o.table.Lookup(r.Method, x.target.Path)
	if f = o.checkDownload(w, r, x); f != nil {
		return f
	}
	if x.merchant, f = o.choose(r, x.caller, l, wire.SchemeOf(x.target.Path), linkedMerchant(x)); f != nil {
		return f
	}
	x.group = o.groupOf(r, x.merchant)
	x.untouched, x.fieldsAlone, x.base = wantsUntouched(r.Header), wantsFieldsAlone(r.Header), callerBase(r)
	if x.decrypt, f = wantsDecrypted(r.Header); f != nil {
		return f
	}
	d := &draft{header: requestHeaders(r.Header), target: x.target}
	if f = o.readDraft(w, r, x, d); f != nil {
		return f
	}
	if f = o.prepare(x, d); f != nil {
		return f
	}
	if f = o.readRest(x, d); f != nil {
		return f
	}
	if x.isForm {
		x.began = o.now() // an upload may take its time to come
	}
	if f = o.waitForRate(ctx, x); f != nil {
		return f
	}
	if x.key = x.merchant.PrivateKey(); x.key.Signer == nil { // after the wait, in which it may change
		return fail(ReasonKeyUnavailable, "no key is loaded for merchant %s; see /readyz on the admin port", x.merchant.Name)
	}
	return o.ask(ctx, x, &Call{
		Method: r.Method, Target: d.target, Header: d.header, Body: d.body, Signed: d.signed, upload: d.upload,
		Signer: x.key.Signer, Group: x.group, Repeatable: x.mayRepeat(),
	})
}

// timeLeft is what of outbound.timeout the call still has.
func (o *Outbound) timeLeft(x *exchange) time.Duration { return o.timeout - o.now().Sub(x.began) }

// waitForRate holds a call back until its merchant's rates let it go, or says
// 429 at once when that is after the deadline.
func (o *Outbound) waitForRate(ctx context.Context, x *exchange) *failure {
	key, err := o.rates.wait(ctx, x.merchant.Name, x.endpoint.Family, o.timeLeft(x))
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled):
		return fail(reasonClientGone, "the caller went away").because(err)
	default:
		return fail(ReasonRateLimited, "%s of merchant %s is used up", key, x.merchant.Name).because(err)
	}
}

// send makes one attempt.
func (o *Outbound) send(ctx context.Context, x *exchange, t *tries) *failure {
	answer, err := t.next(ctx)
	x.answer, x.attempts = answer, t.made
	if err == nil {
		x.sent = true
		o.metrics.clockSkew(answer.Header.Get("Date"), o.now())
		return nil
	}
	upload := t.call.upload
	whole := upload == nil || upload.whole()
	if !whole {
		if f := o.uploadFailure(upload); f != nil {
			return f
		}
	}
	switch {
	case errors.Is(err, context.Canceled):
		x.sent = whole
		return fail(reasonClientGone, "the caller went away").because(err)
	case errors.Is(err, ErrUnreachable):
		said := "nothing was sent"
		if x.before != "" {
			said = "the attempt before: " + x.before
		}
		return fail(ReasonUnreachable, "%v; %s; check the network, outbound.upstreams and any firewall", ErrUnreachable, said).because(err)
	case errors.Is(err, ErrTimeout), errors.Is(err, context.DeadlineExceeded):
		x.sent = whole
		return fail(ReasonTimeout, "%v (outbound.timeout is %s)", ErrTimeout, o.timeout).because(err)
	case errors.Is(err, signer.ErrSigning):
		return fail(ReasonKeyUnavailable, "the key of merchant %s did not sign", x.merchant.Name).because(err)
	case errors.Is(err, ErrBroken):
		x.sent = whole
		return fail(ReasonBroken, "%v", ErrBroken).because(err)
	default:
		return fail(ReasonInternal, "the request could not be built").because(err)
	}
}

// writeFailure answers for ourselves. After a request that may have been
// executed it says so, with the reason as cause.
func (o *Outbound) writeFailure(w http.ResponseWriter, x *exchange, f *failure) {
	h := w.Header()
	if !x.read {
		h.Set("Connection", "close") // or net/http would read on before it sends the refusal
	}
	if x.merchant != nil {
		h.Set(headerMerchant, x.merchant.Name)
	}
	if x.hints != "" {
		h.Set(headerHint, x.hints)
	}
	if x.attempts > 0 {
		h.Set(headerAttempts, strconv.Itoa(x.attempts))
	}
	if (x.sent || x.doubt) && !x.endpoint.Repeatable {
		h.Set(headerCause, string(f.reason))
		f = f.unknownResult(x.endpoint.IdempotencyKey)
	}
	limitWrite(w, o.now().Add(o.timeout))
	f.write(w)
}

// limitRead gives a slow client until the deadline to send its body. Servers
// that cannot set deadlines are those of tests.
func limitRead(w http.ResponseWriter, deadline time.Time) {
	_ = http.NewResponseController(w).SetReadDeadline(deadline)
}
