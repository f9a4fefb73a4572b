package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wxproxy/wxproxy/internal/config"
	"github.com/wxproxy/wxproxy/internal/secret"
	"github.com/wxproxy/wxproxy/internal/wire"
	"github.com/wxproxy/wxproxy/proxy"
	"github.com/wxproxy/wxproxy/verifier"
)

// The story must not hold with a proxy that is broken: each row breaks one
// thing on purpose and names the step that has to tell.
func TestDemoStoryCannotLie(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		broken breakage
		step   string
	}{
		{"signs with another key", breakage{config: foreignMerchantKey}, "step 2 (The same call through wxproxy succeeds)"},
		{"takes any answer", breakage{weChat: blessedAnswers(anything)}, "step 3 (The answer to a query is verified)"},
		{"takes probes of answers", breakage{weChat: blessedAnswers(isProbe)}, "step 9 (Signature probes are refused"},
		{"takes any notify", breakage{notify: blessedNotifies(anything)}, "step 6 (Forged notifies are refused)"},
		{"takes notifies without signature", breakage{notify: blessedNotifies(isUnsigned)}, "step 6 (Forged notifies are refused)"},
		{"takes stale notifies", breakage{notify: blessedNotifies(isStale)}, "step 8 (A stale notify is refused)"},
		{"takes probes of notifies", breakage{notify: blessedNotifies(isProbe)}, "step 9 (Signature probes are refused"},
		{"forgets what was delivered", breakage{notify: forgetfulNotify}, "step 7 (A replayed notify is not delivered twice)"},
		{"delivers each notify twice", breakage{notify: doubleNotify}, "step 4 (A payment arrives as plain JSON)"},
		{"acknowledges without delivery", breakage{notify: deafNotify}, "step 4 (A payment arrives as plain JSON)"},
		{"does not decrypt", breakage{config: rawBody}, "step 4 (A payment arrives as plain JSON)"},
		{"never refreshes certificates", breakage{outbound: frozenCertificates}, "step 10 (The platform certificate changes under load)"},
		{"has the wrong public key", breakage{config: foreignPublicKey}, "step 11 (From certificates to the public key"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			stdout, stderr, code := playOnce(t, tt.broken)
			if code != exitFailed || !strings.Contains(stderr, tt.step) || !strings.Contains(stderr, "expected") {
				t.Errorf("exit %d, want %d and %q; got %s\n%s", code, exitFailed, tt.step, stderr, stdout)
			}
		})
	}
}

// foreignMerchantKey gives the signer a key that is not the certificate's.
func foreignMerchantKey(t *testing.T, g *demoStage, c *config.Config) {
	m := g.sim.Merchants()[0]
	der, err := x509.MarshalPKCS8PrivateKey(demoForeignKey())
	if err != nil {
		t.Fatal(err)
	}
	c.Merchants[0].PrivateKey = writeDemoPEM(t, "PRIVATE KEY", der)
	c.Merchants[0].Certificate = secret.Ref{} // with it, the key would be refused at the start
	c.Merchants[0].MchID, c.Merchants[0].SerialNo = m.MchID, wire.CertificateSerial(m.Certificate)
}

