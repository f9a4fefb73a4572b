package proxy_test

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/wxproxy/wxproxy/internal/secret"
	"github.com/wxproxy/wxproxy/proxy"
	"github.com/wxproxy/wxproxy/verifier"
)

func header(name string, change func(string) string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, change(r.Header.Get(name))) }
}

// Each row changes one thing of a notify that is genuine otherwise.
func TestNotifyWithOneThingWrong(t *testing.T) {
	t.Parallel()
	const probe = "WECHATPAY/SIGNTEST/"
	type row struct {
		name   string
		notice notice
		status int
	}
	resource := func(change func(map[string]any)) func(map[string]any) {
		return func(e map[string]any) { change(e["resource"].(map[string]any)) }
	}
	rows := []row{
		{"nothing", notice{}, 204},
		{"299 s old", notice{skew: -299 * time.Second}, 204},
		{"300 s old", notice{skew: -300 * time.Second}, 401},
		{"301 s old", notice{skew: -301 * time.Second}, 401},
		{"299 s ahead", notice{skew: 299 * time.Second}, 204},
		{"300 s ahead", notice{skew: 300 * time.Second}, 401},
		{"301 s ahead", notice{skew: 301 * time.Second}, 401},
		{"a byte of the body", notice{body: func(s string) string { return strings.Replace(s, "EV-1", "EV-2", 1) }}, 401},
		{"body longer", notice{body: func(s string) string { return s + "\n" }}, 401},
		{"body gone", notice{body: func(string) string { return "" }}, 401},
		{"body rewritten", notice{body: func(s string) string { return strings.ReplaceAll(s, "\n ", "") }}, 401},
		{"signature", notice{edit: header("Wechatpay-Signature", func(s string) string { return flip(s, 0) })}, 401},
		{"signature, not base64", notice{edit: header("Wechatpay-Signature", func(s string) string { return s[1:] })}, 401},
		{"signature, too long", notice{edit: header("Wechatpay-Signature", func(s string) string { return strings.Repeat(s, 10) })}, 401},
		{"timestamp", notice{edit: header("Wechatpay-Timestamp", func(s string) string { return flip(s, len(s)-1) })}, 401},
		{"timestamp with a zero", notice{edit: header("Wechatpay-Timestamp", func(s string) string { return "0" + s })}, 401},
		{"nonce", notice{edit: header("Wechatpay-Nonce", func(s string) string { return flip(s, 0) })}, 401},
		{"key", notice{key: keys().rotated}, 401},
		{"key of the merchant", notice{key: keys().merchant}, 401},
		{"serial", notice{serial: rotatedSerial}, 401},
		{"serial, malformed", notice{serial: "../../etc/passwd"}, 401},
		{"signature type", notice{edit: header("Wechatpay-Signature-Type", func(string) string { return "WECHATPAY2-SM2-WITH-SM3" })}, 401},
		{"probe", notice{edit: header("Wechatpay-Signature", func(s string) string { return probe + s })}, 401},
		{"probe with unknown serial", notice{serial: rotatedSerial, edit: header("Wechatpay-Signature", func(s string) string { return probe + s })}, 401},

		{"APIv3 key", notice{apiv3: otherAPIv3}, 500},
		{"mchid inside", notice{plain: `{"mchid":"1900000002"}`}, 500},
		{"sp_mchid inside", notice{plain: `{"sp_mchid":"1900000002"}`}, 500},
		{"combine_mchid inside", notice{plain: `{"combine_mchid":"1900000002"}`}, 500},
		{"our sub-merchant inside", notice{plain: `{"sp_mchid":"1900000001","sub_mchid":"1900000002"}`}, 204},
		{"no mchid inside", notice{plain: `{"complaint_id":"1"}`}, 204},
		{"16 bytes of nonce", notice{nonce: "fdasflkja4840000"}, 204},
		{"11 bytes of nonce", notice{nonce: "fdasflkja48"}, 500},
		{"17 bytes of nonce", notice{nonce: "fdasflkja48400000"}, 500},
		{"nonce inside", notice{form: resource(func(r map[string]any) { r["nonce"] = "fdasflkja485" })}, 500},
		{"associated data", notice{form: resource(func(r map[string]any) { r["associated_data"] = "" })}, 500},
		{"ciphertext", notice{form: resource(func(r map[string]any) { r["ciphertext"] = flip(r["ciphertext"].(string), 0) })}, 500},
		{"ciphertext cut", notice{form: resource(func(r map[string]any) { r["ciphertext"] = "AAAA" })}, 500},
		{"no ciphertext", notice{form: resource(func(r map[string]any) { delete(r, "ciphertext") })}, 500},
		{"algorithm", notice{form: resource(func(r map[string]any) { r["algorithm"] = "AEAD_SM4_GCM" })}, 500},
		{"no id", notice{form: func(e map[string]any) { delete(e, "id") }}, 500},
		{"no event type", notice{form: func(e map[string]any) { delete(e, "event_type") }}, 500},
		{"resource is no object", notice{plain: `[1]`}, 500},
		{"resource is no JSON", notice{plain: `<xml/>`}, 500},
		{"unknown event", notice{event: "NEW.THING"}, 204},

		{"unknown path", notice{path: "/notify/other"}, 404},
		{"longer path", notice{path: "/notify/shop/"}, 404},
		{"encoded path", notice{path: "/notify/%73hop"}, 404},
		{"root", notice{path: "/"}, 404},
		{"GET", notice{edit: func(r *http.Request) { r.Method = "GET" }}, 405},
		{"PUT", notice{edit: func(r *http.Request) { r.Method = "PUT" }}, 405},
		{"too large", notice{body: func(s string) string { return s + strings.Repeat(" ", 1<<20) }}, 413},
		{"too large, chunked", notice{body: func(s string) string { return s + strings.Repeat(" ", 1<<20) }, edit: func(r *http.Request) { r.ContentLength = -1 }}, 413},
	}
	for _, name := range []string{"Timestamp", "Nonce", "Signature", "Serial"} {
		name = "Wechatpay-" + name
		rows = append(rows,
			row{name + " missing", notice{edit: func(r *http.Request) { r.Header.Del(name) }}, 401},
			row{name + " doubled", notice{edit: func(r *http.Request) { r.Header.Add(name, r.Header.Get(name)) }}, 401},
			row{name + " empty", notice{edit: header(name, func(string) string { return "" })}, 401},
			row{name + " too long", notice{edit: header(name, func(s string) string { return strings.Repeat(s, 100) })}, 401})
	}
	rows = append(rows, row{"all signature headers missing", notice{edit: func(r *http.Request) {
		for _, name := range []string{"Timestamp", "Nonce", "Signature", "Serial", "Signature-Type"} {
			r.Header.Del("Wechatpay-" + name)
		}
	}}, 401})
	for _, test := range rows {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			now := fixed()
			a := newApp(t, nil)
			g := newGate(t, a, func(o *proxy.NotifyOptions) { o.Now = now })
			test.notice.now = now
			answer := g.post(test.notice)
			if test.status == 204 {
				answer.acknowledged(t)
				a.only(t)
				return
			}
			answer.sentBack(t, test.status)
			if n := len(a.seen()); n != 0 {
				t.Errorf("the app got %d deliveries of a notify that was refused", n)
			}
			// A refused notify uses nothing up: the genuine one is taken after it.
			if test.status == 401 {
				g.post(notice{now: now}).acknowledged(t)
			}
		})
	}
}

