package proxy_test

import (
	"crypto/sha1"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wxproxy/wxproxy/proxy"
	"github.com/wxproxy/wxproxy/verifier"
)

// fixed is a clock that stands still, so that the edges of the window can be
// hit to the second.
func fixed() func() time.Time {
	now := time.Now()
	return func() time.Time { return now }
}

func flip(s string, i int) string {
	b := []byte(s)
	b[i] ^= 1
	return string(b)
}

func set(name string, change func(string) string) func(http.Header) {
	return func(h http.Header) { h.Set(name, change(h.Get(name))) }
}

// Each row changes one thing of an answer that is genuine otherwise.
func TestAnswerWithOneThingWrong(t *testing.T) {
	t.Parallel()
	const text = `{"trade_state":"SUCCESS"}`
	type row struct {
		name   string
		answer answer
		reason proxy.Reason // empty: accepted
	}
	rows := []row{
		{"nothing", answer{}, ""},
		{"299 s old", answer{skew: -299 * time.Second}, ""},
		{"300 s old", answer{skew: -300 * time.Second}, proxy.ReasonStale},
		{"301 s old", answer{skew: -301 * time.Second}, proxy.ReasonStale},
		{"299 s ahead", answer{skew: 299 * time.Second}, ""},
		{"300 s ahead", answer{skew: 300 * time.Second}, proxy.ReasonStale},
		{"301 s ahead", answer{skew: 301 * time.Second}, proxy.ReasonStale},
		{"a byte of the body", answer{signed: flip(text, 3)}, proxy.ReasonSignature},
		{"body longer", answer{signed: text + "\n"}, proxy.ReasonSignature},
		{"body shorter", answer{signed: text[:len(text)-1]}, proxy.ReasonSignature},
		{"signature, first byte", answer{edit: set("Wechatpay-Signature", func(s string) string { return flip(s, 0) })}, proxy.ReasonSignature},
		{"signature, not base64", answer{edit: set("Wechatpay-Signature", func(s string) string { return s[1:] })}, proxy.ReasonSignature},
		{"signature of nothing", answer{edit: set("Wechatpay-Signature", func(string) string { return "AA==" })}, proxy.ReasonSignature},
		{"timestamp by a second", answer{edit: set("Wechatpay-Timestamp", func(s string) string { return flip(s, len(s)-1) })}, proxy.ReasonSignature},
		{"timestamp with a zero", answer{edit: set("Wechatpay-Timestamp", func(s string) string { return "0" + s })}, proxy.ReasonSignature},
		{"timestamp negative", answer{edit: set("Wechatpay-Timestamp", func(s string) string { return "-" + s })}, proxy.ReasonSignature},
		{"nonce", answer{edit: set("Wechatpay-Nonce", func(s string) string { return flip(s, 0) })}, proxy.ReasonSignature},
		{"key", answer{key: keys().rotated}, proxy.ReasonSignature},
		{"key of the merchant", answer{key: keys().merchant}, proxy.ReasonSignature},
		{"serial", answer{serial: platformSerial[:len(platformSerial)-1] + "1"}, proxy.ReasonSerialUnknown},
		{"serial in lower case", answer{serial: strings.ToLower(platformSerial)}, proxy.ReasonSignature},
		{"serial of the merchant", answer{serial: merchantSerial, key: keys().merchant}, proxy.ReasonSerialUnknown},
		{"signature type", answer{edit: set("Wechatpay-Signature-Type", func(string) string { return "WECHATPAY2-SM2-WITH-SM3" })}, proxy.ReasonSignature},
		{"probe", answer{edit: set("Wechatpay-Signature", func(s string) string { return "WECHATPAY/SIGNTEST/" + s })}, proxy.ReasonProbe},
		{"probe with unknown serial", answer{serial: rotatedSerial, edit: set("Wechatpay-Signature", func(s string) string { return "WECHATPAY/SIGNTEST/" + s })}, proxy.ReasonProbe},
		{"unsigned", answer{bare: true}, proxy.ReasonUnsigned},
		{"redirect, unsigned", answer{bare: true, status: 302, headers: map[string]string{"Location": "/v3/y"}}, proxy.ReasonUnsigned},
		{"redirect, signed", answer{status: 302, headers: map[string]string{"Location": "/v3/y"}}, ""},
		{"304, unsigned", answer{bare: true, status: 304}, proxy.ReasonUnsigned},
	}
	for _, name := range []string{"Timestamp", "Nonce", "Signature", "Serial"} {
		name = "Wechatpay-" + name
		rows = append(rows,
			row{name + " missing", answer{edit: func(h http.Header) { h.Del(name) }}, proxy.ReasonSignature},
			row{name + " doubled", answer{edit: func(h http.Header) { h.Add(name, h.Get(name)) }}, proxy.ReasonSignature},
			row{name + " empty", answer{edit: func(h http.Header) { h.Set(name, "") }}, proxy.ReasonSignature},
			row{name + " first empty", answer{edit: func(h http.Header) { h[name] = []string{"", h.Get(name)} }}, proxy.ReasonSignature})
	}
	for _, test := range rows {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			now := fixed() // here, since deadlines count from it
			test.answer.body, test.answer.now = text, now
			if test.answer.status >= 300 {
				test.answer.body = ""
			}
			w := newWechat(t, test.answer.serve)
			r := newRig(t, w, func(s *setup) { s.Now = now })
			r.front.Client().CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
			read := r.do("GET", "/v3/pay/transactions/id/1", "")
			closed := r.do("POST", "/v3/pay/transactions/out-trade-no/1/close", "{}")
			paid := r.do("POST", "/v3/pay/transactions/jsapi", `{"out_trade_no":"T1"}`)
			moved := r.do("POST", "/v3/x", `{"out_trade_no":"T1"}`)
			want := 4
			if slices.Contains([]proxy.Reason{proxy.ReasonSignature, proxy.ReasonProbe, proxy.ReasonUnsigned}, test.reason) {
				want = 3*3 + 1 // those are repeated that do no second thing
			}
			if n := len(w.seen()); n != want {
				t.Errorf("%d requests for 4 calls, want %d", n, want)
			}
			if test.reason == "" {
				status := max(test.answer.status, 200)
				for _, g := range []got{read, closed, paid, moved} {
					g.passed(t, status, "true")
				}
				return
			}
			read.refused(t, 502, test.reason)
			closed.refused(t, 502, test.reason) // repeatable, and said so by the table
			paid.unknown(t, test.reason)
			moved.unknown(t, test.reason)
			if !strings.Contains(paid.body, "out_trade_no") {
				t.Errorf("no hint to repeat with the same number: %s", paid.body)
			}
			for _, g := range []got{read, closed, paid, moved} {
				if strings.Contains(g.body, "SUCCESS") || g.header.Get("Wechatpay-Signature") != "" {
					t.Errorf("unverified bytes reached the app: %s", g.body)
				}
			}
		})
	}
}

