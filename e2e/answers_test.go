//go:build e2e

package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"
)

func sha256Hex(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// spoil orders a fault for every attempt at one call that may be repeated.
func spoil(kind, match string) string {
	count := "3"
	if kind == "wrong_serial" || kind == "skew" { // it would be the same again
		count = "1"
	}
	return `{"kind":"` + kind + `","match":"` + match + `","count":` + count + `}`
}

// Whatever is wrong with an answer, no unverified byte of it looks verified.
func TestSpoiledAnswers(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	s.order(t, "SPOILED-1").verified(t, 200)
	query := s.outbound + "/v3/pay/transactions/out-trade-no/SPOILED-1?mchid=" + mchID
	for kind, reason := range map[string]string{
		"probe": "signtest_probe", "wrong_serial": "serial_unknown", "skew": "response_stale", "unsigned": "response_unsigned",
		"flip_body": "response_signature_invalid", "flip_signature": "response_signature_invalid",
	} {
		t.Run(kind, func(t *testing.T) {
			s.wechat.fault(spoil(kind, ""))
			curl(t, nil, query).refused(t, 502, reason)
			// A call that moves something may have been executed.
			s.wechat.fault(spoil(kind, "POST"))
			got := s.order(t, "SPOILED-"+kind).refused(t, 502, "result_unknown")
			if cause := got.header.Get("Wxproxy-Cause"); cause != reason {
				t.Errorf("cause is %q, want %q", cause, reason)
			}
		})
	}
	curl(t, nil, query).verified(t, 200)
}

// What WeChat Pay refuses or fails at keeps its status and body, marked.
func TestWeChatErrors(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	unpaid := curl(t, nil, s.outbound+"/v3/pay/transactions/out-trade-no/NONE-0001?mchid="+mchID)
	if unpaid.status != 404 || unpaid.header.Get("Wxproxy-Verified") != "false" || unpaid.field(t, "code") != "ORDER_NOT_EXIST" {
		t.Errorf("got\n%s", unpaid.raw)
	}
	s.wechat.fault(`{"kind":"status","status":500,"after":true,"match":"POST /v3/refund","count":3}`)
	refund := curl(t, nil, post(s.outbound+"/v3/refund/domestic/refunds", `{"out_trade_no":"NONE-0001","out_refund_no":"R1"}`)...)
	if refund.status != 500 || refund.header.Get("Wxproxy-Verified") != "false" || refund.header.Get("Wxproxy-Result") != "unknown" {
		t.Errorf("got\n%s", refund.raw)
	}
	s.wechat.fault(`{"kind":"reset","match":"POST","count":3}`)
	s.order(t, "RESET-001").refused(t, 502, "result_unknown")
	s.wire.server.CloseClientConnections()
	s.wire.server.Close()
	s.order(t, "DOWN-0001").refused(t, 502, "upstream_unreachable")
}

// two merchants behind one port and on one path, each with a WeChat Pay and an
// app of its own.
type two struct {
	*sidecar
	a, b       *wechat // of shop (1900000001) and branch (1900000002)
	appA, appB *app
}

func newTwo(t *testing.T) two {
	t.Helper()
	secondDir := shortDir(t)
	second := newCredentials(t, "1900000002")
	second.write(t, secondDir)
	writeFile(t, secondDir+"/apiv3_key", []byte(strings.Repeat("2", 32)))
	p := two{a: startWeChat(t, shortDir(t)), b: startWeChat(t, secondDir), appA: newApp(t), appB: newApp(t)}
	wire := newRelay(t, "")
	wire.route(func(r *http.Request) string {
		if strings.Contains(r.Header.Get("Authorization"), second.serial()) {
			return p.b.url
		}
		return p.a.url
	})
	p.sidecar = startReady(t, setup{
		merchants: p.a.merchant("shop") + p.b.merchant("branch"), upstream: wire.url,
		routes: route("/notify", "shop", p.appA.url) + route("/notify", "branch", p.appB.url),
	})
	return p
}

// Who signs, and whose the notifies are.
func TestTwoMerchants(t *testing.T) {
	t.Parallel()
	c := newTwo(t)
	a, b, appA, appB := c.a, c.b, c.appA, c.appB
	prepay := func(mchID, no string, more ...string) answer {
		return curl(t, nil, post(c.outbound+"/v3/pay/transactions/native", prepayBody(t, mchID, no, c.notify+"/notify"), more...)...)
	}
	prepay("1900000002", "TWO-0001").refused(t, 400, "unknown_merchant")
	prepay("1900000002", "TWO-0001", "-H", "Wxproxy-Merchant: shop").refused(t, 400, "merchant_mismatch")
	got := prepay("1900000002", "TWO-0001", "-H", "Wxproxy-Merchant: branch").verified(t, 200)
	if got.header.Get("Wxproxy-Merchant") != "branch" {
		t.Errorf("signed by %s", got.header.Get("Wxproxy-Merchant"))
	}
	prepay("1900000001", "TWO-0002", "-H", "Wxproxy-Merchant: 1900000001").verified(t, 200)
	b.pay("TWO-0001")
	if d := appB.take(204); d.resource(t)["out_trade_no"] != "TWO-0001" || d.header.Get("Wxproxy-Merchant") != "branch" {
		t.Errorf("got %s", d.body)
	}
	a.pay("TWO-0002")
	if d := appA.take(204); d.resource(t)["out_trade_no"] != "TWO-0002" || d.header.Get("Wxproxy-Merchant") != "shop" {
		t.Errorf("got %s", d.body)
	}
	appA.idle()
	appB.idle()
}

// Callers are told apart by token, and each may do what its list says.
func TestCallers(t *testing.T) {
	t.Parallel()
	s := newShop(t, func(c *setup) {
		c.env = []string{"WEB_TOKEN=web-0123456789abcdef", "BATCH_TOKEN=batch-0123456789abcdef"}
		c.outbound = `  callers:
    - {name: web, token: env:WEB_TOKEN, allow: ["POST /v3/pay/transactions/*", "GET /v3/pay/**"]}
    - {name: batch, token: env:BATCH_TOKEN}`
	})
	web, batch := "Wxproxy-Token: web-0123456789abcdef", "Authorization: Bearer batch-0123456789abcdef"
	s.order(t, "CALL-0001").refused(t, 403, "forbidden")
	s.order(t, "CALL-0001", "-H", "Wxproxy-Token: wrong").refused(t, 403, "forbidden")
	s.order(t, "CALL-0001", "-H", web).verified(t, 200)
	certificates := s.outbound + "/v3/certificates"
	curl(t, nil, certificates, "-H", web).refused(t, 403, "forbidden")
	curl(t, nil, certificates, "-H", batch).verified(t, 200)
	curl(t, nil, "-x", strings.Replace(s.outbound, "http://", "http://batch:batch-0123456789abcdef@", 1),
		"http://api.mch.weixin.qq.com/v3/certificates").verified(t, 200)
	curl(t, nil, "--path-as-is", s.outbound+"/v3/pay/transactions%2fnative", "-H", web).refused(t, 403, "forbidden")
	curl(t, nil, "--unix-socket", s.dir+"/api.sock", "http://x/v3/certificates").refused(t, 403, "forbidden")
	for _, x := range s.wire.all() {
		if x.header.Get("Wxproxy-Token") != "" || strings.Contains(x.header.Get("Authorization"), "Bearer") {
			t.Errorf("a token went to WeChat Pay: %v", x.header)
		}
	}
}
