package certcache_test

import (
	"fmt"
	"net/http/httptest"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/wxproxy/wxproxy/certcache"
)

func TestMetrics(t *testing.T) {
	t.Parallel()
	w := &wechat{}
	c := open(t, w.options())
	o := w.options()
	o.Name, o.Certificates, o.Pinned = "other", false, pinned(t, 1)
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(certcache.NewCollector(c, open(t, o))); err != nil {
		t.Fatal(err)
	}

	cert := issue(t, 0, epoch.Add(-year), epoch.Add(year))
	forged := list(t, epoch, cert)
	forged.body = append(forged.body, ' ')
	for _, r := range []reply{list(t, epoch, cert), noCertificates(), forged, {status: 500}, {status: 502}} {
		w.set(r, nil)
		_ = c.Refresh(t.Context())
	}
	for range 3 { // a burst of 2, then the limit
		_, _ = c.For(certcache.Notify).Lookup(t.Context(), hexUnknown)
	}

	want := fmt.Sprintf(`# HELP wxproxy_platform_certificate_expiry_timestamp_seconds When a trusted platform certificate of WeChat Pay ceases to verify.
# TYPE wxproxy_platform_certificate_expiry_timestamp_seconds gauge
wxproxy_platform_certificate_expiry_timestamp_seconds{merchant="shop",serial="%s"} %g
# HELP wxproxy_platform_last_refresh_timestamp_seconds When the platform certificates were last downloaded successfully.
# TYPE wxproxy_platform_last_refresh_timestamp_seconds gauge
wxproxy_platform_last_refresh_timestamp_seconds{merchant="shop"} %g
# HELP wxproxy_platform_refresh_total Refreshes of the platform certificates by outcome: success, none, failed, refused, limited.
# TYPE wxproxy_platform_refresh_total counter
wxproxy_platform_refresh_total{merchant="shop",outcome="failed"} 4
wxproxy_platform_refresh_total{merchant="shop",outcome="limited"} 1
wxproxy_platform_refresh_total{merchant="shop",outcome="none"} 1
wxproxy_platform_refresh_total{merchant="shop",outcome="refused"} 1
wxproxy_platform_refresh_total{merchant="shop",outcome="success"} 1
`, cert.serial, float64(epoch.Add(year).Unix()), float64(epoch.Unix()))
	answer := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	if got := answer.Body.String(); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}