// Errors of WeChat Pay pass as they are; only Wxproxy-Verified tells.
func TestErrorStatusesPass(t *testing.T) {
	t.Parallel()
	const text = `{"code":"SYSTEM_ERROR","message":"系统错误"}`
	probe := set("Wechatpay-Signature", func(s string) string { return "WECHATPAY/SIGNTEST/" + s })
	for _, test := range []struct {
		name, method, target string
		answer               answer
		verified, result     string
	}{
		{"unsigned 400", "POST", "/v3/x", answer{status: 400, bare: true}, "false", ""},
		{"unsigned 404", "GET", "/v3/x", answer{status: 404, bare: true}, "false", ""},
		{"unsigned html 502", "GET", "/v3/x", answer{status: 502, bare: true}, "false", ""},
		{"signed 400", "POST", "/v3/x", answer{status: 400}, "true", ""},
		{"badly signed 400", "POST", "/v3/x", answer{status: 400, signed: "x"}, "false", ""},
		{"stale 400", "POST", "/v3/x", answer{status: 400, skew: -time.Hour}, "false", ""},
		{"probe 400", "POST", "/v3/x", answer{status: 400, edit: probe}, "false", ""},
		{"unknown serial 400", "POST", "/v3/x", answer{status: 400, serial: rotatedSerial}, "false", ""},
		{"500", "POST", "/v3/pay/transactions/jsapi", answer{status: 500, bare: true}, "false", "unknown"},
		{"502", "POST", "/v3/pay/transactions/jsapi", answer{status: 502, bare: true}, "false", "unknown"},
		{"503, signed", "POST", "/v3/pay/transactions/jsapi", answer{status: 503}, "true", "unknown"},
		{"500 of a call not in the table", "POST", "/v3/x", answer{status: 500, bare: true}, "false", "unknown"},
		{"500 of a GET", "GET", "/v3/pay/transactions/id/1", answer{status: 500, bare: true}, "false", ""},
		{"429", "POST", "/v3/pay/transactions/jsapi", answer{status: 429, bare: true}, "false", ""},
		{"429 of a refund", "POST", "/v3/refund/domestic/refunds", answer{status: 429, bare: true}, "false", "unknown"},
		{"404 of a download", "GET", "/v3/billdownload/file?token=x", answer{status: 404, bare: true}, "false", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.answer.body = text
			w := newWechat(t, test.answer.serve)
			r := newRig(t, w)
			body := ""
			if test.method == "POST" {
				body = "{}"
			}
			g := r.do(test.method, test.target, body)
			g.passed(t, test.answer.status, test.verified)
			if g.body != text || g.header.Get("Content-Type") != "application/json; charset=utf-8" || g.header.Get("Request-Id") == "" {
				t.Errorf("the error was changed: %s %v", g.body, g.header)
			}
			if v := g.header.Get("Wxproxy-Result"); v != test.result {
				t.Errorf("Wxproxy-Result is %q, want %q", v, test.result)
			}
			want := 1
			if test.method == "GET" && test.answer.status >= 500 {
				want = 3
			}
			if n := len(w.seen()); n != want {
				t.Errorf("sent %d times, want %d", n, want)
			}
			if n := r.trust.refreshed(); n != 0 {
				t.Errorf("%d refreshes for an error", n)
			}
		})
	}
}

