package proxy_test

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/wxproxy/wxproxy/proxy"
	"github.com/wxproxy/wxproxy/signer"
)

// witnessed is a merchant key that notes what it signs. RSA keys are handed
// digests, so a message is known by its own.
type witnessed struct {
	*rsa.PrivateKey

	mu      sync.Mutex
	digests [][]byte
}

func (k *witnessed) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	k.mu.Lock()
	k.digests = append(k.digests, bytes.Clone(digest))
	k.mu.Unlock()
	return k.PrivateKey.Sign(random, digest, opts)
}

func (k *witnessed) take() [][]byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	list := k.digests
	k.digests = nil
	return list
}

// oracle is an outbound face whose key is witnessed.
type oracle struct {
	key     *witnessed
	handler http.Handler
	paths   []string
}

func newOracle(t testing.TB) *oracle {
	t.Helper()
	k := &witnessed{PrivateKey: keys().merchant}
	s, err := signer.New(signer.Credential{ID: mchID, Serial: merchantSerial, Key: k}, nil)
	if err != nil {
		t.Fatal(err)
	}
	g := newRig(t, newWechat(t, nil), withAPIv2, func(e *setup) {
		e.Merchants[0].PrivateKey = func() proxy.PrivateKey { return proxy.PrivateKey{Signer: s} }
	})
	return &oracle{k, g.out.Handler(proxy.Listener{}), slices.Sorted(maps.Keys(proxy.LocalForms()))}
}

func (o *oracle) ask(t testing.TB, path string, body []byte) (status int, answer []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://localhost"+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.RequestURI, r.Host = path, "localhost"
	w := newRecorder()
	o.handler.ServeHTTP(w, r)
	return w.Code, w.Body.Bytes()
}

// The beginnings of what signs a request and what signs an answer to a notify.
var (
	requestMessage = regexp.MustCompile(`^[A-Za-z]+\n/`)
	answerMessage  = regexp.MustCompile(`^[0-9]+\n`)
)

// check asks, and fails unless everything that was signed is exactly one
// client's message: with the lines that the answer shows, and none more.
func (o *oracle) check(t testing.TB, path string, body []byte) (accepted bool) {
	t.Helper()
	status, answer := o.ask(t, path, body)
	digests := o.key.take()
	if status != http.StatusOK {
		if len(digests) != 0 {
			t.Fatalf("%s: refused with %d, and yet something was signed: %q", path, status, body)
		}
		return false
	}
	var m map[string]any
	if err := json.Unmarshal(answer, &m); err != nil {
		t.Fatal(err)
	}
	text := func(names ...string) string {
		for _, name := range names {
			if s, ok := m[name].(string); ok {
				return s
			}
		}
		return ""
	}
	var sent struct {
		AppID string `json:"appid"`
	}
	_ = json.Unmarshal(body, &sent) // an accepted body can be read
	var lines []string
	switch strings.TrimPrefix(path, "/_wxproxy/v1/") {
	case "pay-params/jsapi", "pay-params/miniprogram":
		lines = []string{sent.AppID, text("timeStamp"), text("nonceStr"), text("package")}
	case "pay-params/app":
		lines = []string{sent.AppID, text("timestamp"), text("noncestr"), text("prepayid")}
	case "sign/discountCard":
		lines = []string{sent.AppID, text("timestamp"), text("nonce_str"), text("discount_card_id"), mchID, text("out_trade_no")}
	default: // with the APIv2 key, or not at all
		if len(digests) != 0 {
			t.Fatalf("%s signed with the merchant's key", path)
		}
		checkPairs(t, path, m)
		return true
	}
	message := strings.Join(lines, "\n") + "\n"
	digest := sha256.Sum256([]byte(message))
	if len(digests) != 1 || !bytes.Equal(digests[0], digest[:]) {
		t.Fatalf("%s: signed something else than %q", path, message)
	}
	if requestMessage.MatchString(message) || answerMessage.MatchString(message) || strings.Count(message, "\n") != len(lines) {
		t.Fatalf("%s: signed %q", path, message)
	}
	return true
}

