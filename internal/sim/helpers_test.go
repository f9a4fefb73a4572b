package sim_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wxproxy/wxproxy/internal/sim"
)

// keyPool makes the package's RSA keys once: generation dominates otherwise.
var keyPool = sync.OnceValue(func() []*sim.Key {
	keys := make([]*sim.Key, 4)
	var all sync.WaitGroup
	for i := range keys {
		all.Go(func() { keys[i], _ = rsa.GenerateKey(rand.Reader, 2048) })
	}
	all.Wait()
	return keys
})

func newKeys() func() (*sim.Key, error) {
	pool := keyPool()
	var n atomic.Int64
	return func() (*sim.Key, error) { return pool[(n.Add(1)-1)%int64(len(pool))], nil }
}

func newSim(t testing.TB, o sim.Options) *sim.Sim {
	t.Helper()
	if o.NewKey == nil {
		o.NewKey = newKeys()
	}
	s, err := sim.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// start runs the simulator until the test ends.
func start(t testing.TB, s *sim.Sim) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func serve(t testing.TB, s *sim.Sim) string {
	t.Helper()
	server := httptest.NewServer(s.Handler())
	t.Cleanup(server.Close)
	return server.URL
}

// request is one request to be signed, by code of its own: neither the
// simulator's nor the proxy's.
type request struct {
	method, target, body string
	header               map[string]string // "": the header is removed

	merchant  *sim.Merchant
	mchID     string // in Authorization
	serial    string
	timestamp string
	nonce     string
	signed    string // body as signed
	sent      string // target as sent, when it is not target

	authorization func(string) string // spoils the finished header
}

func newRequest(s *sim.Sim, method, target, body string) *request {
	m := s.Merchants()[0]
	return &request{
		method: method, target: target, body: body, merchant: &m, mchID: m.MchID,
		serial: fmt.Sprintf("%X", m.Certificate.SerialNumber), timestamp: fmt.Sprint(time.Now().Unix()),
		nonce: rand.Text(), signed: body, header: map[string]string{},
	}
}

// sign returns the Authorization header for a target.
func (r *request) sign(method, target string) string {
	digest := sha256.Sum256([]byte(method + "\n" + target + "\n" + r.timestamp + "\n" + r.nonce + "\n" + r.signed + "\n"))
	signature, _ := rsa.SignPKCS1v15(rand.Reader, r.merchant.PrivateKey, crypto.SHA256, digest[:])
	return fmt.Sprintf(`WECHATPAY2-SHA256-RSA2048 mchid="%s",nonce_str="%s",timestamp="%s",serial_no="%s",signature="%s"`,
		r.mchID, r.nonce, r.timestamp, r.serial, base64.StdEncoding.EncodeToString(signature))
}

func (r *request) build() *http.Request {
	authorization := r.sign(r.method, r.target)
	if r.authorization != nil {
		authorization = r.authorization(authorization)
	}
	req := httptest.NewRequest(r.method, cmp.Or(r.sent, r.target), strings.NewReader(r.body))
	req.Header.Set("Authorization", authorization)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "sim_test")
	if r.body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for name, value := range r.header {
		if value == "" {
			req.Header.Del(name)
			continue
		}
		req.Header.Set(name, value)
	}
	return req
}

func (r *request) do(s *sim.Sim) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r.build())
	return w
}

// call sends a well-signed request and decodes the answer.
func call(t testing.TB, s *sim.Sim, method, target, body string) (status int, answer map[string]any) {
	t.Helper()
	w := newRequest(s, method, target, body).do(s)
	if w.Body.Len() > 0 {
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
			t.Fatalf("%s %s answered %d with %q", method, target, w.Code, w.Body)
		}
	}
	return w.Code, answer
}

// order places an order and returns the answer.
func order(t testing.TB, s *sim.Sim, outTradeNo, notifyURL string) map[string]any {
	t.Helper()
	status, answer := call(t, s, "POST", "/v3/pay/transactions/native", orderBody(outTradeNo, notifyURL))
	if status != http.StatusOK {
		t.Fatalf("order: %d %v", status, answer)
	}
	return answer
}

func orderBody(outTradeNo, notifyURL string) string {
	return fmt.Sprintf(`{"appid":"wx1","mchid":%q,"description":"tea","out_trade_no":%q,"notify_url":%q,"amount":{"total":100,"currency":"CNY"}}`,
		sim.SimulatedMchID, outTradeNo, notifyURL)
}

func refundBody(outTradeNo, outRefundNo string, refund, total int) string {
	return fmt.Sprintf(`{"out_trade_no":%q,"out_refund_no":%q,"amount":{"refund":%d,"total":%d,"currency":"CNY"}}`,
		outTradeNo, outRefundNo, refund, total)
}

// roundTripper answers requests in the test's own goroutines, so that a bubble
// of synctest has no network in it.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func respond(status int) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(nil))}
}

func last(t testing.TB, s *sim.Sim) sim.Entry {
	t.Helper()
	entries := s.Log(0)
	if len(entries) == 0 {
		t.Fatal("the log is empty")
	}
	return entries[len(entries)-1]
}

func decodeJSON(t testing.TB, text []byte, to any) {
	t.Helper()
	if err := json.Unmarshal(text, to); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
}
