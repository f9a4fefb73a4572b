package injector_test

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	jsonpatch "github.com/evanphx/json-patch/v5"

	"github.com/wxproxy/wxproxy/internal/injector"
)

// kube is as much of a Kubernetes API as the certificate needs, with its rule
// that a change is based on the version that it names.
type kube struct {
	mu sync.Mutex

	version int
	data    map[string]any
	hook    []byte
	down    bool
	frozen  bool   // the webhook configuration
	before  func() // runs before a Secret is written, once
}

const hookJSON = `{"webhooks":[{"name":"a.wxproxy.dev","clientConfig":{"service":{"name":"x"}}},{"name":"b.wxproxy.dev","clientConfig":{"service":{"name":"x"},"caBundle":"QQ=="}}]}`

func startKube(t *testing.T) (*kube, *injector.Cluster) {
	t.Helper()
	k := &kube{data: map[string]any{}, hook: []byte(hookJSON)}
	s := httptest.NewTLSServer(k)
	t.Cleanup(s.Close)
	dir := t.TempDir()
	write := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	c, err := injector.NewCluster(injector.ClusterOptions{
		URL: s.URL, TokenFile: write("token", []byte("token-1\n")),
		CAFile: write("ca.crt", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})),
	})
	if err != nil {
		t.Fatal(err)
	}
	return k, c
}

func (k *kube) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	k.mu.Lock()
	before := k.before
	if r.Method == http.MethodPatch && strings.Contains(r.URL.Path, "/secrets/") {
		k.before = nil
	} else {
		before = nil
	}
	k.mu.Unlock()
	if before != nil {
		before()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.down:
		http.Error(w, `{"message":"down"}`, http.StatusServiceUnavailable)
	case r.Header.Get("Authorization") != "Bearer token-1":
		http.Error(w, `{"message":"who?"}`, http.StatusUnauthorized)
	case k.frozen && r.Method == http.MethodPatch && strings.Contains(r.URL.Path, "webhook"):
		http.Error(w, `{"message":"frozen"}`, http.StatusForbidden)
	case r.URL.Path == "/version":
		_, _ = io.WriteString(w, `{"major":"1","minor":"34+"}`)
	case r.URL.Path == "/api/v1/namespaces/pay/secrets/tls":
		k.secret(w, r, body)
	case r.URL.Path == "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/hook":
		if r.Method == http.MethodPatch {
			p, err := jsonpatch.DecodePatch(body)
			if err == nil {
				k.hook, err = p.Apply(k.hook)
			}
			if err != nil {
				http.Error(w, err.Error(), http.StatusUnprocessableEntity)
				return
			}
		}
		_, _ = w.Write(k.hook)
	default:
		http.Error(w, `{"message":"forbidden"}`, http.StatusForbidden)
	}
}

func (k *kube) secret(w http.ResponseWriter, r *http.Request, in []byte) {
	if r.Method == http.MethodPatch {
		var patch struct {
			Metadata struct{ ResourceVersion string }
			Data     map[string]any
		}
		if err := json.Unmarshal(in, &patch); err != nil || r.Header.Get("Content-Type") != "application/merge-patch+json" {
			http.Error(w, "bad patch", http.StatusBadRequest)
			return
		}
		if patch.Metadata.ResourceVersion != strconv.Itoa(k.version) {
			http.Error(w, `{"message":"conflict"}`, http.StatusConflict)
			return
		}
		maps.Copy(k.data, patch.Data)
		maps.DeleteFunc(k.data, func(_ string, v any) bool { return v == nil })
		k.version++
	}
	body, err := json.Marshal(map[string]any{"metadata": map[string]any{"resourceVersion": strconv.Itoa(k.version)}, "data": k.data})
	if err != nil {
		panic(err) // the map above is JSON
	}
	_, _ = w.Write(body)
}

