package acmetest

import (
	"context"
	"crypto/tls"
	"strings"
	"testing"
)

// Scan offers a server every version and suite of TLS that Go's client knows,
// the insecure ones included, each alone. It must take the modern ones for its
// kind of key, ECDSA or RSA, and nothing else: no challenge of ACME either.
func Scan(tb testing.TB, address, name, kind string) {
	tb.Helper()
	offer := func(version uint16, suites []uint16, protocols ...string) (string, error) {
		dialer := tls.Dialer{Config: &tls.Config{
			ServerName: name, InsecureSkipVerify: true, MinVersion: version, MaxVersion: version, CipherSuites: suites, NextProtos: protocols, //nolint:gosec // a scan
		}}
		conn, err := dialer.DialContext(context.Background(), "tcp", address)
		if err != nil {
			return "", err
		}
		defer conn.Close()
		return conn.(*tls.Conn).ConnectionState().NegotiatedProtocol, nil //nolint:forcetypeassert // as documented
	}
	for _, version := range []uint16{tls.VersionTLS10, tls.VersionTLS11} {
		if _, err := offer(version, nil, "h2"); err == nil {
			tb.Errorf("%s was agreed on", tls.VersionName(version))
		}
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for want, protocols := range map[string][]string{"h2": {"h2", "http/1.1"}, "http/1.1": {"http/1.1"}} {
			if got, err := offer(version, nil, protocols...); err != nil || got != want {
				tb.Errorf("%s: protocol %q, %v, want %s", tls.VersionName(version), got, err, want)
			}
		}
		if _, err := offer(version, nil, "acme-tls/1"); err == nil {
			tb.Errorf("%s: ACME challenges are answered without ACME", tls.VersionName(version))
		}
	}
	accepted := 0
	for _, suite := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		if suite.SupportedVersions[len(suite.SupportedVersions)-1] == tls.VersionTLS13 {
			continue // all of 1.3 are modern, and cannot be offered alone
		}
		_, err := offer(tls.VersionTLS12, []uint16{suite.ID}, "h2", "http/1.1")
		modern := strings.HasPrefix(suite.Name, "TLS_ECDHE_"+kind+"_") && (strings.Contains(suite.Name, "_GCM_") || strings.Contains(suite.Name, "CHACHA20"))
		if (err == nil) != modern {
			tb.Errorf("%s: %v, want agreement %v", suite.Name, err, modern)
		}
		if err == nil {
			accepted++
		}
	}
	if accepted != 3 {
		tb.Errorf("%d suites of TLS 1.2 with this kind of key, want 3", accepted)
	}
}
