//go:build e2e

package e2e

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/wxproxy/wxproxy/internal/doorcert/acmetest"
	"github.com/wxproxy/wxproxy/internal/sim"
)

const payName = "pay.example.test"

// acmeShop is what sidecars before an ACME authority have in common: merchant,
// app, authority and storage.
type acmeShop struct {
	t         *testing.T
	wechat    *wechat
	app       *httptest.Server
	authority *acmetest.Authority
	dir       string // of the authority's root and the storage
}

func newACMEShop(t *testing.T, o acmetest.Options) *acmeShop {
	t.Helper()
	s := &acmeShop{t: t, wechat: startWeChat(t, shortDir(t)), authority: acmetest.Start(t, o), dir: shortDir(t)}
	s.app = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(s.app.Close)
	writeFile(t, filepath.Join(s.dir, "acme_ca.pem"), s.authority.Trust)
	return s
}

// start runs a sidecar whose notify port is the one given.
func (s *acmeShop) start(port int) *sidecar {
	s.t.Helper()
	return startSidecar(s.t, setup{
		merchants: s.wechat.merchant("shop"), upstream: s.wechat.url, routes: route("/notify/shop", "shop", s.app.URL),
		notify: strings.NewReplacer("NAME", payName, "DIRECTORY", s.authority.Directory, "DIR", s.dir).Replace(`
  public_url: https://NAME
  tls:
    mode: acme
    storage: file:DIR/acme
    acme: {directory: "DIRECTORY", ca: DIR/acme_ca.pem, email: ops@example.com, terms_agreed: true, check_every: 1s}`),
		env: []string{fmt.Sprintf("WXPROXY_NOTIFY_LISTEN=127.0.0.1:%d", port)},
	})
}

// payer sends real notifies to a port, each over a connection of its own.
type payer struct {
	sim    *sim.Sim
	mu     sync.Mutex
	serial []string // of the certificates seen, each once
}

func (s *acmeShop) payer(port int) *payer {
	s.t.Helper()
	o, err := sim.ReadDir(s.wechat.dir)
	if err != nil {
		s.t.Fatal(err)
	}
	p := &payer{}
	o.Client = &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true, ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, fmt.Sprintf("127.0.0.1:%d", port))
		},
		TLSClientConfig: &tls.Config{RootCAs: s.authority.Roots, VerifyConnection: p.note},
	}}
	if p.sim, err = sim.New(o); err != nil {
		s.t.Fatal(err)
	}
	return p
}

func (p *payer) note(c tls.ConnectionState) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	serial := c.PeerCertificates[0].SerialNumber.String()
	if len(p.serial) == 0 || p.serial[len(p.serial)-1] != serial {
		p.serial = append(p.serial, serial)
	}
	return nil
}

func (p *payer) serials() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.serial...)
}

