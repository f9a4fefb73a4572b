package doorcert

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/wxproxy/wxproxy/internal/secret"
)

// ErrTerms: the user has not agreed to the authority's terms of service.
var ErrTerms = errors.New("the authority's terms of service are not agreed to")

// ACME is a Door whose certificates are obtained and renewed by itself.
type ACME struct {
	*Door

	manager *manager
}

// ACMEOptions says whom to ask for certificates, and how. Names of Options must
// be given.
type ACMEOptions struct {
	Directory     string         // URL
	TestDirectory string         // URL, tried after a failure until it succeeds; empty: none
	Roots         *x509.CertPool // who may sign the directories' certificates; nil: the system's
	Email         string         // empty: none
	TermsAgreed   bool
	EABKeyID      string       // empty: no external account binding
	EABKey        secret.Value // base64url, as the authority gave it
	KeyType       string       // p256, p384, rsa2048 or rsa4096; empty: p256
	Profile       string       // empty: the authority's choice

	// Storage is where accounts, keys and certificates are kept, and what
	// replicas lock each other out with.
	Storage certmagic.Storage

	// Listener is where handshakes for TLS-ALPN-01 arrive; nil: it is not used.
	Listener net.Addr
	// HTTPListener is where requests for HTTP-01 arrive and are handed to
	// ChallengeHandler; nil: it is not used.
	HTTPListener net.Addr
	// DNS solves DNS-01 instead of both; nil: it is not used.
	DNS acmez.Solver

	// RenewEvery and OCSPEvery are the time between looks at validity and
	// revocation. Zero: ten minutes.
	RenewEvery, OCSPEvery time.Duration
}

// NewACME checks the options; Run does the work. Until Run has looked into the
// storage, handshakes wait.
func NewACME(o Options, a ACMEOptions) (*ACME, error) {
	o.setDefaults()
	switch {
	case !a.TermsAgreed:
		return nil, ErrTerms
	case len(o.Names) == 0 || a.Storage == nil || a.Directory == "":
		return nil, errors.New("names, storage and directory are needed")
	case a.Listener == nil && a.HTTPListener == nil && a.DNS == nil:
		return nil, errors.New("no challenge can be answered: neither port 443 nor 80 is ours, nor the DNS")
	}
	if a.RenewEvery <= 0 {
		a.RenewEvery = certmagic.DefaultRenewCheckInterval
	}
	if a.OCSPEvery <= 0 {
		a.OCSPEvery = certmagic.DefaultRenewCheckInterval
	}
	m := &manager{
		opts: o, acme: a, zap: bridged(o.Log), loaded: make(chan struct{}), failures: make(map[string]string),
		orders: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wxproxy_tls_orders_total", Help: "Certificates ordered from the ACME authority, by outcome.",
		}, []string{"outcome"}),
	}
	d := newDoor(o, m)
	if a.Listener != nil {
		d.protos = append(d.protos, acmez.ACMETLS1Protocol)
	}
	return &ACME{d, m}, nil
}

// ChallengeHandler answers HTTP-01 challenges and nothing else.
func (a *ACME) ChallengeHandler() http.Handler { return http.HandlerFunc(a.manager.challenge) }

// manager is the source of ACME. certmagic does the work: it obtains, renews,
// staples, retries with growing pauses, and keeps replicas out of each other's
// way.
type manager struct {
	opts   Options
	acme   ACMEOptions
	zap    *zap.Logger
	orders *prometheus.CounterVec
	loaded chan struct{} // closed when the storage was looked into
	live   atomic.Pointer[work]

	mu sync.Mutex

	failures map[string]string // by name: why the last order failed, or was needed
}

// work is what certmagic has while Run runs.
type work struct {
	config *certmagic.Config
	cache  *certmagic.Cache
	http   *certmagic.ACMEIssuer // nil without HTTP-01
}

func (m *manager) get(hello *tls.ClientHelloInfo, _ string) (*tls.Certificate, error) {
	select {
	case <-m.loaded: // at once, but for the first moments
	case <-hello.Context().Done():
		return nil, hello.Context().Err()
	}
	w := m.live.Load()
	if w == nil {
		return nil, ErrNoCertificate
	}
	return w.config.GetCertificate(hello)
}

func (m *manager) names() []string { return m.opts.Names }

