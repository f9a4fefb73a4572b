package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"github.com/wxproxy/wxproxy/internal/injector"
	"github.com/wxproxy/wxproxy/internal/secret"
)

// webhook is everything that wxproxy injector runs.
type webhook struct {
	log         *slog.Logger
	path        string // of the settings
	injector    *injector.Injector
	certificate *injector.Certificate
	cluster     *injector.Cluster // nil when nothing is asked of it
	registry    *prometheus.Registry
	metrics     *injector.Metrics
	watcher     *secret.Watcher
	known       atomic.Bool // whether the cluster's version is known
	native      atomic.Bool
	ending      atomic.Bool
	hook, admin net.Listener
}

func newWebhook(f *injectorFlags, s *injector.Settings, log *slog.Logger) (*webhook, error) {
	w := &webhook{log: log, path: f.settings, registry: prometheus.NewRegistry()}
	w.native.Store(f.native == "true")
	w.known.Store(f.native != "auto")
	for _, c := range []prometheus.Collector{collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})} {
		if err := w.registry.Register(c); err != nil {
			return nil, err
		}
	}
	var err error
	if w.metrics, err = injector.NewMetrics(w.registry); err != nil {
		return nil, err
	}
	if w.injector, err = injector.New(injector.Options{Settings: s, Native: w.native.Load, Log: log, Metrics: w.metrics}); err != nil {
		return nil, err
	}
	if f.secret != "" || f.native == "auto" {
		if w.cluster, err = injector.NewCluster(f.cluster); err != nil {
			return nil, err
		}
	}
	if w.certificate, err = w.makeCertificate(f); err != nil {
		return nil, err
	}
	if w.watcher, err = secret.NewWatcher([]string{f.settings}, log); err != nil {
		return nil, err
	}
	return w, w.open(f)
}

func (w *webhook) makeCertificate(f *injectorFlags) (*injector.Certificate, error) {
	o := injector.CertificateOptions{Every: f.every, Log: w.log, Metrics: w.metrics}
	if f.secret == "" {
		o.Files = &injector.CertificateFiles{Certificate: f.certificate, Key: f.key}
		return injector.NewCertificate(o)
	}
	namespace, name, _ := strings.Cut(f.secret, "/")
	o.Own = &injector.OwnCertificate{
		Cluster: w.cluster, Namespace: namespace, Name: name, Webhook: f.webhook,
		DNSNames: strings.Split(f.names, ","), Lifetimes: f.lifetimes,
	}
	return injector.NewCertificate(o)
}

func (w *webhook) open(f *injectorFlags) (err error) {
	if w.hook, err = listen(f.listen, 0o600); err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	if w.admin, err = listen(f.admin, 0o600); err != nil {
		return errors.Join(fmt.Errorf("--admin: %w", err), w.hook.Close())
	}
	return nil
}

// Time for API servers to notice that we leave, and for those that called.
const (
	webhookDelay = 5 * time.Second
	webhookGrace = 15 * time.Second
)

// Run serves until ctx ends, then drains. Every goroutine of the injector
// starts here.
func (w *webhook) Run(ctx context.Context) error {
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	tasks, life := errgroup.WithContext(life)
	tasks.Go(func() error { return w.certificate.Run(life) })
	tasks.Go(func() error { return w.watcher.Run(life, w.reload) })
	tasks.Go(func() error { return w.learnVersion(life) })

	hook := newHook(w.handler(), w.certificate.Get, w.log)
	admin := newServer(w.health(), 64<<10, w.log)
	w.log.Info("listening", "for", "webhook", "address", w.hook.Addr().String())
	w.log.Info("listening", "for", "admin", "address", w.admin.Addr().String())
	tasks.Go(func() error { return closedIsFine(hook.ServeTLS(w.hook, "", "")) })
	tasks.Go(func() error { return closedIsFine(admin.Serve(w.admin)) })
	select {
	case <-ctx.Done():
		w.ending.Store(true)
		w.log.Info("shutting down", "delay", webhookDelay)
		wait(life, webhookDelay)
	case <-life.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), webhookGrace)
	defer cancel()
	failed := errors.Join(hook.Shutdown(grace), admin.Shutdown(grace))
	stop()
	return errors.Join(tasks.Wait(), failed)
}

// Every pod of the cluster can reach the webhook, and all that wait there at a
// time have to fit into its memory: some 12 KB each. An API server calls over
// few connections, and opens another one where the streams of one are in use.
const (
	maxCallers    = 128 // connections
	maxStreams    = 32  // requests at a time on each
	maxHookHeader = 8 << 10
)

func newHook(h http.Handler, certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error), log *slog.Logger) *http.Server {
	s := newServer(h, maxHookHeader, log)
	s.TLSConfig = &tls.Config{GetCertificate: certificate, MinVersion: tls.VersionTLS12}
	s.ReadTimeout, s.WriteTimeout = 30*time.Second, 30*time.Second // API servers wait less
	boundStrangers(s, maxCallers)
	s.HTTP2.MaxConcurrentStreams = maxStreams
	return s
}

func closedIsFine(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

func (w *webhook) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/mutate", w.injector)
	return mux
}

// reload takes new settings over; broken ones leave the old in use.
func (w *webhook) reload() {
	s, err := readSettings(w.path)
	w.metrics.Failing("settings", err != nil)
	if err != nil {
		w.log.Error("the new settings are not used", "error", err)
		return
	}
	w.injector.Use(s)
	w.log.Info("new settings in use")
}

// learnVersion asks the cluster whether it runs native sidecars, again now and
// then, because clusters are upgraded.
func (w *webhook) learnVersion(ctx context.Context) error {
	if w.known.Load() {
		return nil
	}
	for ctx.Err() == nil {
		next := 10 * time.Minute
		native, err := w.cluster.Native(ctx)
		if err != nil {
			w.log.Error("asking for the cluster's version", "error", err)
			next = 2 * time.Second
		} else {
			was := w.native.Swap(native)
			if known := w.known.Swap(true); !known || was != native {
				w.log.Info("cluster", "native_sidecars", native)
			}
		}
		wait(ctx, next)
	}
	return nil
}

// problem is why no pod should be sent here now, empty if there is no reason.
func (w *webhook) problem() string {
	switch {
	case w.ending.Load():
		return "shutting down"
	case !w.known.Load():
		return "the cluster's version is not known yet; the log says why"
	}
	return w.certificate.Problem()
}

func (w *webhook) health() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(out http.ResponseWriter, _ *http.Request) { _, _ = out.Write([]byte("alive\n")) })
	mux.HandleFunc("GET /readyz", func(out http.ResponseWriter, _ *http.Request) {
		problem := w.problem()
		out.Header().Set("Content-Type", "application/json; charset=utf-8")
		if problem != "" {
			out.WriteHeader(http.StatusServiceUnavailable)
		}
		_ = json.NewEncoder(out).Encode(map[string]any{"ready": problem == "", "problem": problem})
	})
	mux.Handle("GET /metrics", metricsHandler(w.registry))
	return mux
}