// An unknown serial number costs a refresh, and what that says decides.
func TestAnswerOfARotatedKey(t *testing.T) {
	t.Parallel()
	w := newWechat(t, answer{body: "{}", key: keys().rotated, serial: rotatedSerial}.serve)
	r := newRig(t, w)
	r.do("GET", "/v3/x", "").refused(t, 502, proxy.ReasonSerialUnknown)
	r.trust.mu.Lock()
	r.trust.fails = verifier.ErrKeysUnavailable
	r.trust.mu.Unlock()
	r.do("GET", "/v3/x", "").refused(t, 502, proxy.ReasonKeysNotRefreshed)
	r.do("POST", "/v3/x", "{}").unknown(t, proxy.ReasonKeysNotRefreshed)
	r.trust.mu.Lock()
	r.trust.fails, r.trust.after = nil, publicKeys(rotatedSerial)
	r.trust.mu.Unlock()
	before := r.trust.refreshed()
	r.do("POST", "/v3/x", "{}").passed(t, 200, "true")
	r.do("POST", "/v3/x", "{}").passed(t, 200, "true")
	if n := r.trust.refreshed() - before; n != 1 {
		t.Errorf("%d refreshes, want 1", n)
	}
}

// The trust of one merchant is not that of another.
func TestAnswerIsVerifiedWithTheMerchantsOwnKeys(t *testing.T) {
	t.Parallel()
	w := newWechat(t, answer{body: "{}"}.serve)
	r := newRig(t, w, func(s *setup) {
		none := newTrust()
		none.known = nil
		s.Merchants = append(s.Merchants, otherShop(t, none))
	})
	r.do("GET", "/v3/x", "", "Wxproxy-Merchant", "shop").passed(t, 200, "true")
	r.do("GET", "/v3/x", "", "Wxproxy-Merchant", "other").refused(t, 502, proxy.ReasonSerialUnknown)
}

// Of a statement WeChat Pay signs the SHA-1 that the header gives.
func TestStatement(t *testing.T) {
	t.Parallel()
	const file = "statement\r\n\x00\xff"
	sum := sha1.Sum([]byte(file))
	hash := hex.EncodeToString(sum[:])
	name := func(h string) map[string]string { return map[string]string{"Wechatpay-Statement-Sha1": h} }
	for _, test := range []struct {
		name   string
		answer answer
		reason proxy.Reason
	}{
		{"genuine", answer{signed: `{"sha1":"` + hash + `"}`, headers: name(hash)}, ""},
		{"upper case", answer{signed: `{"sha1":"` + strings.ToUpper(hash) + `"}`, headers: name(strings.ToUpper(hash))}, ""},
		{"hash of another file", answer{signed: `{"sha1":"` + flip(hash, 0) + `"}`, headers: name(flip(hash, 0))}, proxy.ReasonSignature},
		{"header changed", answer{signed: `{"sha1":"` + flip(hash, 0) + `"}`, headers: name(hash)}, proxy.ReasonSignature},
		{"no header", answer{signed: `{"sha1":""}`}, proxy.ReasonSignature},
		{"file signed", answer{headers: name(hash)}, proxy.ReasonSignature},
		{"unsigned", answer{bare: true, headers: name(hash)}, proxy.ReasonUnsigned},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.answer.body = file
			g := newRig(t, newWechat(t, test.answer.serve)).do("GET", "/v3/statements?date=1", "")
			if test.reason == "" {
				g.passed(t, 200, "true")
				return
			}
			g.refused(t, 502, test.reason)
		})
	}
}

func TestAnswerTooLarge(t *testing.T) {
	t.Parallel()
	const limit = 1 << 16
	for name, size := range map[string]int{"exactly": limit, "over": limit + 1} {
		for how, edit := range map[string]func(http.Header){
			"length":  nil,
			"chunked": func(h http.Header) { h.Set("Transfer-Encoding", "chunked") },
		} {
			t.Run(name+" "+how, func(t *testing.T) {
				t.Parallel()
				w := newWechat(t, answer{body: strings.Repeat("x", size), edit: edit}.serve)
				r := newRig(t, w, func(s *setup) { s.Limits.Response = limit })
				read, wrote := r.do("GET", "/v3/x", ""), r.do("POST", "/v3/x", "{}")
				if size == limit {
					read.passed(t, 200, "true")
					wrote.passed(t, 200, "true")
					return
				}
				read.refused(t, 502, proxy.ReasonTooLarge)
				wrote.unknown(t, proxy.ReasonTooLarge)
			})
		}
	}
}
