package main

import (
	"context"
	"fmt"
	"net"
	"slices"

	"golang.org/x/time/rate"

	"github.com/wxproxy/wxproxy/internal/config"
	"github.com/wxproxy/wxproxy/internal/merchant"
	"github.com/wxproxy/wxproxy/internal/secret"
	"github.com/wxproxy/wxproxy/proxy"
	"github.com/wxproxy/wxproxy/verifier"
)

func (s *sidecar) makeOutbound(ctx context.Context) (err error) {
	for _, a := range s.accounts {
		s.merchants = append(s.merchants, a.proxied())
	}
	o := s.cfg.Outbound
	options := proxy.OutboundOptions{
		Merchants: s.merchants, Table: s.table, Upstream: s.upstream, Hosts: ownHosts(o),
		Limits: proxy.Limits{Request: int64(o.Limits.Request), Response: int64(o.Limits.Response), InFlight: int64(o.Limits.InFlight), EncryptedBill: int64(o.Limits.EncryptedBill)},
		Rate:   perMerchant(o.Limits.Rate), Rates: make(map[string]proxy.Rate),
		Timeout: o.Timeout, Log: s.log, Metrics: s.metrics, NotifyURLs: s.cfg.NotifyURLs(), NotifyAddresses: s.cfg.NotifyAddresses(),
	}
	if o.Hints != "off" {
		options.Hints = proxy.Hints(o.Hints)
	}
	for family, r := range o.Limits.Rates.ByFamily() {
		options.Rates[family] = perMerchant(r)
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

func perMerchant(r config.Rate) proxy.Rate {
	return proxy.Rate{PerSecond: rate.Limit(r.PerSecond), Burst: r.Burst}
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
	caller := &proxy.Caller{Name: c.Name, Merchants: c.Merchants, Endpoints: c.Endpoints}
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
	return s.serving(l), nil
}

func (s *sidecar) makeNotify(ctx context.Context) (err error) {
	c := s.cfg.Notify
	if len(c.Routes) == 0 {
		return nil
	}
	options := proxy.NotifyOptions{
		Merchants: s.merchants, Table: s.table, Limit: int64(c.Limit), Log: s.log, Metrics: s.metrics,
		KeyChanges: s.changes.Load,
		Shared:     func(names []string) verifier.Keys { return s.fleet.For(names...) },
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
	merchant.KeepApart(s.byPath())
	s.notify, err = proxy.NewNotify(options)
	return err
}

// byPath are the merchants of each notify path.
func (s *sidecar) byPath() map[string][]*merchant.Merchant {
	byName := make(map[string]*merchant.Merchant, len(s.accounts))
	for _, a := range s.accounts {
		byName[a.Name()] = a.Merchant
	}
	paths := make(map[string][]*merchant.Merchant)
	for _, r := range s.cfg.Notify.Routes {
		for _, name := range s.cfg.MerchantsOf(r) {
			if m := byName[name]; !slices.Contains(paths[r.Path], m) {
				paths[r.Path] = append(paths[r.Path], m)
			}
		}
	}
	return paths
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
		Path: r.Path, Merchants: s.cfg.NamedBy(r), Events: r.Events, To: r.To,
		Body: proxy.BodyForm(r.Body), Answer: proxy.AnswerForm(r.Answer), Timeout: r.Timeout, Secret: key, Client: client, FieldsAlone: r.Sensitive == "off",
	}, nil
}
