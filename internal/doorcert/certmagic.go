package doorcert

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"
)

// begin starts certmagic's cache, which has a goroutine.
func (m *manager) begin() *work {
	w := &work{}
	w.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert:   func(certmagic.Certificate) (*certmagic.Config, error) { return w.config, nil },
		RenewCheckInterval: m.acme.RenewEvery, OCSPCheckInterval: m.acme.OCSPEvery, Logger: m.zap,
	})
	w.config = certmagic.New(w.cache, certmagic.Config{
		Storage: m.acme.Storage, Logger: m.zap, OnEvent: m.event, DefaultServerName: m.defaultName(),
		KeySource: certmagic.StandardKeyGenerator{KeyType: certmagic.KeyType(m.acme.KeyType)},
		Issuers:   []certmagic.Issuer{},
		OCSP:      certmagic.OCSPConfig{HTTPProxy: noProxy}, // and with that a timeout
	})
	// An issuer for each challenge: certmagic knows one host to listen on for
	// all, and falls back to listening itself if it is not ours. The challenge
	// that was configured on purpose is tried first.
	if m.acme.DNS != nil {
		w.config.Issuers = []certmagic.Issuer{m.issuer(w.config, certmagic.ACMEIssuer{DNS01Solver: m.acme.DNS})}
		return w
	}
	if host, port, ok := hostPort(m.acme.HTTPListener); ok {
		w.http = m.issuer(w.config, certmagic.ACMEIssuer{DisableTLSALPNChallenge: true, ListenHost: host, AltHTTPPort: port})
		w.config.Issuers = append(w.config.Issuers, w.http)
	}
	if host, port, ok := hostPort(m.acme.Listener); ok {
		w.config.Issuers = append(w.config.Issuers, m.issuer(w.config, certmagic.ACMEIssuer{DisableHTTPChallenge: true, ListenHost: host, AltTLSALPNPort: port}))
	}
	return w
}

// stopPatience is how long certmagic may take to stop. It does at once, unless
// it replaces a revoked certificate: it then retries for a month, and cannot be
// told to stop.
const stopPatience = 2 * time.Second

func (w *work) stop() {
	stopped := make(chan struct{})
	go func() { w.cache.Stop(); close(stopped) }()
	patience := time.NewTimer(stopPatience)
	defer patience.Stop()
	select {
	case <-stopped:
	case <-patience.C:
	}
}

func (m *manager) defaultName() string {
	if m.opts.DefaultName != "" {
		return m.opts.DefaultName
	}
	return firstAddress(m.opts.Names)
}

// issuer fills in what is the same for every challenge.
func (m *manager) issuer(c *certmagic.Config, t certmagic.ACMEIssuer) *certmagic.ACMEIssuer {
	t.CA, t.TestCA, t.TrustedRoots = m.acme.Directory, m.acme.TestDirectory, m.acme.Roots
	t.Email, t.Agreed, t.Profile, t.Logger = m.acme.Email, true, m.acme.Profile, m.zap
	t.HTTPProxy = noProxy
	if m.acme.EABKeyID != "" {
		t.ExternalAccount = &acme.EAB{KeyID: m.acme.EABKeyID, MACKey: string(m.acme.EABKey.Trimmed().Bytes())}
	}
	return certmagic.NewACMEIssuer(c, t)
}

// noProxy is taken from the environment, as elsewhere in wxproxy.
func noProxy(*http.Request) (proxy *url.URL, err error) { return proxy, err }

// ReleaseLocks gives back what this process still holds of any storage, so that
// replicas need not wait for it to grow stale. It is for the end of the process.
func ReleaseLocks(ctx context.Context, log *slog.Logger) {
	certmagic.CleanUpOwnLocks(ctx, bridged(log))
}

// RedirectLog has certmagic's own logger, which writes to standard error in a
// form of its own, write to log. Its storage of files uses it, whatever logger
// is configured. It is for the start of the process.
func RedirectLog(log *slog.Logger) { *certmagic.Default.Logger = *bridged(log) }

func hostPort(a net.Addr) (host string, port int, ok bool) {
	if a == nil {
		return "", 0, false
	}
	host, text, err := net.SplitHostPort(a.String())
	if err != nil {
		return "", 0, false
	}
	port, err = strconv.Atoi(text)
	return host, port, err == nil
}
