//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// answer is what curl printed.
type answer struct {
	status int
	header http.Header
	body   string
	raw    string
}

// curl runs curl as a shell would, with no environment but env.
func curl(t *testing.T, env []string, args ...string) answer {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "curl", append([]string{"--silent", "--show-error", "--include", "--raw", "--max-time", "20", "-H", "Expect:"}, args...)...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent"}, env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("curl %q: %v: %s", args, err, &stderr)
	}
	final, _ := strings.CutPrefix(string(out), "HTTP/1.1 100 Continue\r\n\r\n")
	parsed, err := http.ReadResponse(bufio.NewReader(strings.NewReader(final)), nil)
	if err != nil {
		t.Fatalf("curl %q printed %q: %v", args, out, err)
	}
	defer parsed.Body.Close()
	body, err := io.ReadAll(parsed.Body)
	if err != nil {
		t.Fatalf("curl %q printed %q: %v", args, out, err)
	}
	return answer{parsed.StatusCode, parsed.Header, string(body), string(out)}
}

// post makes the arguments of a JSON request.
func post(url, body string, more ...string) []string {
	return append([]string{url, "-H", "Content-Type: application/json", "-d", body}, more...)
}

// field reads one field of a JSON answer.
func (a answer) field(t *testing.T, name string) string {
	t.Helper()
	var fields map[string]any
	if err := json.Unmarshal([]byte(a.body), &fields); err != nil {
		t.Fatalf("%s: %v", a.raw, err)
	}
	text, _ := fields[name].(string)
	return text
}

// verified asserts WeChat Pay's own answer, its signature checked.
func (a answer) verified(t *testing.T, status int) answer {
	t.Helper()
	if a.status != status || a.header.Get("Wxproxy-Verified") != "true" || a.header.Get("Wxproxy-Error") != "" {
		t.Fatalf("got\n%s\nwant %d, verified", a.raw, status)
	}
	return a
}

// refused asserts an answer of wxproxy's own, in WeChat Pay's error shape.
func (a answer) refused(t *testing.T, status int, reason string) answer {
	t.Helper()
	if a.status != status || a.header.Get("Wxproxy-Error") != reason || a.header.Get("Wxproxy-Verified") != "" {
		t.Fatalf("got\n%s\nwant %d %s", a.raw, status, reason)
	}
	if a.field(t, "code") == "" || a.field(t, "message") == "" {
		t.Fatalf("got\n%s\nwant code and message", a.raw)
	}
	return a
}

// shop is the usual scene: one merchant, a relay that listens on the wire to
// WeChat Pay, an app, and the sidecar between them.
type shop struct {
	*sidecar
	wechat *wechat
	wire   *relay
	app    *app
}

func newShop(t *testing.T, change func(*setup)) *shop {
	t.Helper()
	s := &shop{wechat: startWeChat(t, shortDir(t)), app: newApp(t)}
	s.wire = newRelay(t, s.wechat.url)
	c := setup{merchants: s.wechat.merchant("shop"), upstream: s.wire.url, routes: route("/notify/shop", "shop", s.app.url)}
	if change != nil {
		change(&c)
	}
	s.sidecar = startReady(t, c)
	return s
}

const mchID = "1900000001" // of the simulator's own merchant

// order prepays and returns curl's answer.
func (s *shop) order(t *testing.T, outTradeNo string, more ...string) answer {
	t.Helper()
	return curl(t, nil, post(s.outbound+"/v3/pay/transactions/native", prepayBody(t, mchID, outTradeNo, s.notify+"/notify/shop"), more...)...)
}

