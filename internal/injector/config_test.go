package injector_test

import (
	"encoding/json"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/wxproxy/wxproxy/internal/injector"
)

// configOf is the config that a sidecar reads, after Kubernetes' expansion of
// its variable.
func configOf(t *testing.T, s *injector.Settings, pod string) string {
	t.Helper()
	raw := toJSON(t, pod)
	a := ask(t, newInjector(t, s, true), reviewOf(raw, "shop", "CREATE", ""))
	if !a.Response.Allowed {
		t.Fatal(a.Response.Status.Message)
	}
	var got struct {
		Spec struct {
			InitContainers []struct {
				Env []struct{ Name, Value string }
			}
		}
	}
	if err := json.Unmarshal(apply(t, raw, a.Response.Patch), &got); err != nil {
		t.Fatal(err)
	}
	for _, e := range got.Spec.InitContainers[0].Env {
		if e.Name == "WXPROXY_CONFIG" {
			return expanded(e.Value)
		}
	}
	t.Fatal("the sidecar has no config")
	return ""
}

// expanded is what Kubernetes makes of a value: $(NAME) is a variable, and two
// dollars are one.
func expanded(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] != '$' || i+1 == len(text):
			b.WriteByte(text[i])
		case text[i+1] == '$':
			b.WriteByte('$')
			i++
		case text[i+1] == '(' && strings.Contains(text[i:], ")"):
			b.WriteString("EXPANDED")
			i += strings.IndexByte(text[i:], ')')
		default:
			b.WriteByte('$')
		}
	}
	return b.String()
}

const grantedPod = `{metadata: {annotations: {wxproxy.dev/merchant: shop}}, spec: {serviceAccountName: web, containers: [{name: app}]}}`

// granted are settings by which the pod may use the merchant shop.
func granted(t *testing.T) *injector.Settings {
	t.Helper()
	s := settings(t)
	s.Grants = []injector.Grant{{Namespace: "shop", ServiceAccounts: []string{"web"}, Merchants: []string{"shop", "branch"}}}
	return s
}

// What stands in the settings arrives as it is, dollars included.
func TestConfigPassesKubernetesExpansion(t *testing.T) {
	t.Parallel()
	s := granted(t)
	for _, text := range []string{"$(HOME)", "$${HOME}", "$$(HOME)", "$", "$$", "${HOME}", "a$$$b"} {
		s.Config["state_dir"] = text
		var c struct {
			StateDir string `yaml:"state_dir"`
		}
		if err := yaml.Unmarshal([]byte(configOf(t, s, grantedPod)), &c); err != nil || c.StateDir != text {
			t.Errorf("%q arrives as %q, %v", text, c.StateDir, err)
		}
	}
}

// A sidecar logs in with the role of its merchants.
func TestVaultRole(t *testing.T) {
	t.Parallel()
	s := granted(t)
	shop := s.Merchants["shop"]
	shop.VaultRole = "wxproxy-shop"
	s.Merchants["shop"], s.Merchants["branch"] = shop, injector.Merchant{Config: shop.Config, VaultRole: "wxproxy-branch"}
	if got := configOf(t, s, grantedPod); !strings.Contains(got, "role: wxproxy-shop") {
		t.Errorf("got %s", got)
	}
	both := strings.Replace(grantedPod, "merchant: shop", `merchant: "shop,branch"`, 1)
	a := ask(t, newInjector(t, s, true), reviewOf(toJSON(t, both), "shop", "CREATE", ""))
	if a.Response.Allowed || !strings.Contains(a.Response.Status.Message, "different Vault roles") {
		t.Errorf("got %+v", a.Response)
	}
}

// The time to stop is one that Go can count, whatever the pod says.
func TestGrace(t *testing.T) {
	t.Parallel()
	for seconds, want := range map[string]string{"9999999999": "31535998s", "9223372036854775807": "31535998s", "-9223372036854775808": "1s", "0": "1s", "90": "88s"} {
		var c struct {
			ShutdownGrace string `yaml:"shutdown_grace"`
		}
		pod := strings.Replace(grantedPod, "spec: {", "spec: {terminationGracePeriodSeconds: "+seconds+", ", 1)
		if err := yaml.Unmarshal([]byte(configOf(t, granted(t), pod)), &c); err != nil || c.ShutdownGrace != want {
			t.Errorf("%s seconds: %q, want %s, %v", seconds, c.ShutdownGrace, want, err)
		}
	}
}
