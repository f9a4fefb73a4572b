package doorcert_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"
	"go.uber.org/goleak"

	"github.com/wxproxy/wxproxy/internal/doorcert"
	"github.com/wxproxy/wxproxy/internal/doorcert/acmetest"
	"github.com/wxproxy/wxproxy/internal/secret"
)

// acmeRig is a Door before an authority of its own.
type acmeRig struct {
	t         *testing.T
	authority *acmetest.Authority
	names     []string
	listener  net.Listener
	options   doorcert.ACMEOptions
	log       *transcript

	serving net.Listener // that somebody answers on
	door    atomic.Pointer[tls.Config]
}

func newACMERig(t *testing.T, o acmetest.Options, names ...string) *acmeRig {
	t.Helper()
	l, port := listen(t)
	if o.TLSPort == 0 {
		o.TLSPort = port
	}
	a := acmetest.Start(t, o)
	text := new(transcript)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log:\n%s", text)
		}
	})
	return &acmeRig{
		t: t, authority: a, names: names, listener: l, log: text,
		options: doorcert.ACMEOptions{
			Directory: a.Directory, Roots: a.Pool, Email: "ops@example.com", TermsAgreed: true,
			Storage: &certmagic.FileStorage{Path: t.TempDir()}, Listener: l.Addr(),
			RenewEvery: 100 * time.Millisecond, OCSPEvery: 100 * time.Millisecond,
		},
	}
}

// start serves with a Door until stop is called or the test ends; another one
// may then be started in its place.
func (r *acmeRig) start() (d *doorcert.ACME, stop func()) {
	r.t.Helper()
	d, err := doorcert.NewACME(doorcert.Options{Names: r.names, Log: r.log.logger()}, r.options)
	if err != nil {
		r.t.Fatal(err)
	}
	r.door.Store(d.TLS())
	if r.serving != r.listener {
		r.serving = r.listener
		serveTLS(r.t, &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return r.door.Load(), nil
		}}, r.listener)
	}
	return d, runs(r.t, d.Door)
}

func (r *acmeRig) shake(name string) (*x509.Certificate, error) {
	r.t.Helper()
	state, err := shake(r.t, r.listener.Addr().String(), &tls.Config{ServerName: name, RootCAs: r.authority.Roots})
	if err != nil {
		return nil, err
	}
	return state.PeerCertificates[0], nil
}

// served waits for a certificate that clients accept.
func (r *acmeRig) served(name string) (leaf *x509.Certificate) {
	r.t.Helper()
	acmetest.Await(r.t, "a certificate for "+name, func() bool {
		var err error
		leaf, err = r.shake(name)
		return err == nil
	})
	return leaf
}

func TestACMEObtains(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		setup func(t *testing.T) (acmetest.Options, func(*acmeRig))
	}{
		{"TLS-ALPN-01", func(*testing.T) (acmetest.Options, func(*acmeRig)) {
			return acmetest.Options{}, func(*acmeRig) {}
		}},
		{"HTTP-01", func(t *testing.T) (acmetest.Options, func(*acmeRig)) {
			l, port := listen(t)
			return acmetest.Options{HTTPPort: port, TLSPort: acmetest.FreePort(t)}, func(r *acmeRig) {
				r.options.Listener, r.options.HTTPListener = nil, l.Addr()
				var d *doorcert.ACME
				server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
					d.ChallengeHandler().ServeHTTP(w, q)
				})}
				d, _ = r.start()
				go func() { _ = server.Serve(l) }()
				t.Cleanup(func() { _ = server.Close() })
				for _, path := range []string{"/", "/notify", "/.well-known/acme-challenge/x"} {
					answer, err := http.Get("http://" + l.Addr().String() + path)
					if err != nil {
						t.Fatal(err)
					}
					_ = answer.Body.Close()
					if answer.StatusCode != http.StatusNotFound {
						t.Errorf("%s: %s", path, answer.Status)
					}
				}
			}
		}},
		{"HTTP-01 fails, TLS-ALPN-01 follows", func(t *testing.T) (acmetest.Options, func(*acmeRig)) {
			l, _ := listen(t) // where the authority does not look
			return acmetest.Options{HTTPPort: acmetest.FreePort(t)}, func(r *acmeRig) { r.options.HTTPListener = l.Addr() }
		}},
		{"DNS-01", func(t *testing.T) (acmetest.Options, func(*acmeRig)) {
			return acmetest.Options{TLSPort: acmetest.FreePort(t), HTTPPort: acmetest.FreePort(t)}, func(r *acmeRig) {
				r.options.Listener, r.options.DNS = nil, records{r.authority}
			}
		}},
		{"bound account", func(*testing.T) (acmetest.Options, func(*acmeRig)) {
			key := base64.RawURLEncoding.EncodeToString([]byte("0123456789abcdef0123456789abcdef"))
			return acmetest.Options{EAB: map[string]string{"kid-1": key}}, func(r *acmeRig) {
				r.options.EABKeyID, r.options.EABKey = "kid-1", secret.NewValue([]byte(key+"\n"))
			}
		}},
		{"RSA key", func(*testing.T) (acmetest.Options, func(*acmeRig)) {
			return acmetest.Options{}, func(r *acmeRig) { r.options.KeyType = "rsa2048" }
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			o, change := tc.setup(t)
			names := []string{"a." + strings.ToLower(strings.Fields(tc.name)[0]) + ".test", "b." + strings.ToLower(strings.Fields(tc.name)[0]) + ".test"}
			r := newACMERig(t, o, names...)
			change(r)
			if !strings.HasPrefix(tc.name, "HTTP-01") || r.options.Listener != nil {
				r.start()
			}
			for _, name := range names {
				leaf := r.served(name)
				if len(leaf.DNSNames) != 1 || leaf.DNSNames[0] != name {
					t.Errorf("%s: the certificate is for %q", name, leaf.DNSNames)
				}
				if kind := leaf.PublicKeyAlgorithm; (kind == x509.RSA) != (r.options.KeyType == "rsa2048") {
					t.Errorf("%s: key is %v", name, kind)
				}
			}
			if _, err := r.shake("other.test"); err == nil {
				t.Error("another name was answered for")
			}
			for _, forbidden := range []string{"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY", "PRIVATE KEY"} {
				if strings.Contains(r.log.String(), forbidden) {
					t.Errorf("the log has %q", forbidden)
				}
			}
		})
	}
}

