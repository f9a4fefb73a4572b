package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/time/rate"

	"github.com/wxproxy/wxproxy/certcache"
	"github.com/wxproxy/wxproxy/internal/config"
	"github.com/wxproxy/wxproxy/internal/endpoint"
	"github.com/wxproxy/wxproxy/internal/merchant"
	"github.com/wxproxy/wxproxy/internal/secret"
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

	table    *endpoint.Table
	upstream *proxy.Upstream
	accounts []*account
	outbound *proxy.Outbound
	notify   *proxy.Notify // nil without routes
	live     []*secret.Live
	apps     []*appTransport
	watcher  *secret.Watcher
	doors    []door
	draining atomic.Bool
}

// newSidecar builds everything and opens the listeners; Run serves. The error
// is for people: it names the key and what to do.
func newSidecar(ctx context.Context, cfg *config.Config, log *slog.Logger) (*sidecar, error) {
	s := &sidecar{cfg: cfg, log: log, reader: secret.Reader{Env: os.LookupEnv}}
	for _, step := range []func(context.Context) error{
		s.makeMetrics, s.makeTable, s.makeWatcher, s.makeUpstream, s.makeAccounts, s.makeOutbound, s.makeNotify, s.openDoors,
	} {
		if err := step(ctx); err != nil {
			s.closeDoors()
			return nil, err
		}
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
			Method: e.Method, Template: e.Path, Label: e.Label, Unsigned: e.Unsigned, IdempotencyKey: e.IdempotencyKey,
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
	for _, text := range s.cfg.Outbound.Upstreams {
		base, err := url.Parse(text)
		if err != nil {
			return fmt.Errorf("outbound.upstreams: %w", err)
		}
		o.Bases = append(o.Bases, base)
	}
	if s.cfg.Outbound.UpstreamCA != "" {
		system, err := x509.SystemCertPool()
		if err != nil {
			return fmt.Errorf("outbound.upstream_ca: reading the system's certificates: %w", err)
		}
		if o.RootCAs, err = addCerts(system, s.cfg.Outbound.UpstreamCA); err != nil {
			return fmt.Errorf("outbound.upstream_ca: %w", err)
		}
	}
	s.upstream, err = proxy.NewUpstream(o)
	return err
}

// makeAccounts loads every merchant and reports all that fail.
func (s *sidecar) makeAccounts(ctx context.Context) error {
	if dir := s.cfg.StateDir; dir != "" {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("state_dir: %w", err)
		}
	}
	var failed error
	var caches []*certcache.Cache
	var merchants []*merchant.Merchant
	for _, c := range s.cfg.Merchants {
		a, err := newAccount(ctx, c, s.cfg.StateDir, s.reader, s.upstream, s.log)
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		s.accounts = append(s.accounts, a)
		caches = append(caches, a.cache)
		merchants = append(merchants, a.Merchant)
	}
	if failed != nil {
		return failed
	}
	return errors.Join(
		s.registry.Register(certcache.NewCollector(caches...)),
		s.registry.Register(merchant.NewCollector(merchants...)))
}

func (s *sidecar) makeOutbound(ctx context.Context) (err error) {
	o := s.cfg.Outbound
	options := proxy.OutboundOptions{
		Merchants: s.proxied(), Table: s.table, Upstream: s.upstream, Hosts: ownHosts(o),
		Limits: proxy.Limits{Request: int64(o.Limits.Request), Response: int64(o.Limits.Response), InFlight: int64(o.Limits.InFlight)},
		Rate:   rate.Limit(o.Limits.Rate.PerSecond), Burst: o.Limits.Rate.Burst,
		Timeout: o.Timeout, Log: s.log, Metrics: s.metrics,
	}
	for _, c := range o.Callers {
		caller, err := s.caller(ctx, c)
		if err != nil {
			return fmt.Errorf("outbound.callers, %s: %w", c.Name, err)
		}
		options.Callers = append(options.Callers, caller)
	}
	s.outbound, err = proxy.NewOutbound(options)
	return err
}