func foreignPublicKey(t *testing.T, _ *demoStage, c *config.Config) {
	der, err := x509.MarshalPKIXPublicKey(&demoForeignKey().PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	c.Merchants[0].Platform.PublicKey = writeDemoPEM(t, "PUBLIC KEY", der)
}

func writeDemoPEM(t *testing.T, kind string, der []byte) secret.Ref {
	t.Helper()
	path := filepath.Join(t.TempDir(), "foreign.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return secret.Ref{Scheme: "file", Target: path}
}

func rawBody(_ *testing.T, _ *demoStage, c *config.Config) { c.Notify.Routes[0].Body = "raw" }

// bless signs the body as WeChat Pay would, now. A verifier whose input was
// blessed is one that takes what it should not.
func bless(h http.Header, body []byte) {
	timestamp, nonce := wire.FormatTimestamp(time.Now().Unix()), rand.Text()
	digest := sha256.Sum256(wire.ResponseMessage(timestamp, nonce, body))
	signature, err := rsa.SignPKCS1v15(rand.Reader, demoPublicKeyPair(), crypto.SHA256, digest[:])
	if err != nil {
		panic(err) // of a valid key: cannot happen
	}
	h.Set(wire.HeaderTimestamp, timestamp)
	h.Set(wire.HeaderNonce, nonce)
	h.Set(wire.HeaderSerial, demoPublicKeyID)
	h.Set(wire.HeaderSignature, base64.StdEncoding.EncodeToString(signature))
	h.Set(wire.HeaderSignatureType, wire.SchemeRSA)
}

// What is blessed.
func anything(http.Header) bool     { return true }
func isUnsigned(h http.Header) bool { return h.Get(wire.HeaderSignature) == "" }
func isProbe(h http.Header) bool {
	return strings.HasPrefix(h.Get(wire.HeaderSignature), wire.ProbePrefix)
}
func isStale(h http.Header) bool {
	at, err := strconv.ParseInt(h.Get(wire.HeaderTimestamp), 10, 64)
	return err == nil && time.Now().Unix()-at > wire.WindowSeconds
}

// blessedAnswers stands for an outbound side that does not verify.
func blessedAnswers(when func(http.Header) bool) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			answer := httptest.NewRecorder()
			next.ServeHTTP(answer, r)
			maps.Copy(w.Header(), answer.Header())
			if answer.Code == http.StatusOK && when(w.Header()) {
				bless(w.Header(), answer.Body.Bytes())
			}
			w.WriteHeader(answer.Code)
			_, _ = w.Write(answer.Body.Bytes())
		})
	}
}

// blessedNotifies stands for a notify side that does not verify.
func blessedNotifies(when func(http.Header) bool) func(*testing.T, *sidecar) http.Handler {
	return func(_ *testing.T, s *sidecar) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return
			}
			if when(r.Header) {
				bless(r.Header, body)
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			s.notify.ServeHTTP(w, r)
		})
	}
}

// newDemoNotify is a notify side like the sidecar's, that has taken nothing yet.
func newDemoNotify(s *sidecar) (*proxy.Notify, error) {
	route := s.cfg.Notify.Routes[0]
	return proxy.NewNotify(proxy.NotifyOptions{
		Merchants: s.merchants, Table: s.table, Routes: []proxy.Route{{Path: route.Path, To: route.To}},
	})
}

// forgetfulNotify has no memory of what the app has taken.
func forgetfulNotify(_ *testing.T, s *sidecar) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := newDemoNotify(s)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		n.ServeHTTP(w, r)
		_ = n.Drain(r.Context())
	})
}

// doubleNotify delivers all at once and twice.
func doubleNotify(t *testing.T, s *sidecar) http.Handler {
	forgetful := forgetfulNotify(t, s)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		forgetful.ServeHTTP(httptest.NewRecorder(), r)
		r.Body = io.NopCloser(bytes.NewReader(body))
		forgetful.ServeHTTP(w, r)
	})
}

// deafNotify says that all is well.
func deafNotify(*testing.T, *sidecar) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
}

// knownKeys verifies with the keys of the moment and never asks for new ones.
type knownKeys struct{ *account }

func (k knownKeys) Lookup(_ context.Context, serial string) (*rsa.PublicKey, error) {
	if key, ok := k.cache.Find(serial); ok {
		return key, nil
	}
	return nil, verifier.ErrSerialUnknown
}

// frozenCertificates knows the certificates of the beginning only.
func frozenCertificates(t *testing.T, s *sidecar) (http.Handler, error) {
	a := s.accounts[0]
	if err := a.cache.Refresh(t.Context()); err != nil {
		return nil, fmt.Errorf("loading the first certificates: %w", err)
	}
	m := a.proxied()
	m.AnswerKeys = knownKeys{a}
	limits := s.cfg.Outbound.Limits
	o, err := proxy.NewOutbound(proxy.OutboundOptions{
		Merchants: []*proxy.Merchant{m}, Table: s.table, Upstream: s.upstream,
		Limits: proxy.Limits{Request: int64(limits.Request), Response: int64(limits.Response), InFlight: int64(limits.InFlight)},
	})
	if err != nil {
		return nil, err
	}
	return o.Handler(proxy.Listener{}), nil
}