// records solves DNS-01 in the authority's own DNS: what a libdns provider is
// wrapped in.
type records struct{ authority *acmetest.Authority }

func (s records) Present(_ context.Context, c acme.Challenge) error {
	s.authority.DNS.AddDNSTXTRecord(c.DNS01TXTRecordName()+".", c.DNS01KeyAuthorization())
	return nil
}

func (s records) CleanUp(_ context.Context, c acme.Challenge) error {
	s.authority.DNS.DeleteDNSTXTRecord(c.DNS01TXTRecordName() + ".")
	return nil
}

// A restart takes what is stored, with the authority down too; and when Run
// has ended nothing of it is left.
func TestACMERestartsWithoutTheAuthority(t *testing.T) {
	const name = "restart.test"
	r := newACMERig(t, acmetest.Options{}, name)
	d, err := doorcert.NewACME(doorcert.Options{Names: r.names}, r.options)
	if err != nil {
		t.Fatal(err)
	}
	serve(t, d.Door, r.listener)
	before := goleak.IgnoreCurrent()
	stop := runs(t, d.Door)
	first := r.served(name)
	stop()
	r.authority.Down()           // and with it the connections that certmagic keeps open
	goleak.VerifyNone(t, before, // what certmagic keeps for the process's life, and for five seconds:
		goleak.IgnoreAnyFunction("github.com/caddyserver/certmagic.(*RingBufferRateLimiter).loop"),
		goleak.IgnoreAnyFunction("github.com/caddyserver/certmagic.keepLockfileFresh"))
	l, _ := listen(t)
	r.listener, r.options.Listener = l, l.Addr()
	d, _ = r.start()
	if again := r.served(name); !again.Equal(first) {
		t.Error("another certificate after the restart")
	}
	if got := r.authority.Orders(); got != 1 {
		t.Errorf("%d orders, want 1", got)
	}
	if s := d.Status()[0]; !s.Ready || s.Warning != "" || !s.Expires.Equal(first.NotAfter) {
		t.Errorf("status %+v", s)
	}
}

func TestACMEOptions(t *testing.T) {
	t.Parallel()
	good := doorcert.ACMEOptions{Directory: "https://ca.test/dir", TermsAgreed: true, Storage: &certmagic.FileStorage{Path: t.TempDir()}, Listener: &net.TCPAddr{Port: 443}}
	names := doorcert.Options{Names: []string{"a.test"}}
	if _, err := doorcert.NewACME(names, good); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*doorcert.Options, *doorcert.ACMEOptions){
		"terms":     func(_ *doorcert.Options, a *doorcert.ACMEOptions) { a.TermsAgreed = false },
		"names":     func(o *doorcert.Options, _ *doorcert.ACMEOptions) { o.Names = nil },
		"storage":   func(_ *doorcert.Options, a *doorcert.ACMEOptions) { a.Storage = nil },
		"directory": func(_ *doorcert.Options, a *doorcert.ACMEOptions) { a.Directory = "" },
		"challenge": func(_ *doorcert.Options, a *doorcert.ACMEOptions) { a.Listener = nil },
	} {
		o, a := names, good
		spoil(&o, &a)
		if _, err := doorcert.NewACME(o, a); err == nil {
			t.Errorf("without %s it was made", name)
		}
	}
	a := good
	a.TermsAgreed = false
	if _, err := doorcert.NewACME(names, a); !errors.Is(err, doorcert.ErrTerms) {
		t.Errorf("terms: %v", err)
	}
}
