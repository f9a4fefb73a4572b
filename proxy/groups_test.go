package proxy_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/wxproxy/wxproxy/proxy"
)

// world plays several hosts of WeChat Pay; connections to any name end here,
// and it notes which was meant.
type world struct {
	t  testing.TB
	in *httptest.Server

	mu    sync.Mutex
	hosts []string
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t}
	w.in = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		w.hosts = append(w.hosts, r.Host)
		w.mu.Unlock()
		answer{body: `{"download_url":"http://api-hk.example/v3/billdownload/file?token=1","hash_type":"SHA1","hash_value":"a9993e364706816aba3e25717850c26c9cd0d89d"}`}.serve(rw, r)
	}))
	t.Cleanup(w.in.Close)
	return w
}

func (w *world) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	hosts := w.hosts
	w.hosts = nil
	return hosts
}

// abroad has two groups of upstreams besides the ordinary, and a merchant of hk.
func abroad(w *world, k *trust, change ...func(*proxy.Merchant)) func(*setup) {
	return func(s *setup) {
		s.bases = []string{"http://api-main.example"}
		s.upstream.Groups = map[string][]*url.URL{"hk": {{Scheme: "http", Host: "api-hk.example"}}, "us": {{Scheme: "http", Host: "api-us.example"}}}
		s.upstream.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, w.in.Listener.Addr().String())
		}
		other := otherShop(w.t, k)
		other.Group = "hk"
		for _, c := range change {
			c(other)
		}
		s.Merchants = []*proxy.Merchant{shop(w.t, k), other}
	}
}

// A call goes where its merchant lives, or to the configured host that it names;
// to no other host, whatever it names.
func TestUpstreamGroups(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := newRig(t, nil, abroad(w, newTrust()))
	for name, test := range map[string]struct{ merchant, target, host, goesTo string }{
		"merchant of the ordinary": {"shop", "/v3/x", "", "api-main.example"},
		"merchant of hk":           {"other", "/v3/x", "", "api-hk.example"},
		"named in absolute form":   {"shop", "http://api-us.example/v3/x", "", "api-us.example"},
		"named in https":           {"shop", "https://API-US.example:443/v3/x", "", "api-us.example"},
		"named in Host":            {"shop", "/v3/x", "api-hk.example", "api-hk.example"},
		"the ordinary named":       {"other", "http://api-main.example/v3/x", "", "api-main.example"},
		"named by localhost":       {"other", "/v3/x", "127.0.0.1:1", "api-hk.example"},
		"not configured":           {"shop", "http://api-eu.example/v3/x", "", ""},
		"not configured, Host":     {"shop", "/v3/x", "api-eu.example", ""},
		"with a name before it":    {"shop", "http://x.api-hk.example/v3/x", "", ""},
	} {
		host := or(test.host, "localhost")
		if u, err := url.Parse(test.target); err == nil && u.Host != "" {
			host = u.Host
		}
		g := raw(t, r.address(), "GET "+test.target+" HTTP/1.1\r\nHost: "+host+"\r\nWxproxy-Merchant: "+test.merchant+"\r\nConnection: close\r\n\r\n")
		went := strings.Join(w.take(), " ")
		if went != test.goesTo || (g.status == 200) != (test.goesTo != "") {
			t.Errorf("%s: went to %q with %d, want %q", name, went, g.status, test.goesTo)
		}
		if test.goesTo == "" {
			g.refused(t, 403, proxy.ReasonForbidden)
		}
	}
}

// A link in an answer must lie where the call went, in its group.
func TestLinksStayInTheirGroup(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil, abroad(newWorld(t), newTrust()))
	const bill = "/v3/bill/tradebill?bill_date=2026-01-01"
	there := r.do("GET", bill, "", "Wxproxy-Merchant", "other")
	there.passed(t, 200, "true")
	if !strings.Contains(there.body, r.front.URL) {
		t.Errorf("got %s", there.body)
	}
	if here := r.do("GET", bill, "", "Wxproxy-Merchant", "shop"); strings.Contains(here.body, r.front.URL) {
		t.Errorf("another group's link was taken: %s", here.body)
	}
}

func TestUpstreamGroupsRefused(t *testing.T) {
	t.Parallel()
	k := newTrust()
	base := func(host string) []*url.URL { return []*url.URL{{Scheme: "https", Host: host}} }
	for name, test := range map[string]struct {
		groups map[string][]*url.URL
		group  string
	}{
		"merchant of no group":   {map[string][]*url.URL{"hk": base("b.example")}, "us"},
		"one host in two groups": {map[string][]*url.URL{"hk": base("a.example")}, ""},
	} {
		up, err := proxy.NewUpstream(proxy.UpstreamOptions{Bases: base("a.example"), Groups: test.groups})
		if err != nil {
			t.Fatal(err)
		}
		m := shop(t, k)
		m.Group = test.group
		if _, err := proxy.NewOutbound(proxy.OutboundOptions{
			Merchants: []*proxy.Merchant{m}, Table: table(t), Upstream: up, Limits: proxy.Limits{Request: 1, Response: 1, InFlight: 1},
		}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for name, groups := range map[string]map[string][]*url.URL{"no name": {"": base("b.example")}, "no base": {"hk": nil}, "no host": {"hk": base("")}} {
		if _, err := proxy.NewUpstream(proxy.UpstreamOptions{Bases: base("a.example"), Groups: groups}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
