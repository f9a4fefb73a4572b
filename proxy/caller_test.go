package proxy_test

import (
	"context"
	"net"
	"net/http/httptest"
	"testing"

	"github.com/wxproxy/wxproxy/internal/secret"
	"github.com/wxproxy/wxproxy/proxy"
)

func token(s string) func() secret.Value {
	return func() secret.Value { return secret.NewValue([]byte(s)) }
}

func patterns(t testing.TB, list ...string) []proxy.Pattern {
	t.Helper()
	var all []proxy.Pattern
	for _, s := range list {
		p, err := proxy.ParsePattern(s)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

func TestCallerTokens(t *testing.T) {
	t.Parallel()
	w := newWechat(t, nil)
	r := newRig(t, w, func(s *setup) {
		s.Callers = []*proxy.Caller{
			{Name: "empty", Token: token("")}, // not loaded: nobody is let in by it
			{Name: "shop", Token: token("s3cret-token")},
			{Name: "nobody"},
		}
	})
	for _, test := range []struct {
		name, header, value string
		status              int
	}{
		{"none", "X", "y", 403},
		{"empty", "Wxproxy-Token", "", 403},
		{"our header", "Wxproxy-Token", "s3cret-token", 200},
		{"our header, wrong", "Wxproxy-Token", "s3cret-tokem", 403},
		{"our header, longer", "Wxproxy-Token", "s3cret-token1", 403},
		{"our header, shorter", "Wxproxy-Token", "s3cret-toke", 403},
		{"bearer", "Authorization", "Bearer s3cret-token", 200},
		{"bearer, wrong", "Authorization", "Bearer wrong", 403},
		{"bearer, empty", "Authorization", "Bearer ", 403},
		{"not bearer", "Authorization", "s3cret-token", 403},
		{"proxy password", "Proxy-Authorization", "Basic eDpzM2NyZXQtdG9rZW4=", 200}, // x:s3cret-token
		{"proxy password, wrong", "Proxy-Authorization", "Basic eDp3cm9uZw==", 403},
		{"proxy password, empty", "Proxy-Authorization", "Basic eDo=", 403},
		{"proxy, not base64", "Proxy-Authorization", "Basic !", 403},
	} {
		g := r.do("GET", "/v3/x", "", test.header, test.value)
		if g.status != test.status {
			t.Errorf("%s: got %d %s, want %d", test.name, g.status, g.body, test.status)
		}
	}
	for _, c := range w.seen() {
		for name, values := range c.Header {
			for _, v := range values {
				if v == "s3cret-token" || v == "Bearer s3cret-token" {
					t.Errorf("the token went to WeChat Pay in %s", name)
				}
			}
		}
	}
}

func TestCallerUID(t *testing.T) {
	t.Parallel()
	uid := func(n uint32) *uint32 { return &n }
	for name, test := range map[string]struct {
		peer   *uint32
		status int
	}{
		"the one":  {uid(1000), 200},
		"another":  {uid(1001), 403},
		"root":     {uid(0), 403},
		"not told": {nil, 403},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWechat(t, nil)
			r := newRig(t, w, func(s *setup) {
				s.Callers = []*proxy.Caller{{Name: "batch", UID: uid(1000)}}
				s.listener.Unix = true
			})
			front := httptest.NewUnstartedServer(r.out.Handler(proxy.Listener{Unix: true}))
			front.Config.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
				if test.peer == nil {
					return ctx
				}
				return proxy.WithPeerUID(ctx, *test.peer)
			}
			front.Start()
			t.Cleanup(front.Close)
			if g := raw(t, front.Listener.Addr().String(), "GET /v3/x HTTP/1.1\r\nHost: x\r\n\r\n"); g.status != test.status {
				t.Errorf("got %d %s, want %d", g.status, g.body, test.status)
			}
		})
	}
}

func TestCallerMayOnlyWhatItIsAllowed(t *testing.T) {
	t.Parallel()
	w := newWechat(t, nil)
	r := newRig(t, w, func(s *setup) {
		s.Callers = []*proxy.Caller{
			{Name: "web", Token: token("web"), Allow: patterns(t, "GET /v3/pay/transactions/**", "POST /v3/pay/transactions/jsapi")},
			{Name: "all", Token: token("all")},
		}
	})
	for _, test := range []struct {
		token, method, target string
		status                int
		reason                proxy.Reason
	}{
		{"web", "GET", "/v3/pay/transactions/id/1?mchid=1900000001", 200, ""},
		{"web", "POST", "/v3/pay/transactions/jsapi", 200, ""},
		{"web", "POST", "/v3/pay/transactions/jsapi?x=%2F%2E", 200, ""},
		{"web", "POST", "/v3/refund/domestic/refunds", 403, proxy.ReasonForbidden},
		{"web", "POST", "/v3/pay/transactions/app", 403, proxy.ReasonForbidden},
		{"web", "DELETE", "/v3/pay/transactions/id/1", 403, proxy.ReasonForbidden},
		{"web", "GET", "/v3/pay/transactions", 403, proxy.ReasonForbidden},
		{"web", "GET", "/v3/pay/transactions/id/a%2Fb", 403, proxy.ReasonForbidden},
		{"web", "GET", "/v3/pay/transactions/id/a%2fb", 403, proxy.ReasonForbidden},
		{"web", "GET", "/v3/pay/transactions/id/a%2Eb", 403, proxy.ReasonForbidden},
		{"web", "GET", "/v3/pay/transactions/id/a%5Cb", 403, proxy.ReasonForbidden},
		{"web", "GET", "/v3/pay/transactions/../refund", 400, proxy.ReasonBadRequest},
		{"all", "GET", "/v3/pay/transactions/id/a%2Fb", 200, ""},
		{"all", "POST", "/v3/refund/domestic/refunds", 200, ""},
	} {
		body := ""
		length := "0"
		g := raw(t, r.address(), test.method+" "+test.target+" HTTP/1.1\r\nHost: localhost\r\nWxproxy-Token: "+test.token+
			"\r\nContent-Length: "+length+"\r\nConnection: close\r\n\r\n"+body)
		if test.reason == "" {
			g.passed(t, test.status, "true")
		} else {
			g.refused(t, test.status, test.reason)
		}
	}
}
