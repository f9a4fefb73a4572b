package injector_test

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/wxproxy/wxproxy/internal/injector"
)

func TestMetrics(t *testing.T) {
	t.Parallel()
	r := prometheus.NewRegistry()
	m, err := injector.NewMetrics(r)
	if err != nil {
		t.Fatal(err)
	}
	i, err := injector.New(injector.Options{Settings: settings(t), Native: func() bool { return true }, Metrics: m})
	if err != nil {
		t.Fatal(err)
	}
	ask(t, i, reviewOf(toJSON(t, pods[0].text), "shop", "CREATE", ""))
	ask(t, i, reviewOf(toJSON(t, pods[0].text), "elsewhere", "CREATE", ""))
	const want = `# HELP wxproxy_injector_admissions_total Admission reviews by outcome: injected, unchanged, refused, malformed, or busy, which API servers repeat.
# TYPE wxproxy_injector_admissions_total counter
wxproxy_injector_admissions_total{outcome="busy"} 0
wxproxy_injector_admissions_total{outcome="injected"} 1
wxproxy_injector_admissions_total{outcome="malformed"} 0
wxproxy_injector_admissions_total{outcome="refused"} 1
wxproxy_injector_admissions_total{outcome="unchanged"} 0
`
	if err := testutil.GatherAndCompare(r, strings.NewReader(want), "wxproxy_injector_admissions_total"); err != nil {
		t.Error(err)
	}
}