// checkPairs fails unless the APIv2 signature covers exactly the pairs that
// belong to the message, so that no other request can be made of it: all of
// APIv2's have an appid.
func checkPairs(t testing.TB, path string, m map[string]any) {
	t.Helper()
	pairs := make(map[string]string)
	sign, _ := m["sign"].(string)
	for name, value := range m {
		switch v := value.(type) {
		case string:
			pairs[name] = v
		case []any: // of the coupon plugin
			for i, item := range v {
				for name, value := range item.(map[string]any) {
					pairs[name+string(rune('0'+i))] = value.(string)
				}
			}
		}
	}
	delete(pairs, "sign")
	delete(pairs, "url")
	if !strings.HasPrefix(path, "/_wxproxy/v1/sign/") {
		return
	}
	if sign != apiv2Sign(pairs) {
		t.Fatalf("%s: another text was signed than that of %v", path, pairs)
	}
	for name, value := range pairs {
		if strings.Contains(name, "appid") || strings.ContainsAny(value, "&=\n\r\x00") {
			t.Fatalf("%s signed %s=%q", path, name, value)
		}
	}
}

// FuzzLocalSignsNoRequest: no body that a local endpoint accepts has a request
// message, or the message of an answer, signed.
func FuzzLocalSignsNoRequest(f *testing.F) {
	o := newOracle(f)
	for i := range o.paths {
		f.Add(uint8(i), []byte(payBody))
		f.Add(uint8(i), []byte(`{"package":"x","service_id":"1","out_order_no":"2","out_request_no":"3"}`))
	}
	f.Add(uint8(3), []byte(`{"appid":"POST","prepay_id":"/v3/refund/domestic/refunds"}`))
	f.Add(uint8(5), []byte(`{"appid":"wx\nPOST\n/v3/x","discount_card_id":"1","out_trade_no":"2"}`))
	f.Fuzz(func(t *testing.T, path uint8, body []byte) {
		o.check(t, o.paths[int(path)%len(o.paths)], body)
	})
}

// The same as a property: members that are wanted, with values from pieces that
// requests, answers and APIv2 texts are made of. Enough are accepted for it to
// mean something.
func TestLocalSignsNoRequest(t *testing.T) {
	t.Parallel()
	o := newOracle(t)
	r := rand.New(rand.NewPCG(1, 2))
	pieces := []string{
		"wx", "d678efh567hg6787", "POST", "GET", "/v3/refund/domestic/refunds", "\n", "\r\n", "1700000000", "{}", `{"code":"SUCCESS"}`,
		"&appid=wx1", "=", "&key=", "x", "42", "_", "-", "|", "PERIOD", "prepay_id=", "张", "\x00", " ",
	}
	value := func() string {
		var b strings.Builder
		for range 1 + r.IntN(3) {
			b.WriteString(pieces[r.IntN(len(pieces))])
		}
		return b.String()
	}
	good := map[string]string{
		"appid": appID, "prepay_id": prepayID, "subsidy_period_type": "PERIOD", "selected_installment_number": "3", "create_coupon_merchant": "10016226",
		"customize_send_time": "2026-01-02T13:29:35+08:00",
	}
	fill := func(form []proxy.Param) map[string]any {
		m := make(map[string]any)
		for _, p := range form {
			m[p.Name] = or(good[p.Name], "x42")
			if r.IntN(6) == 0 {
				m[p.Name] = value()
			}
		}
		return m
	}
	accepted, forms := make(map[string]int), proxy.LocalForms()
	for range 4000 {
		path := o.paths[r.IntN(len(o.paths))]
		m := fill(forms[path])
		for _, p := range forms[path] {
			if p.List != nil {
				m[p.Name] = []any{fill(p.List), fill(p.List)}
			}
		}
		body, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if o.check(t, path, body) {
			accepted[path]++
		}
	}
	for path := range forms {
		if strings.Contains(path, "/pay-params/") || strings.Contains(path, "/sign/") {
			if accepted[path] < 10 {
				t.Errorf("%s accepted %d bodies: the test says little", path, accepted[path])
			}
		}
	}
}