// roots are what API servers trust now, of every webhook the same.
func (k *kube) roots(t *testing.T) *x509.CertPool {
	t.Helper()
	var c struct {
		Webhooks []struct {
			ClientConfig struct {
				CABundle []byte
				Service  map[string]string
			}
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := json.Unmarshal(k.hook, &c); err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if string(c.Webhooks[0].ClientConfig.CABundle) != string(c.Webhooks[1].ClientConfig.CABundle) || c.Webhooks[0].ClientConfig.Service["name"] != "x" {
		t.Fatalf("webhooks differ: %s", k.hook)
	}
	pool.AppendCertsFromPEM(c.Webhooks[0].ClientConfig.CABundle)
	return pool
}

func own(t *testing.T, c *injector.Cluster, now func() time.Time) *injector.Certificate {
	t.Helper()
	cert, err := injector.NewCertificate(injector.CertificateOptions{Now: now, Own: &injector.OwnCertificate{
		Cluster: c, Namespace: "pay", Name: "tls", Webhook: "hook", DNSNames: []string{"wx.pay.svc"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// Over twenty years, with two replicas of which one looks rarely, every
// certificate served is trusted at each moment by what API servers know.
func TestCertificatesRotateWithoutAGap(t *testing.T) {
	t.Parallel()
	k, c := startKube(t)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	a, b := own(t, c, clock), own(t, c, clock)
	if a.Problem() == "" {
		t.Error("ready without a certificate")
	}
	verify := func(name string, cert *injector.Certificate, roots *x509.CertPool) *x509.Certificate {
		got, err := cert.Get(nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := got.Leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now, DNSName: "wx.pay.svc"}); err != nil {
			t.Fatalf("%v, %s: %v", now, name, err)
		}
		return got.Leaf
	}
	leaves, authorities := map[string]bool{}, map[string]bool{}
	for step := 0; now.Year() < 2046; step++ {
		var before *x509.CertPool // of an API server that has not heard yet
		if step > 0 {
			before = k.roots(t)
		}
		if err := a.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if step > 0 {
			verify("a, by an API server that is behind", a, before)
		}
		if step%3 == 0 {
			if err := b.Refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		leaf := verify("a", a, k.roots(t))
		verify("b", b, k.roots(t))
		leaves[leaf.SerialNumber.String()], authorities[string(leaf.AuthorityKeyId)] = true, true
		now = now.AddDate(0, 0, 4)
	}
	if len(leaves) < 100 || len(authorities) < 5 {
		t.Errorf("%d certificates of %d CAs in twenty years", len(leaves), len(authorities))
	}
}

func TestTwoReplicasStartAtOnce(t *testing.T) {
	t.Parallel()
	k, c := startKube(t)
	a, b := own(t, c, time.Now), own(t, c, time.Now)
	k.before = func() {
		if err := b.Refresh(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if err := a.Refresh(t.Context()); err == nil || !strings.Contains(err.Error(), "another replica") {
		t.Errorf("the slower one: %v", err)
	}
	if err := a.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	x, _ := a.Get(nil)
	y, _ := b.Get(nil)
	if !x.Leaf.Equal(y.Leaf) {
		t.Error("each has its own certificate")
	}
}

func TestCertificateOutlivesTheAPI(t *testing.T) {
	t.Parallel()
	k, c := startKube(t)
	now := time.Now()
	a := own(t, c, func() time.Time { return now })
	if err := a.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	k.mu.Lock()
	k.down = true
	k.mu.Unlock()
	if err := a.Refresh(t.Context()); err == nil || !strings.Contains(err.Error(), "503: down") {
		t.Errorf("%v", err)
	}
	if p := a.Problem(); p != "" {
		t.Error(p)
	}
	now = now.AddDate(1, 0, 0)
	if p := a.Problem(); !strings.Contains(p, "expired") {
		t.Errorf("problem %q a year later", p)
	}
}

// A Secret that cannot be read is never written over: those who trust its CA
// would be cut off.
func TestSpoiledSecretStays(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(map[string]any){
		"no PEM":      func(d map[string]any) { d["ca.crt"] = "QUJD" },
		"key missing": func(d map[string]any) { delete(d, "ca.key") },
		"other's key": func(d map[string]any) { d["ca.key"] = d["tls.key"] },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k, c := startKube(t)
			a := own(t, c, time.Now)
			if err := a.Refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
			spoil(k.data)
			version := k.version
			if err := a.Refresh(t.Context()); err == nil || !strings.Contains(err.Error(), "empty the Secret") {
				t.Errorf("got %v", err)
			}
			if k.version != version {
				t.Error("written over")
			}
		})
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	_, c := startKube(t)
	if native, err := c.Native(t.Context()); err != nil || !native {
		t.Errorf("1.34+: %v %v", native, err)
	}
}
