package check_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestBrokenNetwork(t *testing.T) {
	t.Parallel()
	to := func(base string) func(*setup) {
		return func(s *setup) { s.in.Upstreams = append(s.in.Upstreams, s.base(base)) }
	}
	refused := refusedAddress(t)
	noTLS := quiet(http.NotFoundHandler())
	noTLS.Start()
	t.Cleanup(noTLS.Close)
	expired := quiet(http.NotFoundHandler())
	key := made().platform.key
	expired.TLS = &tls.Config{Certificates: []tls.Certificate{{
		Certificate: [][]byte{certify(key, "example.com", 9, time.Now().Add(-time.Hour)).Raw}, PrivateKey: key,
	}}}
	expired.StartTLS()
	t.Cleanup(expired.Close)
	each(t, []broken{
		{"refused", to("https://" + refused), "Network/" + refused, false, "refused", "firewall"},
		{"no such name", func(s *setup) {
			to("https://api.example.com")(s)
			s.options.Dial = only(s, &net.DNSError{Err: "no such host", Name: "api.example.com", IsNotFound: true})
		}, "Network/api.example.com", false, "does not resolve", "DNS"},
		{"no answer", func(s *setup) {
			to("https://api.example.com")(s)
			s.options.Dial = only(s, context.DeadlineExceeded)
		}, "Network/api.example.com", false, "no answer within 10s", "HTTPS_PROXY"},
		{"something else", func(s *setup) {
			to("https://api.example.com")(s)
			s.options.Dial = only(s, errors.New("network is odd"))
		}, "Network/api.example.com", false, "network is odd", "firewall"},
		{"no TLS", to("https://" + noTLS.Listener.Addr().String()), "Network/" + noTLS.Listener.Addr().String(), false, "does not speak TLS", "port"},
		{"expired certificate", to("https://" + expired.Listener.Addr().String()), "Network/" + expired.Listener.Addr().String(), false, "not valid at this machine's time", "clock"},
		{"another host's certificate", func(s *setup) {
			to("https://api.example.org")(s)
			s.options.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, network, s.server.Listener.Addr().String())
			}
		}, "Network/api.example.org", false, "another server", "/etc/hosts"},
		{"clock behind", func(s *setup) { s.server.Config.Handler = plain(10 * time.Minute) }, "Clock/skew", false, "behind", "clock"},
		{"clock ahead", func(s *setup) { s.server.Config.Handler = plain(-10 * time.Minute) }, "Clock/skew", false, "ahead", "clock"},
		{"clock a little off", func(s *setup) { s.server.Config.Handler = plain(-time.Minute) }, "Clock/skew", true, "ahead of", "clock"},
		{"no time told", func(s *setup) {
			s.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header()["Date"] = nil })
		}, "Clock/skew", true, "not measured", "network"},
	}, false)
}

// only lets connections to the fake WeChat Pay through and fails others.
func only(s *setup, err error) dialer {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if address != s.server.Listener.Addr().String() {
			return nil, err
		}
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
}

// TestUntrustedAuthority has two lines: without any answer there is no clock.
func TestUntrustedAuthority(t *testing.T) {
	t.Parallel()
	s := newSetup(t)
	s.in.RootCAs = x509.NewCertPool()
	r := s.run()
	host := s.server.Listener.Addr().String()
	if c := find(t, r, "Network/"+host); c.OK || !strings.Contains(c.Fix, "outbound.upstream_ca") {
		t.Errorf("got %+v", c)
	}
	if c := find(t, r, "Clock/skew"); !c.Warn {
		t.Errorf("got %+v", c)
	}
}

// TestClockOfTheFirstThatAnswers: the preferred upstream may be the broken one.
func TestClockOfTheFirstThatAnswers(t *testing.T) {
	t.Parallel()
	s := newSetup(t)
	dead := s.base("https://" + refusedAddress(t))
	s.in.Upstreams = append([]*url.URL{dead}, s.in.Upstreams...)
	if c := find(t, s.run(), "Clock/skew"); !c.OK || c.Warn || !strings.Contains(c.Detail, s.server.Listener.Addr().String()) {
		t.Errorf("got %+v", c)
	}
}
