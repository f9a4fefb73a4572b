package proxy

import (
	"context"
	"crypto"
	"io"
	"net/http"
	"time"

	"github.com/wxproxy/wxproxy/internal/endpoint"
	"github.com/wxproxy/wxproxy/internal/jsonedit"
	"github.com/wxproxy/wxproxy/internal/wire"
)

// Matches lets the tests of patterns see what a caller's allow list sees.
func (p Pattern) Matches(method, path string) bool { return p.matches(method, path) }

// Forget makes n remember only the last size notifies that were taken.
func (n *Notify) Forget(size int) { n.once = newOnce(size) }

// HeldBytes is how much of the in-flight budget is taken.
func (o *Outbound) HeldBytes() int64 { return o.inFlight.held.Load() }

// FillBudget takes what is left of the in-flight budget and returns how much.
func (o *Outbound) FillBudget() int64 {
	rest := o.inFlight.limit - o.inFlight.held.Load()
	o.inFlight.held.Add(rest)
	return rest
}

// GiveBudget gives back what FillBudget took.
func (o *Outbound) GiveBudget(n int64) { o.inFlight.give(n) }

// VerifyKnown is the check of a notify without refresh.
func VerifyKnown(candidates []*Merchant, stamp wire.Stamp, body []byte) []*Merchant {
	return verifyKnown((&entrance{merchants: candidates}).trusting(stamp), stamp, body)
}

// EncryptFields is the step of a request that does so, without HTTP around it.
func (o *Outbound) EncryptFields(e *endpoint.Endpoint, h http.Header, target wire.Target, body []byte) (wire.Target, []byte, error) {
	x := &exchange{merchant: o.merchants.all[0], endpoint: e}
	defer func() { o.inFlight.give(x.held) }()
	d := &draft{header: h, target: target, body: body, signed: body}
	if f := o.encryptFields(x, d); f != nil {
		return target, body, f
	}
	return d.target, d.body, nil
}

// Reveal decrypts the values of an answer or a resource.
func Reveal(text []byte, paths *jsonedit.Paths, key crypto.Decrypter) []byte {
	text, _ = reveal(text, paths, []crypto.Decrypter{key})
	return text
}

// Checked reads what of a file may be released; the last of it only when its
// hash is the one that was promised.
func Checked(from io.Reader, kind, sum string) (r io.Reader, end func()) {
	c := newChecked(from, promise{hash: kind, sum: sum})
	return c, c.close
}

// HeldBack is how much of a file waits for the hash, in bytes.
const HeldBack = heldBack

// BoundPairs bounds the pairs of merchant and endpoint that have labels.
func (m *Metrics) BoundPairs(n int64) { m.maxPairs = n }

// PassForm sends an upload through as a call would: read from r, promises as
// the table has them, meta changed by edit. It returns what goes out and the
// text that is signed.
func PassForm(r io.Reader, boundary string, table *endpoint.Table, edit func([]byte) []byte) (out, meta []byte, err error) {
	const limit = 16 << 20
	u := &upload{
		length: -1, stopped: make(chan struct{}),
		form: newUploadForm(&tape{from: r, budget: newBudget(4 * limit), limit: limit}, boundary, table.Promises),
	}
	if err := u.form.head(); err != nil {
		return nil, nil, err
	}
	if edit != nil {
		if err := u.setMeta(edit(u.form.meta)); err != nil {
			return nil, nil, err
		}
	}
	meta = u.form.meta
	out, err = io.ReadAll(attempt{upload: u})
	return out, meta, err
}

// Rates are the rates of merchants without HTTP around them.
type Rates struct{ rates rates }

// NewRates makes them.
func NewRates(all Rate, families map[string]Rate) *Rates {
	return &Rates{rates{all: all, families: families}}
}

// Wait holds back a call.
func (r *Rates) Wait(ctx context.Context, merchant, family string, within time.Duration) (string, error) {
	return r.rates.wait(ctx, merchant, family, within)
}

// Limiters is how many there are.
func (r *Rates) Limiters() (n int) {
	r.rates.limiters.Range(func(any, any) bool {
		n++
		return true
	})
	return n
}

// Intake bounds what is held of notifies that are not verified.
type Intake = intake

// NewIntake makes one of limit bytes.
func NewIntake(limit int64) *Intake { return newIntake(limit) }

// Begin lets a request without headers in.
func (in *intake) Begin(inDebt bool, stop func()) (*Arrival, error) {
	return in.begin(nil, inDebt, stop)
}

// Held is how many bytes are held in all.
func (in *intake) Held() int64 {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.held
}

// Arrival is one request in an Intake.
type Arrival = arrival

// Read reads a body.
func (a *arrival) Read(body io.Reader, length, limit int64) ([]byte, error) {
	return a.read(body, length, limit)
}

// Grow makes an arrival larger.
func (a *arrival) Grow(n int64) error { return a.grow(n) }

// Settle ends an arrival's sending.
func (a *arrival) Settle() error { return a.settle() }

// End ends an arrival.
func (a *arrival) End() { a.end() }

// What an Intake's users may hold, and why they are refused.
const (
	ArrivalCost  = arrivalCost
	SmallArrival = smallArrival
)

// Errors of an Intake.
var (
	ErrCrowded  = errCrowded
	ErrTooLarge = errTooLarge
)

// BoundArriving bounds, in bytes, what is held of notifies that are not
// verified.
func (n *Notify) BoundArriving(limit int64) { n.intake = newIntake(limit) }

// Turns are turns of verifying.
type Turns = turns

// NewTurns makes n of them.
func NewTurns(n int) *Turns { return newTurns(n) }

// Take waits for one.
func (t *turns) Take(ctx context.Context, inDebt bool) error { return t.take(ctx, inDebt) }

// Give gives one back.
func (t *turns) Give() { t.give() }

// Waiting is how many wait who are not in debt, and who are.
func (t *turns) Waiting() (others, inDebt int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.waiting[0]), len(t.waiting[1])
}

// LimitTurns lets n have only those turns.
func (n *Notify) LimitTurns(t *Turns) { n.turns = t }