// ownHosts are the names that the user gave us, and those that we listen on.
func ownHosts(o config.Outbound) []string {
	hosts := slices.Clone(o.Hosts)
	for _, l := range o.Listen {
		if network, where, err := config.ParseAddress(l.Address); err == nil && network == "tcp" {
			if host, _, err := net.SplitHostPort(where); err == nil && host != "" {
				hosts = append(hosts, host)
			}
		}
	}
	return hosts
}

func (s *sidecar) caller(ctx context.Context, c config.Caller) (*proxy.Caller, error) {
	caller := &proxy.Caller{Name: c.Name, Merchants: c.Merchants}
	if c.UID != nil {
		uid := uint32(*c.UID) //nolint:gosec // the config checks its range
		caller.UID = &uid
	}
	for _, text := range c.Allow {
		p, err := proxy.ParsePattern(text)
		if err != nil {
			return nil, err
		}
		caller.Allow = append(caller.Allow, p)
	}
	var err error
	caller.Token, err = s.secret(ctx, c.Token, nil)
	return caller, err
}

// secret loads a secret that is reloaded with the keys; nil for no reference.
func (s *sidecar) secret(ctx context.Context, ref secret.Ref, check func(secret.Value) error) (func() secret.Value, error) {
	if ref.IsZero() {
		return nil, nil
	}
	l, err := secret.NewLive(ctx, &s.reader, ref, check)
	if err != nil {
		return nil, err
	}
	s.live = append(s.live, l)
	return l.Current, nil
}

func (s *sidecar) makeNotify(ctx context.Context) (err error) {
	c := s.cfg.Notify
	if len(c.Routes) == 0 {
		return nil
	}
	options := proxy.NotifyOptions{
		Merchants: s.proxied(), Table: s.table, Limit: int64(c.Limit), Log: s.log, Metrics: s.metrics,
		Guard: proxy.Guard{
			Sources: c.SourceIPs, TrustedProxies: c.TrustedProxies,
			Rate: rate.Limit(c.Rate.PerSecond), Burst: c.Rate.Burst,
			FailureRate: rate.Limit(c.Failures.PerSecond), FailureBurst: c.Failures.Burst,
		},
	}
	for i, r := range c.Routes {
		route, err := s.route(ctx, r)
		if err != nil {
			return fmt.Errorf("notify.routes[%d] (%s): %w", i, r.Path, err)
		}
		options.Routes = append(options.Routes, route)
	}
	s.notify, err = proxy.NewNotify(options)
	return err
}

func (s *sidecar) route(ctx context.Context, r config.Route) (proxy.Route, error) {
	client, transport, err := appClient(ctx, r.ClientTLS, s.reader)
	if err != nil {
		return proxy.Route{}, err
	}
	if transport != nil {
		s.apps = append(s.apps, transport)
	}
	key, err := s.secret(ctx, r.WebhookSecret, proxy.CheckWebhookSecret)
	if err != nil {
		return proxy.Route{}, err
	}
	return proxy.Route{
		Path: r.Path, Merchants: s.cfg.MerchantsOf(r), Events: r.Events, To: r.To,
		Body: proxy.BodyForm(r.Body), Timeout: r.Timeout, Secret: key, Client: client,
	}, nil
}

func (s *sidecar) proxied() []*proxy.Merchant {
	list := make([]*proxy.Merchant, 0, len(s.accounts))
	for _, a := range s.accounts {
		list = append(list, a.proxied())
	}
	return list
}

// reload loads every key and file anew. What fails keeps its old value, and
// the error names each.
func (s *sidecar) reload(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var failed error
	for _, a := range s.accounts {
		failed = errors.Join(failed, a.Reload(ctx))
	}
	for _, l := range s.live {
		failed = errors.Join(failed, l.Reload(ctx, &s.reader))
	}
	for _, t := range s.apps {
		failed = errors.Join(failed, t.reload(ctx, s.reader))
	}
	if failed != nil {
		s.reloads.WithLabelValues("failed").Inc()
		s.log.Error("reload failed in part; the old keys stay in use", "error", failed)
		return failed
	}
	s.reloads.WithLabelValues("done").Inc()
	s.log.Info("keys and files reloaded")
	return nil
}

// metricsHandler serves the registry.
func (s *sidecar) metricsHandler() http.Handler { return metricsHandler(s.registry) }
