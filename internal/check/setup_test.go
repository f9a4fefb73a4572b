package check_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wxproxy/wxproxy/internal/check"
	"github.com/wxproxy/wxproxy/internal/merchant"
	"github.com/wxproxy/wxproxy/internal/secret"
)

const (
	mchid    = "1900000001"
	apiv3Key = "0123456789abcdefghijklmnopqrstuv"
	otherKey = "vutsrqponmlkjihgfedcba9876543210"
	pubKeyID = "PUB_KEY_ID_0119000000012026010100000000"
)

// pair is a key with its certificate.
type pair struct {
	key  *rsa.PrivateKey
	cert *x509.Certificate
}

func (p pair) pkcs8() string {
	der, err := x509.MarshalPKCS8PrivateKey(p.key)
	if err != nil {
		panic(err)
	}
	return block("PRIVATE KEY", der)
}

func (p pair) certificate() string { return block("CERTIFICATE", p.cert.Raw) }

func (p pair) public() string {
	der, err := x509.MarshalPKIXPublicKey(&p.key.PublicKey)
	if err != nil {
		panic(err)
	}
	return block("PUBLIC KEY", der)
}

func block(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// keys are made once: each takes a noticeable part of a second.
type keys struct{ shop, other, platform, public pair }

var made = sync.OnceValue(func() keys {
	var k keys
	var all sync.WaitGroup
	for i, p := range []*pair{&k.shop, &k.other, &k.platform, &k.public} {
		all.Go(func() {
			key, err := rsa.GenerateKey(rand.Reader, 2048)
			if err != nil {
				panic(err)
			}
			subject := []string{mchid, mchid, "Tenpay.com sign", "Tenpay.com public"}[i]
			*p = pair{key, certify(key, subject, int64(i)+1, time.Now().Add(365*24*time.Hour))}
		})
	}
	all.Wait()
	return k
})

func certify(key *rsa.PrivateKey, subject string, number int64, end time.Time) *x509.Certificate {
	serial := new(big.Int).Lsh(big.NewInt(number+0x70), 152) // 40 digits, as WeChat Pay's
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: subject},
		NotBefore: end.Add(-5 * 365 * 24 * time.Hour), NotAfter: end, DNSNames: []string{"example.com"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return cert
}

// setup is a good setup, for tests to break one thing of.
type setup struct {
	t       *testing.T
	dir     string
	env     map[string]string
	in      check.Input
	options check.Options
	wechat  *wechat
	server  *httptest.Server
}

// newSetup has a merchant with everything, a TLS server that is WeChat Pay,
// and a route.
func newSetup(t *testing.T) *setup {
	t.Helper()
	s := &setup{t: t, dir: t.TempDir(), env: map[string]string{"APIV3_KEY": apiv3Key}, wechat: newWechat()}
	s.server = quiet(s.wechat)
	s.server.StartTLS()
	t.Cleanup(s.server.Close)
	pool := x509.NewCertPool()
	pool.AddCert(s.server.Certificate())
	k := made()
	s.write("key.pem", k.shop.pkcs8())
	s.write("cert.pem", k.shop.certificate())
	s.write("pub.pem", k.public.public())
	s.in = check.Input{
		Source: "wxproxy.yaml", StateDir: s.path("state"), PublicURL: "https://pay.example.com",
		Listeners: []check.Listener{{Key: "outbound.listen[0]", Network: "tcp", Address: "127.0.0.1:0"}},
		Merchants: []check.Merchant{{Certificates: true, Spec: merchant.Spec{
			Name: "shop", MchID: mchid, Certificate: s.file("cert.pem"), PrivateKey: s.file("key.pem"),
			APIv3Key:  secret.Ref{Scheme: "env", Target: "APIV3_KEY"},
			PublicKey: s.file("pub.pem"), PublicKeyID: pubKeyID,
		}}},
		Routes:    []check.Route{{Path: "/notify/shop", Merchants: []string{"shop"}}},
		Upstreams: []*url.URL{s.base(s.server.URL)}, RootCAs: pool,
	}
	s.options = check.Options{Timeout: 10 * time.Second, Reader: secret.Reader{Env: func(name string) (string, bool) {
		v, ok := s.env[name]
		return v, ok
	}}}
	return s
}

// quiet is a server that does not log the connections that tests break.
func quiet(h http.Handler) *httptest.Server {
	server := httptest.NewUnstartedServer(h)
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	return server
}

func (s *setup) path(name string) string { return filepath.Join(s.dir, name) }

func (s *setup) file(name string) secret.Ref {
	return secret.Ref{Scheme: "file", Target: s.path(name)}
}

func (s *setup) write(name, content string) {
	s.t.Helper()
	if err := os.WriteFile(s.path(name), []byte(content), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *setup) base(text string) *url.URL {
	s.t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		s.t.Fatal(err)
	}
	return u
}

func (s *setup) shop() *check.Merchant { return &s.in.Merchants[0] }

// online turns the calls to WeChat Pay on.
func (s *setup) online() { s.options.Send = s.wechat.send }

func (s *setup) run() check.Report {
	s.t.Helper()
	r := check.Run(s.t.Context(), s.in, s.options)
	noSecrets(s.t, r)
	return r
}

// line is how tests name a check: "Config/state_dir".
func line(c check.Check) string { return c.Group + "/" + c.Name }

func find(t *testing.T, r check.Report, name string) check.Check {
	t.Helper()
	for _, c := range r.Checks {
		if line(c) == name {
			return c
		}
	}
	t.Fatalf("no line %q in:\n%s", name, text(t, r))
	return check.Check{}
}

func text(t *testing.T, r check.Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.WriteText(&b, false); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// noSecrets searches both forms of a report for every secret in every form.
func noSecrets(t *testing.T, r check.Report) {
	t.Helper()
	var out bytes.Buffer
	out.WriteString(text(t, r))
	if err := r.WriteJSON(&out); err != nil {
		t.Fatal(err)
	}
	if found := secretIn(out.String()); found != "" {
		t.Errorf("report shows a secret (%s):\n%s", found, out.String())
	}
}

func secretIn(out string) string {
	for _, s := range []string{apiv3Key, otherKey} {
		for form, text := range map[string]string{
			"plain": s, "base64": base64.StdEncoding.EncodeToString([]byte(s)), "hex": hex.EncodeToString([]byte(s)),
		} {
			if strings.Contains(strings.ToLower(out), strings.ToLower(text)) {
				return "API key, " + form
			}
		}
	}
	k := made()
	for _, p := range []pair{k.shop, k.other} {
		for _, der := range [][]byte{x509.MarshalPKCS1PrivateKey(p.key), p.key.D.Bytes(), p.key.Primes[0].Bytes()} {
			middle := der[len(der)/3:][:30] // a multiple of three bytes, for base64 that lines up
			for offset := range 3 {
				if strings.Contains(out, base64.StdEncoding.EncodeToString(middle[offset:][:27])) {
					return "private key, base64"
				}
			}
			if strings.Contains(strings.ToLower(out), hex.EncodeToString(middle)) {
				return "private key, hex"
			}
		}
		for i, l := range strings.Split(p.pkcs8(), "\n") {
			if i > 0 && len(l) == 64 && strings.Contains(out, l) {
				return "private key, PEM"
			}
		}
	}
	for _, word := range []string{"WECHATPAY2-SHA256-RSA2048 ", "nonce_str", "wxproxy check "} {
		// the last one begins the text of the self-test; the command's own
		// name stands in a hint, with a flag after it
		if strings.Contains(strings.ReplaceAll(out, "wxproxy check --online", ""), word) {
			return word
		}
	}
	return ""
}

// refusedAddress is one where nobody listens.
func refusedAddress(t *testing.T) string {
	t.Helper()
	l := listen(t, "tcp", "127.0.0.1:0")
	defer l.Close()
	return l.Addr().String()
}

func listen(t *testing.T, network, address string) net.Listener {
	t.Helper()
	var c net.ListenConfig
	l, err := c.Listen(t.Context(), network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// plain is the server's answer to a probe, with a clock that is off.
func plain(off time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", time.Now().Add(off).UTC().Format(http.TimeFormat))
		w.WriteHeader(http.StatusNotFound)
	}
}

type dialer func(ctx context.Context, network, address string) (net.Conn, error)
