package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"strings"
	"time"
)

// receiverClient delivers notifies to receivers that may be under development:
// their certificates are signed by those in the file, if there is one, and
// names below localhost are this machine, whatever the resolver knows.
func receiverClient(ca string) (*http.Client, error) {
	transport := &http.Transport{
		DisableKeepAlives: true, TLSHandshakeTimeout: 5 * time.Second, DialContext: dialLocal,
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

// dialLocal reaches names below localhost on loopback (RFC 6761, section 6.3),
// which not every resolver does.
func dialLocal(ctx context.Context, network, address string) (net.Conn, error) {
	if host, port, err := net.SplitHostPort(address); err == nil && strings.HasSuffix(strings.ToLower(host), ".localhost") {
		address = net.JoinHostPort("localhost", port)
	}
	return new(net.Dialer).DialContext(ctx, network, address)
}
