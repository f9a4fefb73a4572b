package proxy_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/wechatpay-apiv3/wechatpay-go/core/auth/validators"
	"github.com/wechatpay-apiv3/wechatpay-go/core/auth/verifiers"
)

func TestOutboundCall(t *testing.T) {
	t.Parallel()
	w := newWechat(t, answer{body: `{"prepay_id": "wx26112221580621e9b071c00d9e093b0000"}` + "\n"}.serve)
	r := newRig(t, w)
	body := "{ \"mchid\":\"1900000001\",\t\"out_trade_no\": \"T1\" ,\r\n \"amount\":{\"total\":1.0e2} }\n\n"

	g := r.do("POST", "/v3/pay/transactions/jsapi", body)
	g.passed(t, 200, "true")
	if g.body != `{"prepay_id": "wx26112221580621e9b071c00d9e093b0000"}`+"\n" {
		t.Errorf("answer body changed: %q", g.body)
	}
	for name, want := range map[string]string{
		"Wxproxy-Merchant": "shop", "Wxproxy-Attempts": "1", "Wxproxy-Result": "",
		"Request-Id": "08F7E2D2B806101F18C8D2CA6020-0", "Content-Type": "application/json; charset=utf-8",
	} {
		if v := g.header.Get(name); v != want {
			t.Errorf("%s is %q, want %q", name, v, want)
		}
	}
	if len(g.header.Get("Wxproxy-Request-Id")) < 16 {
		t.Errorf("Wxproxy-Request-Id is %q", g.header.Get("Wxproxy-Request-Id"))
	}

	c := w.only(t)
	if string(c.Body) != body {
		t.Errorf("the body was changed: %q", c.Body)
	}
	credential, err := authorized(c, []byte(body), &keys().merchant.PublicKey)
	if err != nil {
		t.Fatalf("WeChat Pay refuses the signature: %v", err)
	}
	if credential.MchID != mchID || credential.Serial != merchantSerial {
		t.Errorf("signed as %s with %s", credential.MchID, credential.Serial)
	}

	// The official SDK, as a second opinion on both signatures.
	sdk := verifiers.NewSHA256WithRSAPubkeyVerifier(merchantSerial, keys().merchant.PublicKey)
	if err := sdk.Verify(context.Background(), credential.Serial, credential.message(c.Method, c.Target, c.Body), credential.Signature); err != nil {
		t.Errorf("the SDK refuses the request's signature: %v", err)
	}
	validator := validators.NewWechatPayResponseValidator(verifiers.NewSHA256WithRSAPubkeyVerifier(platformSerial, keys().platform.PublicKey))
	if err := validator.Validate(context.Background(), &http.Response{Header: g.header, Body: readCloser(g.body)}); err != nil {
		t.Errorf("the SDK refuses the answer that the app got: %v", err)
	}
}

