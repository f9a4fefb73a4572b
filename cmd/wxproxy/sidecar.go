package main

import (
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/wxproxy/wxproxy/certcache"
	"github.com/wxproxy/wxproxy/internal/config"
	"github.com/wxproxy/wxproxy/internal/endpoint"
	"github.com/wxproxy/wxproxy/internal/secret"
	"github.com/wxproxy/wxproxy/internal/vault"
	"github.com/wxproxy/wxproxy/proxy"
)

// sidecar is everything that serve runs, built from a config inner to outer.
type sidecar struct {
	cfg      *config.Config
	log      *slog.Logger
	reader   secret.Reader
	registry *prometheus.Registry
	metrics  *proxy.Metrics
	reloads  *prometheus.CounterVec

	table     *endpoint.Table
	upstream  *proxy.Upstream
	vault     *vault.Client // nil without
	patience  *patientVault // the same for those who read; nil without
	accounts  []*account
	fleet     *certcache.Fleet
	merchants []*proxy.Merchant // the accounts as both faces see them
	changes   atomic.Uint64     // of the keys that merchants trust
	outbound  *proxy.Outbound
	notify    *proxy.Notify // nil without routes
	live      []*secret.Live
	apps      []*appTransport
	watcher   *secret.Watcher
	doors     []door
	callback  callbackTLS
	draining  atomic.Bool
	quit      func()          // may be called often
	quitting  <-chan struct{} // closed by quit
}

// newSidecar builds everything and opens the listeners; Run serves. The error
// is for people: it names the key and what to do.
func newSidecar(ctx context.Context, cfg *config.Config, log *slog.Logger) (*sidecar, error) {
	quitting := make(chan struct{})
	s := &sidecar{
		cfg: cfg, log: log, reader: secret.Reader{Env: os.LookupEnv},
		quit: sync.OnceFunc(func() { close(quitting) }), quitting: quitting,
	}
	for _, step := range []func(context.Context) error{
		s.makeMetrics, s.makeTable, s.makeWatcher, s.makeUpstream, s.makeVault, s.makeAccounts, s.makeOutbound, s.makeNotify, s.openDoors, s.makeCallbackTLS,
	} {
		if err := step(ctx); err != nil {
			s.closeDoors()
			return nil, err
		}
	}
	if s.vault != nil {
		s.patience.end()
		s.vault.Forget()
	}
	return s, nil
}

func (s *sidecar) makeMetrics(context.Context) (err error) {
	s.registry = prometheus.NewRegistry()
	s.reloads = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "wxproxy_reloads_total", Help: "Reloads of keys and files by outcome; a failed one keeps the old keys.",
	}, []string{"outcome"})
	for _, c := range []prometheus.Collector{
		s.reloads, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		if err := s.registry.Register(c); err != nil {
			return err
		}
	}
	s.metrics, err = proxy.NewMetrics(s.registry)
	return err
}

func (s *sidecar) makeTable(context.Context) (err error) {
	var overrides []endpoint.Override
	for _, e := range s.cfg.Endpoints {
		overrides = append(overrides, endpoint.Override{
			Method: e.Method, Template: e.Path, Label: e.Label, Unsigned: e.Unsigned, IdempotencyKey: e.IdempotencyKey, Download: e.Download, Notify: e.NotifyURL,
			SensitiveOff: e.Sensitive == "off", SensitiveRequest: e.SensitiveRequest, SensitiveQuery: e.SensitiveQuery, SensitiveResponse: e.SensitiveResponse,
			FileUnchecked: e.FileDigest == "off", Family: e.RateFamily, Repeatable: e.Repeatable, Executed: e.Executed,
			Statement: e.Statement, Encrypted: e.Encrypted,
		})
	}
	s.table, err = endpoint.New(overrides)
	return err
}

// makeWatcher comes before any file is loaded, so that no change is missed.
func (s *sidecar) makeWatcher(context.Context) (err error) {
	s.watcher, err = secret.NewWatcher(watchedFiles(s.cfg), s.log)
	return err
}

func (s *sidecar) makeUpstream(context.Context) (err error) {
	o := proxy.UpstreamOptions{ConnectTimeout: s.cfg.Outbound.ConnectTimeout}
	if o.Bases, err = parseBases(s.cfg.Outbound.Upstreams); err != nil {
		return fmt.Errorf("outbound.upstreams: %w", err)
	}
	o.Groups = make(map[string][]*url.URL)
	for _, g := range s.cfg.Outbound.UpstreamGroups {
		if o.Groups[g.Name], err = parseBases(g.Upstreams); err != nil {
			return fmt.Errorf("outbound.upstream_groups, %s: %w", g.Name, err)
		}
	}
	if o.RootCAs, err = upstreamRoots(s.cfg); err != nil {
		return err
	}
	if s.upstream, err = proxy.NewUpstream(o); err != nil || s.registry == nil {
		return err
	}
	return s.registry.Register(s.upstream)
}

func parseBases(texts []string) (bases []*url.URL, err error) {
	for _, text := range texts {
		base, err := url.Parse(text)
		if err != nil {
			return nil, err
		}
		bases = append(bases, base)
	}
	return bases, nil
}

// upstreamRoots is nil where the system's certificates alone are trusted.
func upstreamRoots(cfg *config.Config) (*x509.CertPool, error) {
	if cfg.Outbound.UpstreamCA == "" {
		return nil, nil
	}
	system, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("outbound.upstream_ca: reading the system's certificates: %w", err)
	}
	pool, err := addCerts(system, cfg.Outbound.UpstreamCA)
	if err != nil {
		return nil, fmt.Errorf("outbound.upstream_ca: %w", err)
	}
	return pool, nil
}

// metricsHandler serves the registry.
func (s *sidecar) metricsHandler() http.Handler { return metricsHandler(s.registry) }
