package merchant_test

import (
	"fmt"
	"net/http/httptest"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/wxproxy/wxproxy/internal/merchant"
)

func TestMetrics(t *testing.T) {
	t.Parallel()
	spec, v := full(t)
	m := load(t, spec, v)
	if err := m.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	delete(v, "KEY")
	_ = m.Reload(t.Context())
	spec.Name = "other"
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(merchant.NewCollector(m, load(t, spec, v))); err != nil {
		t.Fatal(err)
	}
	answer := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	want := fmt.Sprintf(`# HELP wxproxy_merchant_certificate_expiry_timestamp_seconds End of the merchant API certificate in use; absent when only serial_no is configured.
# TYPE wxproxy_merchant_certificate_expiry_timestamp_seconds gauge
wxproxy_merchant_certificate_expiry_timestamp_seconds{merchant="shop"} %g
# HELP wxproxy_merchant_keys_loaded_timestamp_seconds When the keys in use were first loaded.
# TYPE wxproxy_merchant_keys_loaded_timestamp_seconds gauge
wxproxy_merchant_keys_loaded_timestamp_seconds{merchant="shop"} %g
# HELP wxproxy_merchant_reload_failed 1 while the last reload of the keys failed and those of before serve, else 0.
# TYPE wxproxy_merchant_reload_failed gauge
wxproxy_merchant_reload_failed{merchant="other"} 0
wxproxy_merchant_reload_failed{merchant="shop"} 1
`, float64(epoch.Add(year).Unix()), float64(epoch.Unix()))
	if got := answer.Body.String(); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}