func (p *payer) send(t *testing.T) sim.Delivery {
	t.Helper()
	d, err := p.sim.Send(t.Context(), "https://"+payName+"/notify/shop", sim.Notice{Event: "TRANSACTION.SUCCESS"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// await sends until a notify is taken.
func (p *payer) await(t *testing.T) {
	t.Helper()
	acmetest.Await(t, "a notify to be taken", func() bool { return p.send(t).Verdict == sim.VerdictTaken })
}

// Under steady callbacks a certificate that lives half a minute is renewed
// twice, and not one callback is refused.
func TestRenewalUnderCallbacks(t *testing.T) {
	t.Parallel()
	port := acmetest.FreePort(t)
	s := newACMEShop(t, acmetest.Options{TLSPort: port, Life: 36 * time.Second})
	c := s.start(port)
	p := s.payer(port)
	p.await(t)
	sent := 0
	acmetest.Await(t, "two renewals", func() bool {
		if d := p.send(t); d.Verdict != sim.VerdictTaken {
			t.Errorf("refused: %s %s", d.Verdict, d.Reason)
		}
		sent++
		return t.Failed() || len(p.serials()) >= 3
	})
	t.Logf("%d callbacks, %d certificates, %d orders", sent, len(p.serials()), s.authority.Orders())
	if sent < 20 {
		t.Errorf("only %d callbacks", sent)
	}
	c.awaitAdmin("/metrics", `wxproxy_tls_orders_total{outcome="done"} `, http.StatusOK)
	c.stop()
	for line := range strings.SplitSeq(c.out.String(), "\n") {
		if line != "" && !strings.HasPrefix(line, "{") {
			t.Errorf("not in the log's own form: %s", line)
		}
	}
}

// Two processes on one storage make one order, and both serve: the challenge
// of one may arrive at the other.
func TestReplicasShareACertificate(t *testing.T) {
	t.Parallel()
	ports := []int{acmetest.FreePort(t), acmetest.FreePort(t)}
	s := newACMEShop(t, acmetest.Options{TLSPort: ports[0]})
	var payers []*payer
	for _, port := range ports {
		s.start(port)
		payers = append(payers, s.payer(port))
	}
	for _, p := range payers {
		p.await(t)
	}
	if a, b := payers[0].serials(), payers[1].serials(); len(a) != 1 || len(b) != 1 || a[0] != b[0] {
		t.Errorf("certificates %v and %v", a, b)
	}
	if got := s.authority.Orders(); got != 1 {
		t.Errorf("%d orders, want 1", got)
	}
}

// A process that is killed while it holds the lock of an order does not keep
// others from making it.
func TestKilledWhileItOrders(t *testing.T) {
	t.Parallel()
	gate := newGate(t)
	s := newACMEShop(t, acmetest.Options{TLSPort: gate.port})
	victim := s.start(acmetest.FreePort(t))
	<-gate.knocked // the authority wants to see the challenge: the lock is held
	locks, err := filepath.Glob(filepath.Join(s.dir, "acme", "locks", "*"))
	if err != nil || len(locks) == 0 {
		t.Fatalf("no lock is held: %v, %v", locks, err)
	}
	victim.signal(syscall.SIGKILL)
	<-victim.exited
	port := acmetest.FreePort(t)
	gate.open(port)
	c := s.start(port)
	s.payer(port).await(t)
	if !strings.Contains(c.out.String(), "stale") {
		t.Error("the log does not tell of the lock that was left")
	}
	acmetest.Await(t, "the locks to be given back", func() bool {
		left, err := os.ReadDir(filepath.Join(s.dir, "acme", "locks"))
		return err == nil && len(left) == 0
	})
}

// While the authority cannot be reached the rest works, and when it can the
// certificate comes by itself.
func TestAuthorityComesBack(t *testing.T) {
	t.Parallel()
	port := acmetest.FreePort(t)
	s := newACMEShop(t, acmetest.Options{TLSPort: port})
	s.authority.Down()
	c := s.start(port)
	c.awaitAdmin("/readyz", "let this machine connect to the authority", http.StatusOK)
	if got := curl(t, nil, c.outbound+"/v3/certificates"); got.status != http.StatusOK {
		t.Errorf("outbound: %s", got.raw)
	}
	p := s.payer(port)
	if d := p.send(t); d.Verdict == sim.VerdictTaken {
		t.Error("a notify was taken without a certificate")
	}
	s.authority.Up(t)
	p.await(t)
	c.awaitAdmin("/metrics", `wxproxy_tls_certificate_problem{name="`+payName+`"} 0`, http.StatusOK)
}

// gate stands where the authority looks for challenges. Closed, it accepts and
// says nothing.
type gate struct {
	port    int
	knocked chan struct{} // closed at the first connection
	to      chan int      // holds the port behind it, once it is open
}

func newGate(t *testing.T) *gate {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{port: l.Addr().(*net.TCPAddr).Port, knocked: make(chan struct{}), to: make(chan int, 1)}
	ended := make(chan struct{})
	t.Cleanup(func() { close(ended); _ = l.Close() })
	knock := sync.OnceFunc(func() { close(g.knocked) })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			knock()
			go g.pass(c, ended)
		}
	}()
	return g
}

func (g *gate) open(port int) { g.to <- port }

func (g *gate) pass(c net.Conn, ended <-chan struct{}) {
	defer c.Close()
	select {
	case <-ended:
		return
	case port := <-g.to:
		g.to <- port
		back, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			return
		}
		defer back.Close()
		go func() { _, _ = io.Copy(back, c) }()
		_, _ = io.Copy(c, back)
	}
}