// The target goes out byte for byte, and the signature covers those bytes.
func TestOutboundTargetIsUntouched(t *testing.T) {
	t.Parallel()
	w := newWechat(t, nil)
	r := newRig(t, w)
	for _, target := range []string{
		"/v3/pay/transactions/out-trade-no/A%7CB?mchid=1900000001",
		"/v3/pay/transactions/out-trade-no/A|B?mchid=1900000001",
		"/v3/pay/transactions/out-trade-no/A|B?",
		"/v3/pay/transactions/out-trade-no/%e4%b8%AD%E6%96%87",
		"/v3/pay/transactions/id/a%2Fb",
		"/v3/pay/transactions/id/*@-_~!$&'()+,;=:{}[]^`",
		"/v3/bill/tradebill?bill_date=2026-11-23&tar_type=GZIP&x=%zz&y=a+b&a=|?/??",
		"/v3/applyment4sub/applyment/",
		"/v3/x?url=https://a//b/../c",
		"/hk/v3/transactions/x",
	} {
		g := raw(t, r.address(), "GET "+target+" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
		g.passed(t, 200, "true")
		calls := w.seen()
		c := calls[len(calls)-1]
		if c.Target != target {
			t.Errorf("sent %q for %q", c.Target, target)
		}
		if _, err := authorized(c, nil, &keys().merchant.PublicKey); err != nil {
			t.Errorf("%s: %v", target, err)
		}
		if len(c.Body) != 0 || c.Chunked || c.Header.Get("Content-Length") != "" || c.Header.Get("Content-Type") != "" {
			t.Errorf("%s: a GET went out as if it had a body: %+v", target, c)
		}
	}
}

func TestOutboundBodies(t *testing.T) {
	t.Parallel()
	w := newWechat(t, nil)
	r := newRig(t, w)
	for name, test := range map[string]struct{ method, body, length string }{
		"empty POST":           {"POST", "", "0"},
		"empty PUT":            {"PUT", "", "0"},
		"empty PATCH":          {"PATCH", "", "0"},
		"empty DELETE":         {"DELETE", "", ""},
		"empty GET":            {"GET", "", ""},
		"DELETE with body":     {"DELETE", `{"mchid":"1900000001"}`, "22"},
		"PATCH with body":      {"PATCH", `{}`, "2"},
		"not JSON":             {"POST", "\x00\xff{", "3"},
		"UTF-8 with LF at end": {"POST", "{\"d\":\"中\"}\n", "12"},
	} {
		t.Run(name, func(t *testing.T) {
			g := r.do(test.method, "/v3/x", test.body)
			g.passed(t, 200, "true")
			calls := w.seen()
			c := calls[len(calls)-1]
			if c.Method != test.method || string(c.Body) != test.body || c.Chunked || c.Header.Get("Content-Length") != test.length {
				t.Errorf("sent %s %q, chunked %v, Content-Length %q", c.Method, c.Body, c.Chunked, c.Header.Get("Content-Length"))
			}
			if _, err := authorized(c, []byte(test.body), &keys().merchant.PublicKey); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestOutboundRequestHeaders(t *testing.T) {
	t.Parallel()
	w := newWechat(t, nil)
	r := newRig(t, w)
	g := raw(t, r.address(), strings.Join([]string{
		"POST /v3/x HTTP/1.1", "Host: localhost", "Content-Length: 2", "Content-Type: application/json",
		"Connection: close, X-Named, Wechatpay-Nonce", "X-Named: 1", "Keep-Alive: 3", "Proxy-Connection: 1", "Te: trailers", "Trailer: X-T", "Upgrade: h2c",
		"Proxy-Authorization: Basic eDp5", "Authorization: WECHATPAY2-SHA256-RSA2048 mchid=\"0\"", "Cookie: a=b",
		"Accept-Encoding: gzip, br", "Accept-Language: zh-HK", "X-Kept: kept",
		"Wxproxy-Merchant: shop", "wxproxy-Token: t", "Wxproxy-Anything: x", "WEBHOOK-Signature: v1,x", "Webhook-Id: 1",
		"Idempotency-Key: 1", "X-Idempotency-Key: 1", "X-Forwarded-For: 1.2.3.4", "Forwarded: for=1.2.3.4", "X-Real-IP: 1.2.3.4",
		"User-Agent: ", "", "{}",
	}, "\r\n"))
	g.passed(t, 200, "true")
	c := w.only(t)
	var names []string
	for name := range c.Header {
		names = append(names, name)
	}
	slices.Sort(names)
	want := []string{"Accept", "Accept-Encoding", "Accept-Language", "Authorization", "Content-Length", "Content-Type", "User-Agent", "Wechatpay-Serial", "X-Kept"}
	if !slices.Equal(names, want) {
		t.Errorf("headers sent: %v\nwant          %v", names, want)
	}
	for name, want := range map[string]string{
		"Accept-Encoding": "identity", "User-Agent": "wxproxy", "Accept": "application/json, */*;q=0.5",
		"Wechatpay-Serial": platformSerial, "Accept-Language": "zh-HK", "X-Kept": "kept",
	} {
		if v := c.Header.Get(name); v != want {
			t.Errorf("%s is %q, want %q", name, v, want)
		}
	}
	if _, err := authorized(c, []byte("{}"), &keys().merchant.PublicKey); err != nil {
		t.Error(err)
	}
}

func TestOutboundKeepsTheCallersHeaders(t *testing.T) {
	t.Parallel()
	w := newWechat(t, nil)
	newRig(t, w).do("GET", "/v3/x", "", "Accept", "*/*", "User-Agent", "shop/1", "Wechatpay-Serial", rotatedSerial).passed(t, 200, "true")
	c := w.only(t)
	for name, want := range map[string]string{"Accept": "*/*", "User-Agent": "shop/1", "Wechatpay-Serial": rotatedSerial} {
		if v := c.Header[name]; !slices.Equal(v, []string{want}) {
			t.Errorf("%s is %q, want %q", name, v, want)
		}
	}
}

func TestOutboundAnswerHeaders(t *testing.T) {
	t.Parallel()
	w := newWechat(t, answer{body: "{}", headers: map[string]string{
		"Wxproxy-Verified": "unsigned", "Wxproxy-Error": "internal", "Wxproxy-Merchant": "evil", "Wxproxy-Cause": "x", "Wxproxy-Result": "fine",
		"Webhook-Id": "1", "Idempotency-Key": "1", "Keep-Alive": "timeout=8", "Proxy-Authenticate": "Basic", "X-Kept": "kept", "X-Named": "1",
		"Connection": "X-Named",
	}}.serve)
	g := newRig(t, w).do("GET", "/v3/x", "")
	g.passed(t, 200, "true")
	for _, name := range []string{"Wxproxy-Error", "Wxproxy-Cause", "Wxproxy-Result", "Webhook-Id", "Idempotency-Key", "Keep-Alive", "Proxy-Authenticate", "X-Named", "Connection"} {
		if v, ok := g.header[name]; ok {
			t.Errorf("%s reached the app: %q", name, v)
		}
	}
	if g.header.Get("X-Kept") != "kept" || !slices.Equal(g.header["Wxproxy-Merchant"], []string{"shop"}) {
		t.Errorf("headers: %v", g.header)
	}
}

func TestOutboundAnswersWithoutBody(t *testing.T) {
	t.Parallel()
	w := newWechat(t, answer{status: http.StatusNoContent}.serve)
	g := newRig(t, w).do("POST", "/v3/pay/transactions/out-trade-no/1/close", `{"mchid":"1900000001"}`)
	g.passed(t, 204, "true")
	if _, ok := g.header["Content-Length"]; ok || g.body != "" {
		t.Errorf("204 with %q and Content-Length %q", g.body, g.header["Content-Length"])
	}
}
