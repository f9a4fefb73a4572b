// Package doorcert gives the notify port its certificate: from files that may
// change, from an ACME authority, or from a CA of its own for development.
//
// A Door decides who is answered at all: a handshake for a name that is not
// ours ends before any certificate is shown. What stands behind it keeps the
// last good certificate whatever fails, and says so. It does not listen; the
// caller serves with TLS().
package doorcert

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/mholt/acmez/v3"
	"github.com/prometheus/client_golang/prometheus"
)

// ErrNoCertificate: the name is ours, but there is no certificate for it yet.
var ErrNoCertificate = errors.New("no certificate for this name yet")

// Options is what every kind of Door has.
type Options struct {
	// Names are answered for, in lower case; handshakes for others are refused.
	// None: those in the certificate, where there is one from the start.
	Names []string
	// DefaultName is whose certificate a client gets that names none. Empty:
	// that of the address it came to, or of the first that is answered for,
	// since clients name no addresses; without one such clients are refused.
	DefaultName string
	// Log gets what happens to certificates. Nil discards.
	Log *slog.Logger
	// Now is the clock. Nil: time.Now.
	Now func() time.Time
}

// source is where certificates come from.
type source interface {
	// get returns the certificate of a name that the Door answers for. It must
	// not wait for anything outside the process.
	get(hello *tls.ClientHelloInfo, name string) (*tls.Certificate, error)
	// names are those in the certificate; nil where Options must give them.
	names() []string
	// leaf is the certificate served for a name, nil if there is none.
	leaf(name string) *x509.Certificate
	// problem is what last failed for a name and what to do, empty if nothing.
	problem(name string) string
	// run maintains the certificates until ctx ends.
	run(ctx context.Context) error
}

// Door answers handshakes. It is safe for concurrent use.
type Door struct {
	opts    Options
	source  source
	protos  []string
	refused *prometheus.CounterVec
}

func newDoor(o Options, s source) *Door {
	return &Door{
		opts: o, source: s, protos: []string{"h2", "http/1.1"},
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wxproxy_tls_handshakes_refused_total", Help: "Handshakes with the notify port that ended without a certificate, by reason.",
		}, []string{"reason"}),
	}
}

func (o *Options) setDefaults() {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
}

func firstAddress(names []string) string {
	i := slices.IndexFunc(names, func(name string) bool { _, err := netip.ParseAddr(name); return err == nil })
	if i < 0 {
		return ""
	}
	return names[i]
}

// TLS is what a server needs: TLS 1.2 with forward secrecy and authenticated
// encryption alone, TLS 1.3, HTTP/2.
func (d *Door) TLS() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		CipherSuites: []uint16{ // of TLS 1.2; those of 1.3 are all fine
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
		NextProtos:     d.protos,
		GetCertificate: d.certificate,
	}
}

// Run maintains the certificates until ctx ends. It is to be called once.
func (d *Door) Run(ctx context.Context) error { return d.source.run(ctx) }

// certificate implements tls.Config.GetCertificate. Neither certificate nor
// error makes the alert unrecognized_name; an error makes internal_error.
func (d *Door) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))
	if name == "" {
		if name = d.unnamed(hello); name == "" {
			d.refused.WithLabelValues("no_name").Inc()
			return nil, nil
		}
	}
	if slices.Equal(hello.SupportedProtos, []string{acmez.ACMETLS1Protocol}) {
		name = d.challenged(name)
	}
	if !d.answersFor(name) {
		d.refused.WithLabelValues("unknown_name").Inc()
		return nil, nil
	}
	c, err := d.source.get(hello, name)
	if err != nil {
		d.refused.WithLabelValues("no_certificate").Inc()
		return nil, err
	}
	return c, nil
}

// unnamed is the name of a client that gives none: clients name no addresses.
func (d *Door) unnamed(hello *tls.ClientHelloInfo) string {
	if d.opts.DefaultName != "" {
		return d.opts.DefaultName
	}
	names := d.Names()
	if at, err := netip.ParseAddrPort(hello.Conn.LocalAddr().String()); err == nil && slices.Contains(names, at.Addr().Unmap().String()) {
		return at.Addr().Unmap().String()
	}
	return firstAddress(names)
}

func (d *Door) answersFor(name string) bool {
	if len(d.opts.Names) > 0 {
		return slices.Contains(d.opts.Names, name)
	}
	leaf := d.source.leaf(name)
	return leaf != nil && leaf.VerifyHostname(name) == nil
}

// Names are those that are answered for.
func (d *Door) Names() []string {
	if len(d.opts.Names) > 0 {
		return d.opts.Names
	}
	return d.source.names()
}
