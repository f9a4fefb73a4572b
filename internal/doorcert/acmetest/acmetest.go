// Package acmetest is an ACME authority for tests: a real one, Pebble, with
// the DNS that it believes, in the process and on loopback; and a scan of what
// a port agrees to. It is part of no program.
package acmetest

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log" //nolint:depguard // Pebble's constructors want one
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/letsencrypt/challtestsrv"
	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
)

// Options says how the authority is.
type Options struct {
	HTTPPort, TLSPort int               // where it looks for HTTP-01 and TLS-ALPN-01, on loopback
	Life              time.Duration     // of certificates; zero: 90 days
	EAB               map[string]string // if any, accounts must be bound to one: key by key ID, base64url
	OCSP              bool              // certificates name the responder that OCSP answers for
}

// Authority is a running ACME authority. Every name resolves to 127.0.0.1.
type Authority struct {
	Directory string         // URL
	Trust     []byte         // PEM: who signed the directory's own certificate
	Pool      *x509.CertPool // the same
	Roots     *x509.CertPool // who signs what it issues
	DNS       *challtestsrv.ChallSrv

	address string
	handler http.Handler
	store   *db.MemoryStore
	issuer  *ca.CAImpl
	orders  atomic.Int32
	trouble atomic.Pointer[http.HandlerFunc]

	mu sync.Mutex

	server *httptest.Server // nil while it is down
}

// quick keeps Pebble from pausing at random, and more. It reads this from its
// environment alone, which parallel tests cannot set for themselves.
var quick = sync.OnceFunc(func() {
	_ = os.Setenv("PEBBLE_VA_NOSLEEP", "1")      // no pauses
	_ = os.Setenv("PEBBLE_WFE_NONCEREJECT", "3") // of a hundred: clients must bear it
	_ = os.Setenv("PEBBLE_AUTHZREUSE", "0")      // every order is validated
})

// Start runs an authority until the test ends.
func Start(tb testing.TB, o Options) *Authority {
	tb.Helper()
	quick()
	quiet := log.New(io.Discard, "", 0)
	a := &Authority{store: db.NewMemoryStore()}
	dns := startDNS(tb)
	a.DNS = dns.ChallSrv
	algorithm, responder := "ecdsa", ""
	if o.OCSP {
		algorithm = "rsa" // Pebble shows no other key
		responder = a.startOCSP(tb)
	}
	for id, key := range o.EAB {
		if err := a.store.AddExternalAccountKeyByID(id, key); err != nil {
			tb.Fatal(err)
		}
	}
	a.issuer = ca.New(quiet, a.store, responder, algorithm, 0, 1, map[string]ca.Profile{
		"default": {Description: "the only one", ValidityPeriod: uint64(o.Life / time.Second)}, //nolint:gosec // positive
	})
	validator := va.New(quiet, o.HTTPPort, o.TLSPort, false, dns.address, a.store)
	front := wfe.New(quiet, a.store, validator, a.issuer, []string{"pebble.test"}, false, len(o.EAB) > 0, 1, 1)
	a.handler = front.Handler()
	a.Roots = x509.NewCertPool()
	a.Roots.AppendCertsFromPEM(a.issuer.GetRootCert(0).PEM())

	a.address = "127.0.0.1:0"
	a.Up(tb)
	tb.Cleanup(a.Down)
	a.Directory = "https://" + a.address + wfe.DirectoryPath
	a.Trust = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.server.Certificate().Raw})
	a.Pool = x509.NewCertPool()
	a.Pool.AddCert(a.server.Certificate())
	return a
}

// resolver is the DNS of every authority in the process, since
// challtestsrv's servers share one handler, the last one's.
var resolver = sync.OnceValues(func() (*nameServer, error) {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		return nil, err
	}
	dns, err := challtestsrv.New(challtestsrv.Config{DNSAddrs: []string{address}, Log: log.New(io.Discard, "", 0)})
	if err != nil {
		return nil, err
	}
	dns.SetDefaultDNSIPv4("127.0.0.1")
	dns.SetDefaultDNSIPv6("")
	go dns.Run() // as long as the process
	return &nameServer{dns, address}, nil
})

type nameServer struct {
	*challtestsrv.ChallSrv

	address string
}

func startDNS(tb testing.TB) *nameServer {
	tb.Helper()
	dns, err := resolver()
	if err != nil {
		tb.Fatal(err)
	}
	Await(tb, "the DNS of the authority", func() bool {
		c, err := new(net.Dialer).DialContext(context.Background(), "tcp", dns.address)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	return dns
}

// ServeHTTP implements http.Handler.
func (a *Authority) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if trouble := a.trouble.Load(); trouble != nil {
		(*trouble)(w, r)
		return
	}
	seen := &statusWriter{ResponseWriter: w}
	a.handler.ServeHTTP(seen, r)
	if seen.status != http.StatusCreated || !strings.HasSuffix(r.URL.Path, "/order-plz") {
		return
	}
	a.orders.Add(1) // a refused nonce is no order
}

// Orders counts the certificates that were asked for.
func (a *Authority) Orders() int { return int(a.orders.Load()) }

// statusWriter remembers the status.
type statusWriter struct {
	http.ResponseWriter

	status int
}

// WriteHeader implements http.ResponseWriter.
func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Answer has the authority answer every request by h; nil ends that.
func (a *Authority) Answer(h http.HandlerFunc) {
	if h == nil {
		a.trouble.Store(nil)
		return
	}
	a.trouble.Store(&h)
}

// Problem is an answer with an ACME error.
func Problem(status int, kind, detail string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"type":"urn:ietf:params:acme:error:%s","detail":%q,"status":%d}`, kind, detail, status)
	}
}

// Down has connections to the authority refused, until Up.
func (a *Authority) Down() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.server != nil {
		a.server.CloseClientConnections()
		a.server.Close()
		a.server = nil
	}
}

// Up lets it answer again, under the same address.
func (a *Authority) Up(tb testing.TB) {
	tb.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", a.address)
	if err != nil {
		tb.Fatal(err)
	}
	a.address = l.Addr().String()
	a.server = httptest.NewUnstartedServer(a)
	_ = a.server.Listener.Close()
	a.server.Listener = l
	a.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	a.server.StartTLS()
}

// FreePort is a port of loopback that was free a moment ago.
func FreePort(tb testing.TB) int {
	tb.Helper()
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // it is TCP
}

// patience is how long anything here may take on a busy machine.
const patience = 90 * time.Second

// Await looks until something is so.
func Await(tb testing.TB, what string, so func() bool) {
	tb.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-tick.C:
		case <-deadline.C:
			tb.Fatalf("still waiting for %s", what)
		}
	}
}
