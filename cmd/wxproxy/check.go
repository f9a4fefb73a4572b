package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"slices"
	"time"

	"github.com/wxproxy/wxproxy/internal/check"
	"github.com/wxproxy/wxproxy/internal/config"
	"github.com/wxproxy/wxproxy/internal/secret"
	"github.com/wxproxy/wxproxy/internal/wire"
	"github.com/wxproxy/wxproxy/proxy"
)

// checkFlags are the flags of check besides those of the config.
type checkFlags struct {
	online, offline bool
	format          string
	timeout         time.Duration
}

func (f *checkFlags) define(fs *flag.FlagSet) {
	fs.BoolVar(&f.online, "online", false, "also call WeChat Pay: certificates, and the self-test if there is a public key; no money moves")
	fs.BoolVar(&f.offline, "offline", false, "connect to nothing")
	fs.StringVar(&f.format, "format", "text", "`text` or json")
	fs.DurationVar(&f.timeout, "timeout", 10*time.Second, "of each connection and each call")
}

func (f *checkFlags) validate() error {
	switch {
	case f.format != "text" && f.format != "json":
		return errors.New("-format is text or json")
	case f.timeout <= 0:
		return errors.New("-timeout must be more than 0, as in 10s")
	case f.online && f.offline:
		return errors.New("-online and -offline exclude each other")
	}
	return nil
}

// runCheck reports what is right and wrong with a config and what it names.
func runCheck(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var f checkFlags
	source, code := parseConfigFlags("check", args, stderr, f.define)
	if source == nil {
		return code
	}
	if err := f.validate(); err != nil {
		fmt.Fprintln(stderr, "wxproxy check:", err)
		return exitUsage
	}
	cfg, err := source.load()
	if err != nil {
		return f.write(stdout, stderr, check.Unloadable(faultsOf(err)), exitUsage)
	}
	input, options, err := f.prepare(ctx, cfg, source.path)
	if err != nil {
		return f.write(stdout, stderr, check.Unloadable(faultsOf(err)), exitUsage)
	}
	return f.write(stdout, stderr, check.Run(ctx, input, options), exitFailed)
}

// write prints the report and returns the exit code, failed if it is not OK.
func (f *checkFlags) write(stdout, stderr io.Writer, r check.Report, failed int) int {
	var err error
	if f.format == "json" {
		err = r.WriteJSON(stdout)
	} else {
		err = r.WriteText(stdout, hasColour(stdout))
	}
	switch {
	case err != nil:
		fmt.Fprintln(stderr, "wxproxy check:", err)
		return exitFailed
	case !r.OK:
		return failed
	}
	return exitFine
}

