package proxy

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime"
	"sync"
	"time"

	"github.com/wxproxy/wxproxy/internal/endpoint"
	"github.com/wxproxy/wxproxy/internal/wire"
	"github.com/wxproxy/wxproxy/verifier"
)

const (
	// maxDeliveries bounds the deliveries in flight.
	maxDeliveries = 512
	// rememberedNotifies is how many taken notifies are told from new ones,
	// about 16 MB at most.
	rememberedNotifies = 100_000
	// defaultBudget is how long WeChat Pay waits (5 s), less the way back.
	defaultBudget = 4500 * time.Millisecond
	// defaultAppTimeout is how long a delivery may take in all.
	defaultAppTimeout = 30 * time.Second
)

// NotifyOptions makes a Notify.
type NotifyOptions struct {
	Merchants  []*Merchant
	Routes     []Route
	Table      *endpoint.Table
	Guard      Guard
	Limit      int64            // bytes of a notify; zero: 1 MiB
	AppTimeout time.Duration    // of one delivery, WeChat Pay answered or not; zero: 30 s
	Now        func() time.Time // nil: time.Now
	Log        *slog.Logger     // nil: none
	Metrics    *Metrics         // nil: none

	// KeyChanges counts the changes of what the merchants' Serials return.
	// With it a path of many merchants asks those only that may have verified
	// a notify. Nil: it asks each.
	KeyChanges func() uint64
	// Shared looks a serial number up that none of some merchants trusts, for
	// all of them, and may refresh for it. Nil: their NotifyKeys do, one after
	// the other.
	Shared func(merchants []string) verifier.Keys
}

// Notify is the face to WeChat Pay.
type Notify struct {
	paths      map[string]*entrance
	table      *endpoint.Table
	guard      *guard
	intake     *intake
	turns      *turns
	once       *once
	limit      int64
	appTimeout time.Duration
	now        func() time.Time
	log        *slog.Logger
	metrics    *Metrics

	life context.Context // of deliveries, which outlive the requests that began them
	end  context.CancelFunc

	mu         sync.Mutex
	closed     bool
	inFlight   int
	deliveries sync.WaitGroup
}

// NewNotify checks the options and starts nothing. Drain ends it.
func NewNotify(o NotifyOptions) (*Notify, error) {
	if len(o.Merchants) == 0 || len(o.Routes) == 0 || o.Table == nil {
		return nil, errors.New("notify: merchants, routes and table are required")
	}
	if o.Limit == 0 {
		o.Limit = 1 << 20
	}
	if o.AppTimeout == 0 {
		o.AppTimeout = defaultAppTimeout
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
	n := &Notify{
		table: o.Table, guard: newGuard(o.Guard, o.Now),
		// Half of the processors may verify what strangers claim to be notifies.
		intake: newIntake(max(maxArriving, 4*o.Limit)), turns: newTurns(max(1, runtime.GOMAXPROCS(0)/2)),
		once: newOnce(rememberedNotifies), limit: o.Limit, appTimeout: o.AppTimeout, now: o.Now, log: o.Log, metrics: o.Metrics,
	}
	var routes []*Route
	for _, r := range o.Routes {
		r.Body, r.Answer = cmp.Or(r.Body, BodyEnvelope), cmp.Or(r.Answer, AnswerByTable)
		if r.Client == nil {
			r.Client = NewAppClient(nil)
		}
		if err := r.check(); err != nil {
			return nil, err
		}
		routes = append(routes, &r)
	}
	n.paths = makeEntrances(merchants, routes)
	for path, e := range n.paths {
		if err := checkDistinctKeys(path, e.merchants); err != nil {
			return nil, err
		}
		e.changes = o.KeyChanges
		if o.Shared != nil && len(e.merchants) > 1 {
			e.shared = o.Shared(aliases(e.merchants))
		}
	}
	n.life, n.end = context.WithCancel(context.Background())
	return n, nil
}

func aliases(merchants []*Merchant) []string {
	names := make([]string, 0, len(merchants))
	for _, m := range merchants {
		names = append(names, m.Name)
	}
	return names
}

// callback is one notify on its way; the log line and the metrics are made
// from it.
type callback struct {
	id     string // request id of ours
	start  time.Time
	source netip.Addr
	inDebt bool // the source failed too often
	stamp  wire.Stamp
	opened *opened // nil before decryption
	event  endpoint.Event
	http1  bool      // so was it sent
	read   bool      // the body was read to its end
	slow   bool      // it had to make room for others before that
	until  time.Time // end of its family's budget, once that is known
}

// ServeHTTP walks one notify through: guard, verify, decrypt, deliver, answer.
func (n *Notify) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &callback{id: rand.Text(), start: n.now(), source: n.guard.source(r), http1: r.ProtoMajor == 1}
	limitWrite(w, x.start.Add(10*time.Second))
	limitRead(w, x.start.Add(defaultBudget)) // net/http reads on after a refusal, too
	got := n.handle(w, r, x)
	if got.outcome.charged() || x.slow {
		n.guard.charge(x.source)
	}
	n.answer(w, r, x, got)
	n.record(x, got)
}

