package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/wxproxy/wxproxy/internal/config"
	"github.com/wxproxy/wxproxy/internal/secret"
	"github.com/wxproxy/wxproxy/proxy"
)

// appTransport is the way to an app that wants mutual TLS. It is made anew
// when a file changes; one that cannot be made leaves the old one at work.
type appTransport struct {
	config  config.ClientTLS
	current atomic.Pointer[http.Transport]
}

func newAppTransport(ctx context.Context, c config.ClientTLS, r secret.Reader) (*appTransport, error) {
	t := &appTransport{config: c}
	if err := t.reload(ctx, r); err != nil {
		return nil, err
	}
	return t, nil
}

// RoundTrip implements http.RoundTripper.
func (t *appTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	return t.current.Load().RoundTrip(r)
}

func (t *appTransport) reload(ctx context.Context, r secret.Reader) error {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if !t.config.Certificate.IsZero() {
		certificate, err := r.Read(ctx, t.config.Certificate)
		if err != nil {
			return err
		}
		key, err := r.Read(ctx, t.config.PrivateKey)
		if err != nil {
			return err
		}
		pair, err := tls.X509KeyPair(certificate.Bytes(), key.Bytes())
		if err != nil {
			return fmt.Errorf("client_tls: %s and %s are not a certificate and its key: %w", t.config.Certificate, t.config.PrivateKey, err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	if t.config.CA != "" {
		pool, err := addCerts(x509.NewCertPool(), t.config.CA)
		if err != nil {
			return fmt.Errorf("client_tls.ca: %w", err)
		}
		c.RootCAs = pool
	}
	next := &http.Transport{TLSClientConfig: c, TLSHandshakeTimeout: 5 * time.Second, MaxIdleConnsPerHost: 32,
		IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: 64 << 10, DisableCompression: true}
	if old := t.current.Swap(next); old != nil {
		old.CloseIdleConnections()
	}
	return nil
}

// addCerts adds the certificates of a file, which may sign a server's, to a pool.
func addCerts(pool *x509.CertPool, file string) (*x509.CertPool, error) {
	const most = 1 << 20 // those that a system trusts have a quarter of it
	text, err := secret.ReadFile(file, most)
	if err != nil {
		return nil, err
	}
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate in PEM", file)
	}
	return pool, nil
}

// appClient makes the client of a route.
func appClient(ctx context.Context, c config.ClientTLS, r secret.Reader) (*http.Client, *appTransport, error) {
	client := proxy.NewAppClient(nil)
	if c.IsZero() {
		return client, nil, nil
	}
	t, err := newAppTransport(ctx, c, r)
	if err != nil {
		return nil, nil, err
	}
	client.Transport = t
	return client, t, nil
}
