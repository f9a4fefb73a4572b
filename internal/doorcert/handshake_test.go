package doorcert_test

import (
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/wxproxy/wxproxy/internal/doorcert"
	"github.com/wxproxy/wxproxy/internal/secret"
)

// door serves a pair of files for the test.
func door(t *testing.T, o doorcert.Options, names ...string) (address string) {
	t.Helper()
	f := newFiles(t)
	f.issue(t, time.Now().Add(-time.Hour), time.Now().AddDate(1, 0, 0), names...)
	d, err := doorcert.NewFiles(t.Context(), o, f.options(&secret.Reader{}))
	if err != nil {
		t.Fatal(err)
	}
	l, _ := listen(t)
	serve(t, d.Door, l)
	return l.Addr().String()
}

// Every version and suite that Go's client knows, the insecure ones included,
// is offered alone.
func TestHandshakeScan(t *testing.T) {
	t.Parallel()
	address := door(t, doorcert.Options{}, shopName)
	offer := func(version uint16, suites ...uint16) (tls.ConnectionState, error) {
		return shake(t, address, &tls.Config{
			ServerName: shopName, InsecureSkipVerify: true, MinVersion: version, MaxVersion: version, CipherSuites: suites,
			NextProtos: []string{"h2", "http/1.1"},
		})
	}
	for _, version := range []uint16{tls.VersionTLS10, tls.VersionTLS11} {
		if _, err := offer(version); err == nil {
			t.Errorf("%s was agreed on", tls.VersionName(version))
		}
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		if state, err := offer(version); err != nil || state.NegotiatedProtocol != "h2" {
			t.Errorf("%s: protocol %q, %v", tls.VersionName(version), state.NegotiatedProtocol, err)
		}
	}
	accepted := 0
	for _, suite := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		if suite.SupportedVersions[len(suite.SupportedVersions)-1] == tls.VersionTLS13 {
			continue // all of 1.3 are modern, and cannot be offered alone
		}
		_, err := offer(tls.VersionTLS12, suite.ID)
		modern := strings.HasPrefix(suite.Name, "TLS_ECDHE_ECDSA_") && (strings.Contains(suite.Name, "_GCM_") || strings.Contains(suite.Name, "CHACHA20"))
		if (err == nil) != modern {
			t.Errorf("%s: %v, want agreement %v", suite.Name, err, modern)
		}
		if err == nil {
			accepted++
		}
	}
	if accepted != 3 {
		t.Errorf("%d suites of TLS 1.2 with this kind of key, want 3", accepted)
	}
	state, err := shake(t, address, &tls.Config{ServerName: shopName, InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
	if err != nil || state.NegotiatedProtocol != "http/1.1" {
		t.Errorf("protocol %q, %v", state.NegotiatedProtocol, err)
	}
	if _, err := shake(t, address, &tls.Config{ServerName: shopName, InsecureSkipVerify: true, NextProtos: []string{"acme-tls/1"}}); err == nil {
		t.Error("ACME challenges are answered without ACME")
	}
}

func TestNamesThatAreAnsweredFor(t *testing.T) {
	t.Parallel()
	both := []string{shopName, "second.example.com"}
	for _, tc := range []struct {
		name    string
		options doorcert.Options
		in      []string // names of the certificate
		ask     string   // empty: none
		refused bool
	}{
		{"ours", doorcert.Options{Names: both}, both, "second.example.com", false},
		{"in capitals", doorcert.Options{Names: both}, both, "PAY.Example.com", false},
		{"unknown", doorcert.Options{Names: both}, both, "other.example.com", true},
		{"in the certificate but not ours", doorcert.Options{Names: both[:1]}, both, "second.example.com", true},
		{"none", doorcert.Options{Names: both}, both, "", true},
		{"none, with a default", doorcert.Options{Names: both, DefaultName: shopName}, both, "", false},
		{"none, at an address", doorcert.Options{Names: []string{shopName, "192.0.2.1"}}, []string{shopName, "192.0.2.1"}, "", false},
		{"by the certificate", doorcert.Options{}, []string{"*.example.com"}, shopName, false},
		{"by the certificate, none", doorcert.Options{}, []string{"*.example.com"}, "", true},
		{"by the certificate, unknown", doorcert.Options{}, []string{"*.example.com"}, "example.org", true},
		{"by the certificate, at an address", doorcert.Options{}, []string{"192.0.2.1"}, "", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			address := door(t, tc.options, tc.in...)
			_, err := shake(t, address, &tls.Config{ServerName: tc.ask, InsecureSkipVerify: true})
			alert, _ := errors.AsType[*net.OpError](err)
			switch {
			case !tc.refused && err != nil:
				t.Errorf("refused: %v", err)
			case tc.refused && (alert == nil || !strings.Contains(err.Error(), "unrecognized name")):
				t.Errorf("got %v, want the alert unrecognized_name", err)
			}
		})
	}
}
