package proxy_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/wxproxy/wxproxy/proxy"
)

// Each row is one request as raw bytes; the first line and the headers.
func TestAdmit(t *testing.T) {
	t.Parallel()
	const host = "Host: localhost:8080"
	allowed := func(lines ...string) []string { return lines }
	for _, test := range []struct {
		name   string
		lines  []string
		status int
		reason proxy.Reason
	}{
		{"plain", allowed("GET /v3/x", host), 200, ""},
		{"loopback address", allowed("GET /v3/x", "Host: 127.0.0.9:1"), 200, ""},
		{"loopback v6", allowed("GET /v3/x", "Host: [::1]:8080"), 200, ""},
		{"loopback v6 without port", allowed("GET /v3/x", "Host: [::1]"), 200, ""},
		{"upper case and dot", allowed("GET /v3/x", "Host: LOCALHOST.:80"), 200, ""},
		{"configured name", allowed("GET /v3/x", "Host: Wxproxy.Internal:8080"), 200, ""},
		{"name of an upstream", allowed("GET /v3/x", "Host: api.mch.weixin.qq.com"), 200, ""},
		{"absolute form", allowed("GET http://api.mch.weixin.qq.com/v3/x", "Host: api.mch.weixin.qq.com"), 200, ""},
		{"absolute form, port and case", allowed("GET HTTP://API.mch.weixin.qq.com:80/v3/x", "Host: evil.example"), 200, ""},
		{"absolute form of ourselves", allowed("GET http://localhost:8080/v3/x", host), 200, ""},

		{"foreign absolute form", allowed("GET http://evil.example/v3/x", host), 403, proxy.ReasonForbidden},
		{"absolute form with user", allowed("GET http://api.mch.weixin.qq.com@evil.example/v3/x", host), 403, proxy.ReasonForbidden},
		{"foreign host", allowed("GET /v3/x", "Host: evil.example"), 403, proxy.ReasonForbidden},
		{"rebound host", allowed("GET /v3/x", "Host: localhost.evil.example"), 403, proxy.ReasonForbidden},
		{"host that begins like loopback", allowed("GET /v3/x", "Host: 127.0.0.1.evil.example"), 403, proxy.ReasonForbidden},
		{"other address", allowed("GET /v3/x", "Host: 10.0.0.1"), 403, proxy.ReasonForbidden},
		{"any address", allowed("GET /v3/x", "Host: 0.0.0.0"), 403, proxy.ReasonForbidden},
		{"empty host", allowed("GET /v3/x", "Host:"), 403, proxy.ReasonForbidden},

		{"Origin", allowed("POST /v3/x", host, "Origin: http://localhost"), 403, proxy.ReasonForbidden},
		{"Origin null", allowed("GET /v3/x", host, "Origin: null"), 403, proxy.ReasonForbidden},
		{"empty Origin", allowed("GET /v3/x", host, "Origin:"), 403, proxy.ReasonForbidden},
		{"Sec-Fetch-Site", allowed("GET /v3/x", host, "Sec-Fetch-Site: none"), 403, proxy.ReasonForbidden},
		{"sec-fetch-dest", allowed("GET /v3/x", host, "sec-fetch-dest: document"), 403, proxy.ReasonForbidden},
		{"both, as browsers do", allowed("GET /v3/x", host, "Sec-Fetch-Mode: cors", "Sec-Fetch-Site: same-origin"), 403, proxy.ReasonForbidden},
		{"sec-fetch-mode alone, as Node's fetch does", allowed("GET /v3/x", host, "sec-fetch-mode: cors"), 200, ""},

		{"CONNECT", allowed("CONNECT api.mch.weixin.qq.com:443", "Host: api.mch.weixin.qq.com:443"), 405, proxy.ReasonMethodNotAllowed},
		{"OPTIONS", allowed("OPTIONS /v3/x", host), 405, proxy.ReasonMethodNotAllowed},
		{"TRACE", allowed("TRACE /v3/x", host), 405, proxy.ReasonMethodNotAllowed},
		{"lower case method", allowed("get /v3/x", host), 405, proxy.ReasonMethodNotAllowed},
		{"odd method", allowed("M-SEARCH /v3/x", host), 405, proxy.ReasonMethodNotAllowed},

		{"other path", allowed("GET /", host), 400, proxy.ReasonBadRequest},
		{"not quite v3", allowed("GET /v3", host), 400, proxy.ReasonBadRequest},
		{"v2", allowed("POST /pay/unifiedorder", host), 400, proxy.ReasonBadRequest},
		{"case of v3", allowed("GET /V3/x", host), 400, proxy.ReasonBadRequest},
		{"query only", allowed("GET http://localhost?/v3/x", host), 400, proxy.ReasonBadRequest},
		{"no path", allowed("GET http://localhost", host), 400, proxy.ReasonBadRequest},
		{"scheme without authority", allowed("GET http:/v3/x", host), 400, proxy.ReasonBadRequest},
		{"dot", allowed("GET /v3/./x", host), 400, proxy.ReasonBadRequest},
		{"dots", allowed("GET /v3/a/../x", host), 400, proxy.ReasonBadRequest},
		{"dots at the end", allowed("GET /v3/a/..", host), 400, proxy.ReasonBadRequest},
		{"encoded dots", allowed("GET /v3/a/%2e%2E/x", host), 400, proxy.ReasonBadRequest},
		{"half encoded dots", allowed("GET /v3/a/.%2e/x", host), 400, proxy.ReasonBadRequest},
		{"dots behind an encoded slash", allowed("GET /v3/a%2f..%2fx", host), 400, proxy.ReasonBadRequest},
		{"dots with a parameter", allowed("GET /v3/a/..;x/y", host), 400, proxy.ReasonBadRequest},
		{"two slashes", allowed("GET /v3//x", host), 400, proxy.ReasonBadRequest},
		{"two slashes first", allowed("GET //evil.example/v3/x", host), 400, proxy.ReasonBadRequest},
		{"two slashes in absolute form", allowed("GET http://localhost//v3/x", host), 400, proxy.ReasonBadRequest},
		{"encoded line feed", allowed("GET /v3/a%0Ab", host), 400, proxy.ReasonBadRequest},
		{"encoded NUL", allowed("GET /v3/a%00", host), 400, proxy.ReasonBadRequest},
		{"byte above ASCII", allowed("GET /v3/\xe4\xb8\xad", host), 400, proxy.ReasonBadRequest},
		{"byte above ASCII in the query", allowed("GET /v3/a?b=\xe4", host), 400, proxy.ReasonBadRequest},
		{"backslash", allowed("GET /v3/a\\b", host), 400, proxy.ReasonBadRequest},
		{"fragment", allowed("GET /v3/a#b", host), 400, proxy.ReasonBadRequest},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWechat(t, nil)
			r := newRig(t, nil, hostedBy(t, w))
			request := test.lines[0] + " HTTP/1.1\r\n" + strings.Join(test.lines[1:], "\r\n") + "\r\nConnection: close\r\n\r\n"
			g := raw(t, r.address(), request)
			if test.reason == "" {
				g.passed(t, 200, "true")
				if c := w.only(t); c.Target != "/v3/x" {
					t.Errorf("sent %s", c.Target)
				}
				return
			}
			g.refused(t, test.status, test.reason)
			if n := len(w.seen()); n != 0 {
				t.Errorf("a refused request was sent %d times", n)
			}
		})
	}
}