// handle takes nothing that is scarce before the headers are looked at, and
// nothing that is shared with genuine notifies before the signature is.
func (n *Notify) handle(w http.ResponseWriter, r *http.Request, x *callback) result {
	e := n.paths[r.URL.EscapedPath()]
	switch {
	case e == nil:
		return result{outcome: outcomeNotFound}
	case r.Method != http.MethodPost:
		return result{outcome: outcomeMethod}
	case !n.guard.permits(x.source):
		return result{outcome: outcomeSource}
	}
	var err error
	if x.stamp, err = verifier.StampFor("", r.Header, n.now()); err != nil {
		return result{outcome: verifyOutcome(err), cause: err}
	}
	x.inDebt = n.guard.inDebt(x.source)
	ctx, cancel := context.WithDeadline(r.Context(), x.start.Add(defaultBudget))
	defer cancel()
	arriving, err := n.intake.begin(r.Header, x.inDebt, func() {
		cancel() // of a wait for keys
		limitRead(w, time.Unix(0, 0))
	})
	if err != nil {
		return result{outcome: outcomeCrowded, cause: err}
	}
	defer arriving.end()
	known, err := e.keys(ctx, x.stamp, !x.inDebt)
	if err != nil {
		if crowded := arriving.settle(); crowded != nil {
			return result{outcome: outcomeCrowded, cause: crowded}
		}
		return result{outcome: verifyOutcome(err), cause: err}
	}
	body, err := arriving.read(r.Body, r.ContentLength, n.limit)
	x.read = body != nil
	if err != nil {
		x.slow = !x.read && errors.Is(err, errCrowded)
		return result{outcome: bodyOutcome(err), cause: err}
	}
	limitRead(w, time.Time{}) // or net/http would take the deadline for WeChat Pay's going away
	verified, err := n.verify(ctx, x, known, body)
	if err != nil {
		return result{outcome: outcomeCrowded, cause: errCrowded}
	}
	arriving.end() // WeChat Pay may have the app take its time
	if len(verified) == 0 {
		return result{outcome: outcomeSignature, cause: verifier.ErrSignature}
	}
	return n.accept(r, x, e, body, verified)
}

// verify waits for its turn.
func (n *Notify) verify(ctx context.Context, x *callback, known []trust, body []byte) ([]*Merchant, error) {
	if err := n.turns.take(ctx, x.inDebt); err != nil {
		return nil, err
	}
	defer n.turns.give()
	return verifyKnown(known, x.stamp, body), nil
}

// accept decrypts and delivers a body that was verified.
func (n *Notify) accept(r *http.Request, x *callback, e *entrance, body []byte, verified []*Merchant) result {
	var err error
	if x.opened, err = open(verified, body, r.Header); err != nil {
		return result{outcome: openOutcome(err), cause: err}
	}
	x.event = n.table.Event(x.opened.envelope.EventType)
	route := routeFor(e.routes(x.opened.merchant), x.event.Type)
	if route == nil {
		return result{outcome: outcomeNoRoute}
	}
	x.event = route.event(x.event)
	n.decryptFields(x, route)
	x.until = x.start.Add(route.budget(x.event.Budget))
	within, cancel := context.WithDeadline(r.Context(), x.until)
	defer cancel()
	if x.event.Answer {
		return n.deliverNow(within, route, x.opened)
	}
	return n.deliverOnce(within, route, x.opened)
}

// event is the budget of a notify's family.
func (n *Notify) event(o *opened) time.Duration { return n.table.Event(o.envelope.EventType).Budget }

// answer tells WeChat Pay. Only what the app has taken is acknowledged.
func (n *Notify) answer(w http.ResponseWriter, r *http.Request, x *callback, got result) {
	if !x.read && x.http1 { // HTTP/2 would end the whole connection, and some clients then lose the answer
		w.Header().Set("Connection", "close") // or net/http would read on before it sends the refusal
	}
	if x.event.Answer && got.status != 0 {
		n.answerFromApp(w, r, x, got)
		return
	}
	if got.outcome == outcomeDelivered || got.outcome == outcomeDuplicate {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	reply := replies[got.outcome]
	if reply.status == 0 {
		reply.status, reply.sentence = http.StatusInternalServerError, sentenceLater
	}
	if reply.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", http.MethodPost)
	}
	writeJSON(w, reply.status, []byte(`{"code":"FAIL","message":"`+reply.sentence+`"}`))
}

// answerFromApp hands the app's status and body back, signed where the event
// family wants it, within what the app left of the budget.
func (n *Notify) answerFromApp(w http.ResponseWriter, r *http.Request, x *callback, got result) {
	if x.event.AnswerSigned {
		key := x.opened.merchant.PrivateKey().Signer
		if key == nil {
			writeJSON(w, http.StatusServiceUnavailable, []byte(`{"code":"FAIL","message":"`+sentenceLater+`"}`))
			return
		}
		within, cancel := context.WithDeadline(r.Context(), x.until)
		defer cancel()
		authorization, err := key.AnswerAuthorization(within, got.body)
		if err != nil {
			n.log.Error("signing the app's answer to a notify", "merchant", x.opened.merchant.Name, "error", err)
			writeJSON(w, http.StatusServiceUnavailable, []byte(`{"code":"FAIL","message":"`+sentenceLater+`"}`))
			return
		}
		w.Header().Set("Authorization", authorization)
	}
	writeJSON(w, got.status, got.body)
}
