//go:build e2e

package e2e

import (
	"net/http"
	"strings"
	"testing"
)

// A merchant of another group of upstreams: certificates and calls go there, and
// none to the ordinary ones.
func TestUpstreamGroup(t *testing.T) {
	t.Parallel()
	w := startWeChat(t, shortDir(t))
	here, there := newRelay(t, w.url), newRelay(t, w.url)
	s := startReady(t, setup{
		merchants: w.merchant("shop") + "\n    upstream_group: hk",
		upstream:  here.url, outbound: "  upstream_groups: [{name: hk, upstreams: [\"" + there.url + "\"]}]",
		routes: route("/notify", "shop", "http://127.0.0.1:1/"),
	})
	curl(t, nil, s.outbound+"/v3/global/certificates").verified(t, 200)
	var certificates, others int
	for _, x := range there.all() {
		if x.target == "/v3/global/certificates" {
			certificates++
		} else {
			others++
		}
	}
	if certificates < 2 || others != 0 || len(here.all()) != 0 {
		t.Errorf("%d for certificates and %d others went there, %d here", certificates, others, len(here.all()))
	}
	if _, metrics := get(t, http.DefaultClient, s.admin+"/metrics"); !strings.Contains(metrics, "wxproxy_upstream_attempts_total{outcome=\"answered\",upstream=\""+strings.TrimPrefix(there.url, "http://")) {
		t.Error("the group's host is not in the metrics")
	}
}