// hostedBy sets hosts of ours; the upstream's own name is one of them.
func hostedBy(t *testing.T, w *wechat) func(*setup) {
	t.Helper()
	return func(s *setup) {
		s.bases = []string{w.URL}
		s.Hosts = []string{"wxproxy.internal", "api.mch.weixin.qq.com"}
	}
}

func TestConnectNamesTheBaseURL(t *testing.T) {
	t.Parallel()
	r := newRig(t, newWechat(t, nil))
	g := raw(t, r.address(), "CONNECT api.mch.weixin.qq.com:443 HTTP/1.1\r\nHost: api.mch.weixin.qq.com:443\r\n\r\n")
	g.refused(t, 405, proxy.ReasonMethodNotAllowed)
	if !strings.Contains(g.body, r.front.URL) || g.header.Get("Allow") == "" {
		t.Errorf("no hint at %s: %s %v", r.front.URL, g.body, g.header)
	}
}

// Over a Unix socket, which no browser reaches, any name will do; but an
// absolute-form target still says where it wants to go.
func TestUnixSocket(t *testing.T) {
	t.Parallel()
	w := newWechat(t, nil)
	r := newRig(t, w, func(s *setup) { s.listener.Unix = true })
	for request, status := range map[string]int{
		"GET /v3/x HTTP/1.1\r\nHost: anything\r\n\r\n":                                      200,
		"GET /v3/x HTTP/1.0\r\n\r\n":                                                        200,
		"GET http://localhost/v3/x HTTP/1.1\r\nHost: x\r\n\r\n":                             200,
		"GET http://evil.example/v3/x HTTP/1.1\r\nHost: localhost\r\n\r\n":                  403,
		"GET /v3/x HTTP/1.1\r\nHost: localhost\r\nOrigin: x\r\n\r\n":                        403,
		"GET /v3/x HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Dest: document\r\n\r\n":         403,
		"CONNECT api.mch.weixin.qq.com:443 HTTP/1.1\r\nHost: api.mch.weixin.qq.com\r\n\r\n": 405,
	} {
		if g := raw(t, r.address(), request); g.status != status {
			t.Errorf("%q: got %d %s, want %d", request, g.status, g.body, status)
		}
	}
}

// Where a request goes is decided in the config alone.
func TestDestinationComesFromTheConfig(t *testing.T) {
	t.Parallel()
	w := newWechat(t, nil)
	r := newRig(t, w, hostedBy(t, w))
	raw(t, r.address(), "GET http://api.mch.weixin.qq.com:1/v3/x HTTP/1.1\r\nHost: x\r\n\r\n").passed(t, 200, "true")
	if w.only(t).Target != "/v3/x" {
		t.Error("not sent to the upstream")
	}
}

func TestUpstreamRefusesOtherBases(t *testing.T) {
	t.Parallel()
	for _, base := range []string{"ftp://localhost", "localhost:80", "/v3"} {
		u, err := url.Parse(base)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := proxy.NewUpstream(proxy.UpstreamOptions{Bases: []*url.URL{u}}); err == nil {
			t.Errorf("%s accepted", base)
		}
	}
	if _, err := proxy.NewUpstream(proxy.UpstreamOptions{}); err == nil {
		t.Error("no base accepted")
	}
}