// leaf is the certificate of a name that lasts longest.
func (m *manager) leaf(name string) *x509.Certificate {
	w := m.live.Load()
	if w == nil {
		return nil
	}
	var best *x509.Certificate
	for _, c := range w.cache.AllMatchingCertificates(name) {
		if c.Leaf != nil && (best == nil || c.Leaf.NotAfter.After(best.NotAfter)) {
			best = c.Leaf
		}
	}
	return best
}

func (m *manager) problem(name string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.failures[name]
}

func (m *manager) challenge(w http.ResponseWriter, r *http.Request) {
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.Trim(host, "[]")) // an IPv6 address without a port keeps them
	live := m.live.Load()
	if live == nil || live.http == nil || !slices.Contains(m.opts.Names, host) || !live.http.HandleHTTPChallenge(w, r) {
		http.Error(w, "this port answers ACME challenges alone", http.StatusNotFound)
	}
}

// run owns certmagic's maintenance. Orders that are under way when ctx ends are
// cancelled, and give back their locks. Renewals end likewise, though nobody
// can wait for them: see ReleaseLocks.
func (m *manager) run(ctx context.Context) error {
	w := m.begin()
	defer m.live.Store(nil)
	defer w.stop()
	m.live.Store(w)
	missing := m.load(ctx, w)
	close(m.loaded)
	if err := w.cache.RenewManagedCertificates(ctx); err != nil {
		m.opts.Log.Error("looking at stored certificates", "error", err)
	}
	var obtaining errgroup.Group
	for _, name := range missing {
		obtaining.Go(func() error { m.obtain(ctx, w.config, name); return nil })
	}
	<-ctx.Done()
	return obtaining.Wait()
}

// load takes what the storage has and returns the names of which it has nothing
// that can be used.
func (m *manager) load(ctx context.Context, w *work) (missing []string) {
	for _, name := range m.opts.Names {
		if _, err := w.config.CacheManagedCertificate(ctx, name); err != nil {
			missing = append(missing, name) // obtain finds out why
		}
	}
	return missing
}

// giveUpPause is at most between two series of tries, each of which has its own
// growing pauses and may last a month. A storage that cannot be read is looked
// at as often as validity is.
const giveUpPause = time.Hour

// obtain gets the first certificate of a name, however long that takes.
func (m *manager) obtain(ctx context.Context, c *certmagic.Config, name string) {
	for ctx.Err() == nil {
		err := m.setAside(ctx, name)
		if err == nil {
			err = c.ObtainCertAsync(ctx, name) // waits, with retries
		}
		if err == nil {
			if _, err = c.CacheManagedCertificate(ctx, name); err == nil {
				m.note(name, "")
				return
			}
			err = fmt.Errorf("reading the stored certificate: %w", err)
		}
		m.fail(name, err)
		pause := time.NewTimer(min(giveUpPause, m.acme.RenewEvery))
		select {
		case <-ctx.Done():
			pause.Stop()
		case <-pause.C:
		}
	}
}

// event notes what came of an order.
func (m *manager) event(_ context.Context, event string, data map[string]any) error {
	name, _ := data["identifier"].(string)
	switch event {
	case "cert_obtained":
		m.note(name, "")
		m.orders.WithLabelValues("done").Inc()
		m.opts.Log.Info("callback certificate obtained", "name", name, "renewal", data["renewal"])
	case "cert_failed":
		err, _ := data["error"].(error)
		m.fail(name, err)
	case "cert_ocsp_revoked":
		m.opts.Log.Warn("callback certificate was revoked; a new one is ordered", "names", data["subjects"])
	}
	return nil
}

func (m *manager) fail(name string, err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	m.orders.WithLabelValues("failed").Inc()
	text := "the last order failed: " + advice(err)
	m.note(name, text)
	m.opts.Log.Error("callback certificate not obtained; it is tried again with growing pauses", "name", name, "problem", text)
}

// note keeps what is wrong with a name, and forgets it when nothing is.
func (m *manager) note(name, problem string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if problem == "" {
		delete(m.failures, name)
		return
	}
	m.failures[name] = problem
}

// Describe implements prometheus.Collector.
func (m *manager) Describe(to chan<- *prometheus.Desc) { m.orders.Describe(to) }

// Collect implements prometheus.Collector.
func (m *manager) Collect(to chan<- prometheus.Metric) { m.orders.Collect(to) }
