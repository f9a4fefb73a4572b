package proxy_test

import (
	"context"
	"crypto"
	"crypto/rsa"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/wxproxy/wxproxy/internal/endpoint"
	"github.com/wxproxy/wxproxy/internal/secret"
	"github.com/wxproxy/wxproxy/proxy"
	"github.com/wxproxy/wxproxy/signer"
	"github.com/wxproxy/wxproxy/verifier"
)

// trust is a set of platform keys that counts how often it was asked to
// refresh.
type trust struct {
	mu        sync.Mutex
	known     map[string]*rsa.PublicKey
	after     map[string]*rsa.PublicKey // known only after a refresh
	fails     error                     // of a refresh; nil: verifier.ErrSerialUnknown when it brings nothing
	refreshes int
}

func newTrust() *trust {
	return &trust{known: map[string]*rsa.PublicKey{platformSerial: &keys().platform.PublicKey}}
}

func (k *trust) find(serial string) (*rsa.PublicKey, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	key, ok := k.known[serial]
	return key, ok
}

// Lookup implements verifier.Keys.
func (k *trust) Lookup(_ context.Context, serial string) (*rsa.PublicKey, error) {
	if key, ok := k.find(serial); ok {
		return key, nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.refreshes++
	if k.fails != nil {
		return nil, k.fails
	}
	if key, ok := k.after[serial]; ok {
		k.known[serial] = key
		return key, nil
	}
	return nil, verifier.ErrSerialUnknown
}

func (k *trust) refreshed() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.refreshes
}

// newMerchant makes a merchant with one key and one set of trusted keys.
func newMerchant(t testing.TB, name, mchid, serial string, key *rsa.PrivateKey, k *trust, apiv3 ...string) *proxy.Merchant {
	t.Helper()
	s, err := signer.New(signer.Credential{ID: mchid, Serial: serial, Key: key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var values []secret.Value
	for _, v := range apiv3 {
		values = append(values, secret.NewValue([]byte(v)))
	}
	return &proxy.Merchant{
		Name: name, MchID: mchid,
		PrivateKey: func() proxy.PrivateKey { return proxy.PrivateKey{Signer: s, Decrypters: []crypto.Decrypter{key}} },
		APIv3Keys:  func() []secret.Value { return values },
		Preferred:  func() (string, *rsa.PublicKey, bool) { return platformSerial, &keys().platform.PublicKey, true },
		APIv2Key:   func() secret.Value { return secret.Value{} },
		Find:       k.find,
		AnswerKeys: k, NotifyKeys: k,
	}
}

func shop(t testing.TB, k *trust) *proxy.Merchant {
	t.Helper()
	return newMerchant(t, "shop", mchID, merchantSerial, keys().merchant, k, apiv3Key)
}

func otherShop(t testing.TB, k *trust) *proxy.Merchant {
	t.Helper()
	return newMerchant(t, "other", otherMchID, otherSerial, keys().other, k, otherAPIv3)
}

// rig is an outbound face between a played WeChat Pay and a played app.
type rig struct {
	t     testing.TB
	trust *trust
	out   *proxy.Outbound
	front *httptest.Server
}

// setup is what a test may change before the rig is made.
type setup struct {
	proxy.OutboundOptions
	bases    []string
	listener proxy.Listener
	upstream proxy.UpstreamOptions
}

func table(t testing.TB) *endpoint.Table {
	t.Helper()
	table, err := endpoint.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func newRig(t testing.TB, w *wechat, edits ...func(*setup)) *rig {
	t.Helper()
	k := newTrust()
	s := &setup{}
	if w != nil {
		s.bases = []string{w.URL}
	}
	s.Merchants = []*proxy.Merchant{shop(t, k)}
	s.Table = table(t)
	s.Limits = proxy.Limits{Request: 1 << 20, Response: 1 << 20, InFlight: 8 << 20}
	for _, edit := range edits {
		edit(s)
	}
	s.upstream.Bases = append(s.upstream.Bases, bases(t, s.bases...)...)
	up, err := proxy.NewUpstream(s.upstream)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(up.Close)
	s.Upstream = up
	out, err := proxy.NewOutbound(s.OutboundOptions)
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(out.Handler(s.listener))
	t.Cleanup(front.Close)
	return &rig{t: t, trust: k, out: out, front: front}
}

func bases(t testing.TB, texts ...string) (list []*url.URL) {
	t.Helper()
	for _, text := range texts {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, u)
	}
	return list
}

// got is an answer as the app has it.
type got struct {
	status int
	header http.Header
	body   string
	err    error // of reading the body
}

// do sends a request; headers are name, value and so on.
func (r *rig) do(method, target, body string, headers ...string) got {
	r.t.Helper()
	var rd io.Reader
	if body != "" {
		rd = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.front.URL+target, rd)
	if err != nil {
		r.t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	if body != "" && req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", "application/json")
	}
	return r.send(req)
}

func (r *rig) send(req *http.Request) got {
	r.t.Helper()
	resp, err := r.front.Client().Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return got{resp.StatusCode, resp.Header, string(body), err}
}

// refused checks an answer of our own.
func (g got) refused(t testing.TB, status int, reason proxy.Reason) {
	t.Helper()
	if g.status != status || g.header.Get("Wxproxy-Error") != string(reason) {
		t.Fatalf("got %d %s %s, want %d %s", g.status, g.header.Get("Wxproxy-Error"), g.body, status, reason)
	}
	for _, field := range []string{`"code":"`, `"message":"wxproxy: `} {
		if !strings.Contains(g.body, field) {
			t.Errorf("body %s lacks %s", g.body, field)
		}
	}
	if g.header.Get("Wxproxy-Verified") != "" {
		t.Errorf("an answer of our own says Wxproxy-Verified: %s", g.header.Get("Wxproxy-Verified"))
	}
}

// unknown checks that the result is said to be unknown, and why, and nowhere
// that the call failed.
func (g got) unknown(t testing.TB, cause proxy.Reason) {
	t.Helper()
	g.refused(t, http.StatusBadGateway, proxy.ReasonResultUnknown)
	if g.header.Get("Wxproxy-Cause") != string(cause) {
		t.Errorf("Wxproxy-Cause is %q, want %s", g.header.Get("Wxproxy-Cause"), cause)
	}
	if strings.Contains(g.body, "failed") {
		t.Errorf("an unknown result reads like a failure: %s", g.body)
	}
}

// passed checks an answer of WeChat Pay's.
func (g got) passed(t testing.TB, status int, verified string) {
	t.Helper()
	if g.status != status || g.header.Get("Wxproxy-Verified") != verified || g.header.Get("Wxproxy-Error") != "" {
		t.Fatalf("got %d, verified %q, error %q: %s; want %d, verified %s",
			g.status, g.header.Get("Wxproxy-Verified"), g.header.Get("Wxproxy-Error"), g.body, status, verified)
	}
}

func noKey() proxy.PrivateKey { return proxy.PrivateKey{} }

// signsAlone has a merchant's key sign and not decrypt, as Vault's Transit does.
func signsAlone(m *proxy.Merchant) { decryptsWith(m) }

// decryptsWith has a merchant decrypt with these keys and no others.
func decryptsWith(m *proxy.Merchant, keys ...crypto.Decrypter) {
	s := m.PrivateKey().Signer
	m.PrivateKey = func() proxy.PrivateKey { return proxy.PrivateKey{Signer: s, Decrypters: keys} }
}

// publicKeys is a list of certificates after a rotation.
func publicKeys(serial string) map[string]*rsa.PublicKey {
	return map[string]*rsa.PublicKey{serial: &keys().rotated.PublicKey}
}
