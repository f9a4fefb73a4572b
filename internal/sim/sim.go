// Package sim is a simulated WeChat Pay for app developers and tests: it
// verifies requests as WeChat Pay does, keeps orders and refunds, signs its
// answers, sends encrypted, signed notifies on WeChat Pay's retry schedule,
// rotates its keys on command, and misbehaves on demand.
//
// It shares nothing with the code that it judges but the byte format of
// package wire and the event table: parsing of keys, signing and verifying are
// its own, with the standard library.
//
// No money moves and no key here is worth anything; still, the control API is
// for the same machine only, and the log holds no keys, no Authorization and no
// bodies.
package sim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/wxproxy/wxproxy/internal/endpoint"
)

// IdleTimeout is how long WeChat Pay keeps an idle connection. It is the
// server's to apply: http.Server.IdleTimeout.
const IdleTimeout = 8 * time.Second

// ErrOptions: a setting makes no sense.
var ErrOptions = errors.New("bad option")

// Options configures a simulator. The zero value works.
type Options struct {
	// Merchants that may call. Empty: one is generated.
	Merchants []Merchant
	// Count generates further merchants, up to so many in all, with
	// certificates and APIv3 keys of their own and one RSA key among them.
	Count int
	// Platform holds WeChat Pay's keys, the certificates from oldest to newest.
	// What is missing is generated: one certificate, one public key.
	Platform []PlatformKey
	// NewKey makes an RSA key. Nil: a fresh one of 2048 bits.
	NewKey func() (*Key, error)
	// Dir keeps the credentials between starts: those in it replace Merchants
	// and Platform, generated ones are written to it. Empty: they are not kept.
	Dir string

	// SpeedUp divides the delays between deliveries of a notify. 0 is 1, WeChat
	// Pay's own schedule.
	SpeedUp float64
	// AutoPay pays orders that long after they were made. 0: only on command.
	AutoPay time.Duration
	// RefundDelay is how long a refund is processed. 0: half a second;
	// negative: until a command.
	RefundDelay time.Duration
	// AllowRemoteNotify lets notifies leave this machine.
	AllowRemoteNotify bool
	// NotifyBase is where all notifies go, as in http://127.0.0.1:8443, whatever
	// host their notify_url names; its path stays. Empty: where notify_url says.
	NotifyBase string
	// UncheckedAnswers takes answers to notifies without looking at the
	// signature that some of them must have: for merchants whose certificate
	// is not known.
	UncheckedAnswers bool
	// PublicKeyOnly starts as a merchant without platform certificates.
	PublicKeyOnly bool

	// Client delivers notifies. Its redirect policy is replaced: WeChat Pay
	// follows none. Nil: one without environment proxies.
	Client *http.Client
	// Now is the clock that timestamps come from. Nil: the machine's.
	Now func() time.Time
	// Log gets a line for each request and delivery. Nil: none.
	Log *slog.Logger
}

// Sim is safe for concurrent use. Its notifies and refunds move only while Run
// runs.
type Sim struct {
	merchants []Merchant
	byMchID   map[string]*Merchant
	opts      Options
	now       func() time.Time
	log       *slog.Logger
	events    *endpoint.Table
	routes    []route

	platform *platform
	book     *book
	faults   *faults
	journal  *journal
	agenda   *agenda
	courier  *courier
}

// New prepares a simulator: it reads or makes the keys, and starts nothing.
func New(o Options) (*Sim, error) {
	s := &Sim{opts: o, now: o.Now, log: o.Log}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.opts.NewKey == nil {
		s.opts.NewKey = generateKey
	}
	if o.SpeedUp < 0 {
		return nil, fmt.Errorf("%w: speed-up %v is negative", ErrOptions, o.SpeedUp)
	}
	if err := checkNotifyBase(o.NotifyBase); err != nil {
		return nil, err
	}
	var err error
	if s.events, err = endpoint.New(nil); err != nil {
		return nil, err
	}
	if err := s.prepareKeys(); err != nil {
		return nil, err
	}
	s.routes = s.table()
	s.book = newBook()
	s.faults = newFaults()
	s.journal = newJournal()
	s.agenda = newAgenda()
	s.courier = newCourier(s)
	if o.PublicKeyOnly {
		if err := s.UsePublicKey(PublicKeyOnly, 100); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Handler serves the API under /v3/ and the control API under /_sim/.
func (s *Sim) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/_sim/", s.control())
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The mux would clean the paths of API requests, which are signed as
		// they are.
		if isControl(r.URL.Path) {
			mux.ServeHTTP(w, r)
			return
		}
		s.serveAPI(w, r)
	})
}

// Run delivers notifies and lets refunds succeed until ctx ends; then it waits
// for the deliveries in progress, at most 5 seconds. It is run once.
func (s *Sim) Run(ctx context.Context) error {
	if err := s.agenda.run(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// Merchants returns the merchants, generated ones included.
func (s *Sim) Merchants() []Merchant { return append([]Merchant(nil), s.merchants...) }

func (s *Sim) merchant(mchID string) *Merchant { return s.byMchID[mchID] }