// hasColour reports whether w is a terminal whose user has not declined.
func hasColour(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// prepare turns the config into what package check looks at, with the parts of
// the sidecar that load what the config names, as serve does.
func (f *checkFlags) prepare(ctx context.Context, cfg *config.Config, path string) (check.Input, check.Options, error) {
	s := &sidecar{cfg: cfg, log: slog.New(slog.DiscardHandler), reader: secret.Reader{Env: os.LookupEnv}}
	trials := append(s.tryVault(ctx, f.offline), s.trials()...)
	in := check.Input{
		Source: path, StateDir: cfg.StateDir, PublicURL: cfg.Notify.PublicURL,
		Callback:  s.checkedCallback(),
		Listeners: checkedListeners(cfg), Trials: trials,
	}
	for _, w := range cfg.Warnings() {
		in.Warnings = append(in.Warnings, checkedFault(w))
	}
	in.Warnings = append(in.Warnings, s.blindToken(ctx)...)
	for _, m := range cfg.Merchants {
		in.Merchants = append(in.Merchants, check.Merchant{Spec: merchantSpec(m), Certificates: m.Downloads(), CertificatesPath: m.CertificatesPath(), Group: m.UpstreamGroup})
	}
	for _, r := range cfg.Notify.Routes {
		in.Routes = append(in.Routes, check.Route{Path: r.Path, Merchants: cfg.MerchantsOf(r)})
	}
	texts := slices.Clone(cfg.Outbound.Upstreams)
	for _, g := range cfg.Outbound.UpstreamGroups {
		texts = append(texts, g.Upstreams...)
	}
	var err error
	if in.Upstreams, err = parseBases(texts); err != nil {
		return check.Input{}, check.Options{}, err
	}
	in.RootCAs, _ = upstreamRoots(cfg) // nil also when the file cannot be used: a trial says so
	o := check.Options{Offline: f.offline, Timeout: f.timeout, Reader: s.reader}
	if f.online {
		o.Send = s.sendChecked
	}
	return in, o, nil
}

// sendChecked sends a call the way serve sends the app's.
func (s *sidecar) sendChecked(ctx context.Context, c check.Call) (*http.Response, error) {
	if s.upstream == nil {
		if err := s.makeUpstream(ctx); err != nil {
			return nil, err
		}
	}
	answer, _, err := s.upstream.Send(ctx, &proxy.Call{
		Method: c.Method, Target: wire.Target{Path: c.Path}, Header: c.Header,
		Body: c.Body, Signed: c.Body, Signer: c.Signer, Group: c.Group, Repeatable: true, // an echo may be repeated like a read
	})
	return answer, err
}

func checkedListeners(cfg *config.Config) []check.Listener {
	var list []check.Listener
	add := func(key, address string) {
		if network, where, err := config.ParseAddress(address); err == nil {
			list = append(list, check.Listener{Key: key, Network: network, Address: where})
		}
	}
	for i, l := range cfg.Outbound.Listen {
		add(fmt.Sprintf("outbound.listen[%d]", i), l.Address)
	}
	if len(cfg.Notify.Routes) > 0 {
		add("notify.listen", cfg.Notify.Listen)
		if cfg.Notify.TLS.Mode == config.TLSACME && cfg.Notify.TLS.ACME.HTTPListen != "" {
			add("notify.tls.acme.http_listen", cfg.Notify.TLS.ACME.HTTPListen)
		}
	}
	add("admin.listen", cfg.Admin.Listen)
	add("admin.control", cfg.Admin.Control)
	return list
}

// trials load what the config names by the functions that serve uses.
func (s *sidecar) trials() []check.Trial {
	const readable = "put it in place, readable by the user that runs wxproxy"
	var list []check.Trial
	add := func(group, name, detail, fix string, try func(context.Context) error) {
		list = append(list, check.Trial{Group: group, Name: name, Detail: detail, Fix: fix, Try: try})
	}
	if len(s.cfg.Endpoints) > 0 {
		add(check.GroupConfig, "endpoints", "they fit the built-in table", "correct the entry", s.makeTable)
	}
	if ca := s.cfg.Outbound.UpstreamCA; ca != "" {
		add(check.GroupConfig, "outbound.upstream_ca", ca, "name a PEM file with certificates", s.makeUpstream)
	}
	for _, c := range s.cfg.Outbound.Callers {
		add(check.GroupConfig, "caller "+c.Name, "known by "+knownBy(c), readable, func(ctx context.Context) error {
			_, err := s.caller(ctx, c)
			return err
		})
	}
	if token := s.cfg.Admin.ControlToken; !token.IsZero() {
		add(check.GroupConfig, "admin.control_token", token.String(), readable, func(ctx context.Context) error {
			_, err := s.secret(ctx, token, nil)
			return err
		})
	}
	if a := s.cfg.Notify.TLS.ACME; s.cfg.Notify.TLS.Mode == config.TLSACME && a.CA != "" {
		add(check.GroupNotify, "notify.tls.acme.ca", a.CA, "name a PEM file with certificates", func(context.Context) error {
			_, err := acmeRoots(a)
			return err
		})
	}
	if key := s.cfg.Notify.TLS.ACME.EAB.HMACKey; s.cfg.Notify.TLS.Mode == config.TLSACME && !key.IsZero() {
		add(check.GroupNotify, "notify.tls.acme.eab", key.String(), readable, func(ctx context.Context) error {
			_, err := s.secret(ctx, key, nil)
			return err
		})
	}
	for i, r := range s.cfg.Notify.Routes {
		name := fmt.Sprintf("routes[%d] %s", i, r.Path)
		add(check.GroupNotify, name, "to "+targetOf(r.To), "correct webhook_secret or client_tls of this route", func(ctx context.Context) error {
			_, err := s.route(ctx, r)
			return err
		})
	}
	return list
}

func knownBy(c config.Caller) string {
	if c.UID != nil {
		return fmt.Sprintf("user ID %d", *c.UID)
	}
	return "the token in " + c.Token.String()
}

// targetOf leaves out the query, where people put tokens.
func targetOf(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	u.RawQuery = ""
	return u.Redacted()
}

// faultsOf lists what was wrong with a config that could not be loaded.
func faultsOf(err error) []check.Fault {
	all, ok := errors.AsType[config.Errors](err)
	if !ok {
		return []check.Fault{{Problem: err.Error(), Fix: "correct the config"}}
	}
	var list []check.Fault
	for _, f := range all {
		list = append(list, checkedFault(f))
	}
	return list
}

func checkedFault(f config.Fault) check.Fault {
	where := f.File
	if f.Line > 0 {
		where = fmt.Sprintf("%s:%d", f.File, f.Line)
	}
	return check.Fault{Key: f.Key, Where: where, Problem: f.Problem, Fix: f.Fix}
}