func TestNotifyOfUnknownSerial(t *testing.T) {
	t.Parallel()
	a := newApp(t, nil)
	g := newGate(t, a)
	n := notice{key: keys().rotated, serial: rotatedSerial}
	g.post(n).sentBack(t, 401)
	g.trust.mu.Lock()
	g.trust.fails = verifier.ErrKeysUnavailable
	g.trust.mu.Unlock()
	g.post(n).sentBack(t, 503) // limited: WeChat Pay shall send it again
	g.trust.mu.Lock()
	g.trust.fails = errors.New("something else")
	g.trust.mu.Unlock()
	g.post(n).sentBack(t, 503)
	g.trust.mu.Lock()
	g.trust.fails, g.trust.after = nil, publicKeys(rotatedSerial)
	g.trust.mu.Unlock()
	bad := n
	bad.key = keys().platform
	g.post(bad).sentBack(t, 401) // the refresh brings the key, and the signature is not its own
	g.post(n).acknowledged(t)
	a.only(t)
	if n := g.trust.refreshed(); n != 4 {
		t.Errorf("%d refreshes, want 4", n)
	}
}

func TestNotifyDuringKeyRotation(t *testing.T) {
	t.Parallel()
	keysOf := func(list ...string) func(*proxy.NotifyOptions) {
		return func(o *proxy.NotifyOptions) {
			o.Merchants[0].APIv3Keys = func() []secret.Value {
				var all []secret.Value
				for _, k := range list {
					all = append(all, secret.NewValue([]byte(k)))
				}
				return all
			}
		}
	}
	for name, test := range map[string]struct {
		keys   []string
		status int
	}{
		"previous": {[]string{otherAPIv3, apiv3Key}, 204},
		"current":  {[]string{apiv3Key, otherAPIv3}, 204},
		"neither":  {[]string{otherAPIv3}, 500},
		"none":     {nil, 503},
		"short":    {[]string{apiv3Key[:31]}, 500},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGate(t, newApp(t, nil), keysOf(test.keys...))
			if got := g.post(notice{}); got.status != test.status {
				t.Errorf("got %d, want %d", got.status, test.status)
			}
		})
	}
}

