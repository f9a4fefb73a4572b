package proxy_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/wxproxy/wxproxy/proxy"
)

// app plays the app that takes notifies.
type app struct {
	*httptest.Server

	mu    sync.Mutex
	taken []delivery
	reply http.HandlerFunc
}

type delivery struct {
	Method, Target string
	Header         http.Header
	Body           string
}

func newApp(t testing.TB, reply http.HandlerFunc) *app {
	t.Helper()
	if reply == nil {
		reply = func(http.ResponseWriter, *http.Request) {}
	}
	a := &app{reply: reply}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		a.mu.Lock()
		a.taken = append(a.taken, delivery{r.Method, r.RequestURI, r.Header.Clone(), string(body)})
		a.mu.Unlock()
		a.reply(w, r)
	}))
	t.Cleanup(a.Close)
	return a
}

func (a *app) seen() []delivery {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]delivery(nil), a.taken...)
}

func (a *app) only(t testing.TB) delivery {
	t.Helper()
	d := a.seen()
	if len(d) != 1 {
		t.Fatalf("the app got %d deliveries, want 1", len(d))
	}
	return d[0]
}

// notice is a notify in the making; the zero value is genuine.
type notice struct {
	id    string // empty: EV-1
	event string // empty: TRANSACTION.SUCCESS
	plain string // empty: paid
	apiv3 string // empty: the shop's
	nonce string // empty: 12 characters

	key    *rsa.PrivateKey // nil: the platform's
	serial string
	skew   time.Duration
	now    func() time.Time // nil: time.Now

	path string               // empty: /notify/shop
	body func(string) string  // changes the body after it was signed
	edit func(*http.Request)  // changes the request after it was signed
	form func(map[string]any) // changes the envelope before it is signed
}

const paid = "{ \"mchid\" : \"1900000001\",\n\t\"out_trade_no\":\"T1\", \"amount\":{\"total\":1.50e2,\"big\":12345678901234567890}, \"new_field\":[1, 2]\n}"

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// seal encrypts as WeChat Pay does, with the standard library.
func seal(t testing.TB, key, nonce, aad, plain string) string {
	t.Helper()
	block, err := aes.NewCipher([]byte(key))
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCMWithNonceSize(block, len(nonce))
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(gcm.Seal(nil, []byte(nonce), []byte(plain), []byte(aad)))
}

func (n notice) envelope(t testing.TB) string {
	t.Helper()
	nonce := or(n.nonce, "fdasflkja484")
	e := map[string]any{
		"id": or(n.id, "EV-1"), "create_time": "2026-11-23T10:34:56+08:00", "event_type": or(n.event, "TRANSACTION.SUCCESS"),
		"resource_type": "encrypt-resource", "summary": "支付成功 <&>",
		"resource": map[string]any{
			"original_type": "transaction", "algorithm": "AEAD_AES_256_GCM", "nonce": nonce, "associated_data": "transaction",
			"ciphertext": seal(t, or(n.apiv3, apiv3Key), nonce, "transaction", or(n.plain, paid)),
		},
	}
	if n.form != nil {
		n.form(e)
	}
	body, err := json.MarshalIndent(e, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func (n notice) request(t testing.TB, base string) *http.Request {
	t.Helper()
	body := n.envelope(t)
	key, now := n.key, n.now
	if key == nil {
		key = keys().platform
	}
	if now == nil {
		now = time.Now
	}
	h := make(http.Header)
	stamp(h, key, or(n.serial, platformSerial), now().Add(n.skew), []byte(body))
	if n.body != nil {
		body = n.body(body)
	}
	r, err := http.NewRequestWithContext(t.Context(), "POST", base+or(n.path, "/notify/shop"), bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = h
	h.Set("Content-Type", "application/json")
	h.Set("User-Agent", "Mozilla/4.0")
	h.Set("Request-Id", "req-1")
	if n.edit != nil {
		n.edit(r)
	}
	return r
}

// gate is a notify face between a played WeChat Pay and a played app.
type gate struct {
	t      testing.TB
	trust  *trust
	notify *proxy.Notify
	front  *httptest.Server
}

func newGate(t testing.TB, a *app, edits ...func(*proxy.NotifyOptions)) *gate {
	t.Helper()
	k := newTrust()
	o := proxy.NotifyOptions{Merchants: []*proxy.Merchant{shop(t, k)}, Table: table(t)}
	if a != nil {
		o.Routes = []proxy.Route{{Path: "/notify/shop", To: a.URL + "/wechat/paid"}}
	}
	for _, edit := range edits {
		edit(&o)
	}
	n, err := proxy.NewNotify(o)
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(n)
	t.Cleanup(func() {
		front.Close()
		_ = n.Drain(t.Context())
	})
	return &gate{t: t, trust: k, notify: n, front: front}
}

func (g *gate) post(n notice) got {
	g.t.Helper()
	return g.send(n.request(g.t, g.front.URL))
}

func (g *gate) send(r *http.Request) got {
	g.t.Helper()
	resp, err := g.front.Client().Do(r)
	if err != nil {
		g.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return got{resp.StatusCode, resp.Header, string(body), err}
}

// taken checks that WeChat Pay was told that the notify is taken.
func (g got) acknowledged(t testing.TB) {
	t.Helper()
	if g.status != http.StatusNoContent || g.body != "" {
		t.Fatalf("got %d %q, want 204", g.status, g.body)
	}
}

// sent back checks a refusal: a status, and a sentence that tells strangers
// nothing.
func (g got) sentBack(t testing.TB, status int) {
	t.Helper()
	sentence := map[int]string{
		401: "signature verification failed", 403: "forbidden", 404: "not found", 405: "method not allowed", 413: "too large",
		400: "body incomplete", 500: "not taken, send it again", 502: "not taken, send it again", 503: "not taken, send it again",
	}[status]
	if g.status != status || g.body != `{"code":"FAIL","message":"`+sentence+`"}` {
		t.Fatalf("got %d %.200q, want %d and the sentence %q", g.status, g.body, status, sentence)
	}
	for name := range g.header {
		switch name {
		case "Content-Type", "Content-Length", "Date", "Connection", "Allow":
		default:
			t.Errorf("header %s tells strangers something", name)
		}
	}
}
