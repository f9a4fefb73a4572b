package injector_test

import (
	"regexp"
	"testing"

	"github.com/wxproxy/wxproxy/internal/injector"
)

// Limits that a pod asks for become the Go runtime's: nine tenths of the
// memory, and CPUs rounded up. The amounts are worked out by hand.
func TestLimitsOfTheRuntime(t *testing.T) {
	t.Parallel()
	s := settings(t)
	s.Bounds = injector.Bounds{}
	for _, row := range []struct{ annotation, value, variable, want string }{
		{"memory-limit", "1000", "GOMEMLIMIT", "900"},
		{"memory-limit", "64k", "GOMEMLIMIT", "57600"},
		{"memory-limit", "64Ki", "GOMEMLIMIT", "58977"},
		{"memory-limit", "0.5Gi", "GOMEMLIMIT", "483183819"},
		{"memory-limit", "1G", "GOMEMLIMIT", "900000000"},
		{"memory-limit", "256M", "GOMEMLIMIT", "230400000"},
		{"cpu-limit", "1", "GOMAXPROCS", "1"},
		{"cpu-limit", "1001m", "GOMAXPROCS", "2"},
		{"cpu-limit", "1.5", "GOMAXPROCS", "2"},
		{"cpu-limit", "1m", "GOMAXPROCS", "1"},
	} {
		pod := toJSON(t, `{metadata: {annotations: {wxproxy.dev/`+row.annotation+`: "`+row.value+`"}}, spec: {serviceAccountName: web, containers: [{name: app}]}}`)
		a := ask(t, newInjector(t, s, true), reviewOf(pod, "shop", "CREATE", ""))
		found := regexp.MustCompile(`"name":"` + row.variable + `","value":"(\d+)"`).FindSubmatch(a.Response.Patch)
		if found == nil || string(found[1]) != row.want {
			t.Errorf("%s %s: %s is %s, want %s (%s)", row.annotation, row.value, row.variable, found, row.want, a.Response.Status.Message)
		}
	}
	for _, value := range []string{"", "0", "0Mi", "-1", "+1", "1E", "1Ti", "1mi", "1 Gi", "1e3", ".5", "1.", "1.0005", "9999999999"} {
		pod := toJSON(t, `{metadata: {annotations: {wxproxy.dev/memory-limit: "`+value+`"}}, spec: {serviceAccountName: web, containers: [{name: app}]}}`)
		if a := ask(t, newInjector(t, s, true), reviewOf(pod, "shop", "CREATE", "")); a.Response.Allowed {
			t.Errorf("%q was taken", value)
		}
	}
}