// A refusal before the body does not wait for it, and a body that does not come
// is not waited for longer than WeChat Pay itself would wait.
func TestNotifyBodyThatDoesNotCome(t *testing.T) {
	t.Parallel()
	genuine := func(t *testing.T) string {
		r := notice{}.request(t, "http://x")
		var b strings.Builder
		_ = r.Header.Write(&b)
		return b.String()
	}
	for name, test := range map[string]struct {
		line, headers string
		status        int
	}{
		"unsigned":     {"POST /notify/shop", "Content-Length: 1000\r\n", 401},
		"unknown path": {"POST /x", "Content-Length: 1000\r\n", 404},
		"method":       {"PUT /notify/shop", "Content-Length: 1000\r\n", 405},
		"chunked":      {"POST /notify/shop", "Transfer-Encoding: chunked\r\n", 401},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGate(t, newApp(t, nil))
			conn := dial(t, g.front.Listener.Addr().String())
			if _, err := io.WriteString(conn, test.line+" HTTP/1.1\r\nHost: x\r\n"+test.headers+"\r\n"); err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			readRaw(t, bufio.NewReader(conn), "POST").sentBack(t, test.status)
			if took := time.Since(start); took > 4*time.Second {
				t.Errorf("a body that nobody reads held the answer for %s", took)
			}
		})
	}
	t.Run("genuine headers", func(t *testing.T) {
		t.Parallel()
		past := func() time.Time { return time.Now().Add(-4400 * time.Millisecond) } // of the 4.5 s
		g := newGate(t, newApp(t, nil), func(o *proxy.NotifyOptions) { o.Now = past })
		conn := dial(t, g.front.Listener.Addr().String())
		if _, err := io.WriteString(conn, "POST /notify/shop HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n"+genuine(t)+"\r\n{"); err != nil {
			t.Fatal(err)
		}
		readRaw(t, bufio.NewReader(conn), "POST").sentBack(t, 400)
	})
}
