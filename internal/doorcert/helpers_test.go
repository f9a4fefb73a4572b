package doorcert_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/wxproxy/wxproxy/internal/doorcert"
	"github.com/wxproxy/wxproxy/internal/secret"
)

// transcript is a log that others write to.
type transcript struct {
	mu sync.Mutex

	text bytes.Buffer
}

func (l *transcript) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *transcript) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *transcript) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// serve answers handshakes on a listener until the test ends.
func serve(t *testing.T, d *doorcert.Door, l net.Listener) {
	t.Helper()
	serveTLS(t, d.TLS(), l)
}

func serveTLS(t *testing.T, c *tls.Config, l net.Listener) {
	t.Helper()
	server := &http.Server{
		Handler:   http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }),
		TLSConfig: c, ReadHeaderTimeout: time.Minute, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
	}
	go func() { _ = server.ServeTLS(l, "", "") }()
	t.Cleanup(func() { _ = server.Close() })
}

func listen(t *testing.T) (net.Listener, int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l, l.Addr().(*net.TCPAddr).Port
}

// shake makes a handshake and returns what was agreed on.
func shake(t *testing.T, address string, c *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	dialer := tls.Dialer{Config: c}
	conn, err := dialer.DialContext(t.Context(), "tcp", address)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer conn.Close()
	return conn.(*tls.Conn).ConnectionState(), nil
}

// files is a certificate and its key on disk.
type files struct {
	dir   string
	roots *x509.CertPool
}

func newFiles(t *testing.T) *files {
	t.Helper()
	return &files{dir: t.TempDir()}
}

func (f *files) options(r *secret.Reader) doorcert.FilesOptions {
	return doorcert.FilesOptions{
		Certificate: secret.Ref{Scheme: secret.SchemeFile, Target: filepath.Join(f.dir, "chain.pem")},
		PrivateKey:  secret.Ref{Scheme: secret.SchemeFile, Target: filepath.Join(f.dir, "key.pem")}, Reader: r,
	}
}

// issue writes a new self-signed pair and returns its certificate.
func (f *files) issue(t *testing.T, from, to time.Time, names ...string) *x509.Certificate {
	t.Helper()
	chain, key, leaf := issue(t, from, to, names...)
	f.write(t, "chain.pem", chain)
	f.write(t, "key.pem", key)
	f.roots = x509.NewCertPool()
	f.roots.AddCert(leaf)
	return leaf
}

func (f *files) write(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(f.dir, name), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func issue(t *testing.T, from, to time.Time, names ...string) (chain, key []byte, leaf *x509.Certificate) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return issueTo(t, private, from, to, names...)
}

func issueTo(t *testing.T, private crypto.Signer, from, to time.Time, names ...string) (chain, key []byte, leaf *x509.Certificate) {
	t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: fmt.Sprint(names)}, NotBefore: from, NotAfter: to,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	if leaf, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), leaf
}

// runs has a Door maintained until the test ends, or stop is called.
func runs(t *testing.T, d *doorcert.Door) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}
