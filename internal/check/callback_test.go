package check_test

import (
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/wxproxy/wxproxy/internal/check"
)

// acme has the setup ask an authority, whose directory is as given.
func (s *setup) acme(directory string) *httptest.Server {
	s.t.Helper()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.URL.Path != "/dir" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte(directory))
	}))
	s.t.Cleanup(server.Close)
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	s.in.Callback = check.Callback{Mode: "acme", Names: []string{"pay.example.com"}, Directory: server.URL + "/dir", Roots: pool}
	s.certificate(nil, nil)
	s.options.Lookup = func(context.Context, string) ([]string, error) { return []string{"203.0.113.7"}, nil }
	return server
}

func (s *setup) certificate(leaf *x509.Certificate, err error) {
	s.in.Callback.Certificates = []check.CallbackCertificate{{Name: "pay.example.com", Load: func(context.Context) ([]*x509.Certificate, error) {
		if leaf == nil {
			return nil, err
		}
		return []*x509.Certificate{leaf}, err
	}, Fix: "correct notify.tls"}}
}

const plainDirectory = `{"newOrder":"https://ca.test/order","meta":{"termsOfService":"https://ca.test/terms"}}`

func TestCallbackTLS(t *testing.T) {
	t.Parallel()
	s := newSetup(t)
	s.acme(plainDirectory)
	r := s.run()
	if !r.OK || strings.Contains(text(t, r), "!") {
		t.Errorf("good setup:\n%s", text(t, r))
	}
	for line, want := range map[string]string{
		"Notify/tls pay.example.com": "no certificate yet", "Notify/name pay.example.com": "203.0.113.7", "Notify/acme directory": "https://ca.test/terms",
	} {
		if got := find(t, r, line); !strings.Contains(got.Detail, want) {
			t.Errorf("%s says %q, want %q", line, got.Detail, want)
		}
	}
	k := made()
	ends := func(left time.Duration) *x509.Certificate {
		return certify(k.other.key, "pay.example.com", 9, time.Now().Add(left))
	}
	lookup := func(s *setup, addresses []string, err error) {
		s.options.Lookup = func(context.Context, string) ([]string, error) { return addresses, err }
	}
	each(t, []broken{
		{"certificate cannot be read", func(s *setup) { s.acme(plainDirectory); s.certificate(nil, errors.New("key and certificate differ")) }, "Notify/tls pay.example.com", false, "differ", "notify.tls"},
		{"storage cannot be written", func(s *setup) { s.acme(plainDirectory); s.in.Callback.Storage = s.path("key.pem/acme") }, "Notify/tls storage", false, "cannot be written", "write there"},
		{"expired", func(s *setup) { s.acme(plainDirectory); s.certificate(ends(-time.Hour), nil) }, "Notify/tls pay.example.com", false, "expired", "renew"},
		{"ends soon", func(s *setup) { s.acme(plainDirectory); s.certificate(ends(24*time.Hour), nil) }, "Notify/tls pay.example.com", true, "only until", "renew"},
		{"not valid yet", func(s *setup) { s.acme(plainDirectory); s.certificate(ends(6*365*24*time.Hour), nil) }, "Notify/tls pay.example.com", false, "not valid before", "clock"},
		{"of an unknown authority", func(s *setup) { s.acme(plainDirectory); s.certificate(ends(4*365*24*time.Hour), nil) }, "Notify/tls pay.example.com", true, "nobody", "whole chain"},
		{"development", func(s *setup) { s.in.Callback = check.Callback{Mode: "internal", Names: []string{"pay.localhost"}} }, "Notify/tls", true, "pay.localhost", "wxproxy trust"},
		{"does not resolve", func(s *setup) { s.acme(plainDirectory); lookup(s, nil, errors.New("no such host")) }, "Notify/name pay.example.com", false, "does not resolve", "DNS"},
		{"resolves to a private address", func(s *setup) { s.acme(plainDirectory); lookup(s, []string{"10.0.0.1"}, nil) }, "Notify/name pay.example.com", true, "10.0.0.1", "Internet"},
		{"authority is down", func(s *setup) { s.acme(plainDirectory).Close() }, "Notify/acme directory", false, "refused", "let this machine connect"},
		{"authority is not trusted", func(s *setup) { s.acme(plainDirectory); s.in.Callback.Roots = x509.NewCertPool() }, "Notify/acme directory", false, "signed by nobody", "notify.tls.acme.ca"},
		{"a portal answers", func(s *setup) { s.acme("<html>") }, "Notify/acme directory", false, "no ACME directory", "portal"},
		{"no such directory", func(s *setup) { s.acme(plainDirectory); s.in.Callback.Directory += "x" }, "Notify/acme directory", false, "status 404", "check the URL"},
		{"accounts must be bound", func(s *setup) {
			s.acme(strings.Replace(plainDirectory, `"meta":{`, `"meta":{"externalAccountRequired":true,`, 1))
		}, "Notify/acme directory", false, "external account binding", "acme.eab"},
		{"no such profile", func(s *setup) { s.acme(plainDirectory); s.in.Callback.Profile = "short" }, "Notify/acme directory", false, "no profile", "acme.profile"},
	}, false)
}

// Online the staging directory is asked first; otherwise not at all, and
// offline neither.
func TestCallbackDirectoriesInOrder(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name            string
		online, offline bool
		want            string
	}{
		{"by default", false, false, "acme directory"},
		{"online", true, false, "acme test_directory,acme directory"},
		{"offline", false, true, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := newSetup(t)
			if tc.online {
				s.online()
			}
			server := s.acme(plainDirectory)
			s.in.Callback.TestDirectory = server.URL + "/dir"
			s.options.Offline = tc.offline
			var got []string
			for _, c := range s.run().Checks {
				if strings.HasPrefix(c.Name, "acme ") {
					got = append(got, c.Name)
				}
			}
			if strings.Join(got, ",") != tc.want {
				t.Errorf("asked %q, want %s", got, tc.want)
			}
		})
	}
}