func TestCurl(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)

	t.Run("origin form", func(t *testing.T) {
		if url := s.order(t, "CURL-001").verified(t, 200).field(t, "code_url"); !strings.HasPrefix(url, "weixin://") {
			t.Errorf("code_url is %q", url)
		}
		s.wechat.pay("CURL-001")
		if got := s.app.take(204).resource(t)["out_trade_no"]; got != "CURL-001" {
			t.Errorf("the app was told of %v", got)
		}
		query := curl(t, nil, s.outbound+"/v3/pay/transactions/out-trade-no/CURL-001?mchid="+mchID).verified(t, 200)
		if query.field(t, "trade_state") != "SUCCESS" {
			t.Errorf("got %s", query.body)
		}
		refund := `{"out_trade_no":"CURL-001","out_refund_no":"R-CURL-001","notify_url":"` + s.notify + `/notify/shop",
			"amount":{"refund":40,"total":100,"currency":"CNY"}}`
		curl(t, nil, post(s.outbound+"/v3/refund/domestic/refunds", refund)...).verified(t, 200)
		if d := s.app.take(204); d.header.Get("Wxproxy-Event-Type") != "REFUND.SUCCESS" || d.resource(t)["out_refund_no"] != "R-CURL-001" {
			t.Errorf("the app was told %v %s", d.header, d.body)
		}
		curl(t, nil, s.outbound+"/v3/refund/domestic/refunds/R-CURL-001").verified(t, 200)
	})
	t.Run("empty answer", func(t *testing.T) {
		s.order(t, "CURL-002").verified(t, 200)
		curl(t, nil, post(s.outbound+"/v3/pay/transactions/out-trade-no/CURL-002/close", `{"mchid":"`+mchID+`"}`)...).verified(t, 204)
	})
	t.Run("path with odd characters", func(t *testing.T) {
		// The signature covers the bytes on the wire; any rewriting breaks it.
		s.order(t, "CURL|@*_-3").verified(t, 200)
		for _, target := range []string{"CURL|@*_-3", "CURL%7C@*_-3", "CURL%7c%40%2A_-3"} {
			curl(t, nil, "--path-as-is", s.outbound+"/v3/pay/transactions/out-trade-no/"+target+"?mchid="+mchID).verified(t, 200)
			if got := s.wire.last(t).target; !strings.Contains(got, target) {
				t.Errorf("sent %s, want %s in it", got, target)
			}
		}
	})
	t.Run("absolute form through http_proxy", func(t *testing.T) {
		env := []string{"http_proxy=" + s.outbound}
		curl(t, env, post("http://api.mch.weixin.qq.com/v3/pay/transactions/native",
			prepayBody(t, mchID, "CURL-004", s.notify+"/notify/shop"))...).verified(t, 200)
		curl(t, env, "http://other.example.com/v3/certificates").refused(t, 403, "forbidden")
	})
	t.Run("tunnel", func(t *testing.T) {
		out, err := exec.CommandContext(t.Context(), "curl", "-sS", "-v", "-x", s.outbound, "https://api.mch.weixin.qq.com/v3/certificates").CombinedOutput()
		if err == nil || !bytes.Contains(out, []byte(" 405 ")) {
			t.Errorf("CONNECT: %v\n%s", err, out)
		}
	})
	t.Run("unix socket", func(t *testing.T) {
		curl(t, nil, "--unix-socket", s.dir+"/api.sock", "http://any.name/v3/pay/transactions/out-trade-no/CURL-002?mchid="+mchID).verified(t, 200)
	})
	t.Run("download", func(t *testing.T) {
		bill := curl(t, nil, s.outbound+"/v3/bill/tradebill?bill_date=2026-01-01").verified(t, 200)
		_, target, _ := strings.Cut(bill.field(t, "download_url"), "/v3/")
		file := curl(t, nil, s.outbound+"/v3/"+target)
		if file.status != 200 || file.header.Get("Wxproxy-Verified") != "unsigned" || file.body == "" {
			t.Errorf("got\n%s", file.raw)
		}
	})
	t.Run("upload", func(t *testing.T) {
		file := s.dir + "/picture.png"
		writeFile(t, file, []byte("not really a picture"))
		meta := `{"filename":"picture.png","sha256":"` + sha256Hex("not really a picture") + `"}`
		got := curl(t, nil, s.outbound+"/v3/merchant/media/upload", "-F", "meta="+meta+";type=application/json", "-F", "file=@"+file+";type=image/png")
		if got.verified(t, 200).field(t, "media_id") == "" {
			t.Errorf("got\n%s", got.raw)
		}
	})
}

// What leaves for WeChat Pay has our Authorization and nothing of the caller's.
func TestCurlHeaders(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	s.order(t, "HEAD-001", "-H", "Authorization: WECHATPAY2-SHA256-RSA2048 mchid=\"x\"", "-H", "Accept-Encoding: gzip",
		"-H", "Wxproxy-Verified: true", "-H", "Cookie: a=b", "-H", "X-Forwarded-For: 192.0.2.1", "-H", "User-Agent:").verified(t, 200)
	sent := s.wire.last(t).header
	if a := sent.Values("Authorization"); len(a) != 1 || !strings.Contains(a[0], `mchid="`+mchID+`"`) {
		t.Errorf("Authorization is %q", a)
	}
	for _, name := range []string{"Cookie", "X-Forwarded-For", "Wxproxy-Verified"} {
		if sent.Get(name) != "" {
			t.Errorf("%s was handed on", name)
		}
	}
	if sent.Get("Accept-Encoding") != "identity" || sent.Get("User-Agent") == "" || sent.Get("Wechatpay-Serial") == "" {
		t.Errorf("sent %v", sent)
	}
}

func TestCurlRefusals(t *testing.T) {
	t.Parallel()
	s := newShop(t, func(c *setup) { c.outbound = "  limits: {request: 4KiB}" })
	certificates := s.outbound + "/v3/certificates"
	for name, row := range map[string]struct {
		status int
		reason string
		args   []string
	}{
		"web page":            {403, "forbidden", []string{certificates, "-H", "Origin: http://evil.example.com"}},
		"browser":             {403, "forbidden", []string{certificates, "-H", "Sec-Fetch-Site: none"}},
		"rebound name":        {403, "forbidden", []string{certificates, "-H", "Host: evil.example.com"}},
		"not the API":         {400, "bad_request", []string{s.outbound + "/index.html"}},
		"dot segments":        {400, "bad_request", []string{"--path-as-is", s.outbound + "/v3/pay/../certificates"}},
		"two slashes":         {400, "bad_request", []string{"--path-as-is", s.outbound + "/v3//certificates"}},
		"unknown merchant":    {400, "unknown_merchant", []string{certificates, "-H", "Wxproxy-Merchant: other"}},
		"body too large":      {413, "body_too_large", post(s.outbound+"/v3/pay/transactions/native", `{"a":"`+strings.Repeat("a", 5<<10)+`"}`)},
		"body names another":  {400, "merchant_mismatch", post(s.outbound+"/v3/pay/transactions/native", `{"mchid":"1900000002"}`)},
		"upload without meta": {400, "bad_upload", []string{s.outbound + "/v3/merchant/media/upload", "-F", "file=@/dev/null;filename=a.png"}},
	} {
		t.Run(name, func(t *testing.T) { curl(t, nil, row.args...).refused(t, row.status, row.reason) })
	}
	for _, x := range s.wire.all() {
		if strings.HasPrefix(x.header.Get("User-Agent"), "curl") {
			t.Errorf("a refused request was sent: %s %s", x.method, x.target)
		}
	}
}
