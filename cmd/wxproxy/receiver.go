package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"time"

	"github.com/wxproxy/wxproxy/internal/sim"
)

// receiverClient delivers notifies to receivers that may be under development:
// their certificates are signed by those in the file, if there is one, and
// names below localhost are this machine, whatever the resolver knows.
func receiverClient(ca string) (*http.Client, error) {
	transport := &http.Transport{
		DisableKeepAlives: true, TLSHandshakeTimeout: 5 * time.Second, DialContext: sim.DialLocal,
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true,
	}
	if ca != "" {
		pool, err := addCerts(x509.NewCertPool(), ca)
		if err != nil {
			return nil, err
		}
		transport.TLSClientConfig.RootCAs = pool
	}
	return &http.Client{Transport: transport}, nil
}

// lateReceiver delivers like receiverClient(ca), and reads the file each time:
// serve and trust, which make it, may be started later.
type lateReceiver struct{ ca string }

// RoundTrip implements http.RoundTripper. Connections are not kept.
func (l lateReceiver) RoundTrip(r *http.Request) (*http.Response, error) {
	client, err := receiverClient(l.ca)
	if err != nil {
		return nil, fmt.Errorf("--ca: %w", err)
	}
	return client.Transport.RoundTrip(r)
}
