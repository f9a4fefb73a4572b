package injector

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"
)

// Certificate is the webhook's own, kept fresh. Make it with NewCertificate;
// Run keeps it.
type Certificate struct {
	load    func(context.Context) (*tls.Certificate, error)
	every   time.Duration
	now     func() time.Time
	log     *slog.Logger
	metrics *Metrics
	current atomic.Pointer[tls.Certificate]
}

// CertificateOptions makes a Certificate: from Files, or from Own.
type CertificateOptions struct {
	Files *CertificateFiles
	Own   *OwnCertificate
	// Every is the time between looks. 0: 30 seconds.
	Every   time.Duration
	Now     func() time.Time // nil: time.Now
	Log     *slog.Logger     // nil: none
	Metrics *Metrics         // may be nil
}

// CertificateFiles are written by others, cert-manager for one.
type CertificateFiles struct{ Certificate, Key string }

// OwnCertificate is made by the injector itself: the CA lies in a Secret that
// all replicas share, and is written to the webhook's configuration.
type OwnCertificate struct {
	Cluster         *Cluster
	Namespace, Name string // of the Secret, which must exist
	Webhook         string // name of the MutatingWebhookConfiguration
	DNSNames        []string
	Lifetimes       Lifetimes
}

// NewCertificate loads nothing yet.
func NewCertificate(o CertificateOptions) (*Certificate, error) {
	c := &Certificate{every: o.Every, now: o.Now, log: o.Log, metrics: o.Metrics}
	if c.every == 0 {
		c.every = 30 * time.Second
	}
	if c.now == nil {
		c.now = time.Now
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	switch {
	case o.Own != nil && o.Files == nil:
		own := &keeper{OwnCertificate: *o.Own}
		own.Lifetimes = own.Lifetimes.orDefaults()
		c.load = func(ctx context.Context) (*tls.Certificate, error) { return own.sync(ctx, c.now()) }
	case o.Files != nil && o.Own == nil:
		c.load = func(context.Context) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(o.Files.Certificate, o.Files.Key)
			return &pair, err
		}
	default:
		return nil, errors.New("a certificate is either made or read from files")
	}
	return c, nil
}

// Run keeps the certificate until ctx ends. A failure keeps the last one, and
// is looked at again soon.
func (c *Certificate) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		wait := c.every
		if err := c.Refresh(ctx); err != nil && ctx.Err() == nil {
			c.log.Error("webhook certificate", "error", err)
			wait = min(wait, 2*time.Second)
		}
		timer.Reset(wait)
	}
}

// Refresh looks at the certificate once.
func (c *Certificate) Refresh(ctx context.Context) error {
	cert, err := c.load(ctx)
	c.metrics.Failing("certificate", err != nil)
	if err != nil {
		return err
	}
	if cert.Leaf == nil {
		if cert.Leaf, err = x509.ParseCertificate(cert.Certificate[0]); err != nil {
			return err
		}
	}
	c.metrics.expires(cert.Leaf.NotAfter)
	if before := c.current.Swap(cert); before == nil || !before.Leaf.Equal(cert.Leaf) {
		c.log.Info("webhook certificate in use", "not_after", cert.Leaf.NotAfter, "dns_names", cert.Leaf.DNSNames)
	}
	return nil
}

// Get is for tls.Config.GetCertificate.
func (c *Certificate) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if cert := c.current.Load(); cert != nil {
		return cert, nil
	}
	return nil, errors.New("the webhook has no certificate yet")
}

// Problem says what is wrong with the certificate, empty if nothing.
func (c *Certificate) Problem() string {
	cert := c.current.Load()
	switch {
	case cert == nil:
		return "no certificate yet; the log says why"
	case c.now().After(cert.Leaf.NotAfter):
		return "the certificate has expired; the log says why there is no newer one"
	}
	return ""
}
