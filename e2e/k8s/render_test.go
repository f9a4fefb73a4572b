package k8s_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// rendered is the chart with values, by kind and name.
func rendered(t *testing.T, values string) map[string]map[string]any {
	t.Helper()
	file := write(t, t.TempDir(), "values.yaml", values)
	objects := make(map[string]map[string]any)
	for _, o := range documents(t, mustHelm(t, "template", "rel", chart, "-n", "rendered", "--kube-version", "1.34.4", "-f", file)) {
		objects[textAt(o, "kind")+" "+textAt(o, "metadata", "name")] = o
	}
	return objects
}

// admits: a network policy lets a pod of its own namespace with these labels
// reach a named port. Other peers count for nobody.
func admits(policy, labels map[string]any, port string) bool {
	rules, _ := at(policy, "spec", "ingress").([]any)
	return slices.ContainsFunc(rules, func(rule any) bool {
		ports, _ := at(rule, "ports").([]any)
		peers, restricted := at(rule, "from").([]any)
		return slices.ContainsFunc(ports, func(p any) bool { return at(p, "port") == port }) &&
			(!restricted || slices.ContainsFunc(peers, func(peer any) bool {
				want, ok := at(peer, "podSelector", "matchLabels").(map[string]any)
				for key, value := range want {
					ok = ok && labels[key] == value
				}
				return ok && at(peer, "namespaceSelector") == nil
			}))
	})
}

// helm test asks for readiness, also through a network policy; others do not.
func TestNetworkPolicies(t *testing.T) {
	const both = `
injector: {networkPolicy: {enabled: true%s}}
gateway: {enabled: true, networkPolicy: {enabled: true}}
`
	objects := rendered(t, fmt.Sprintf(both, ""))
	for _, component := range []string{"injector", "gateway"} {
		name := "rel-wxproxy-" + component
		policy, test := objects["NetworkPolicy "+name], objects["Pod "+name+"-test"]
		strictly(t, policy)
		labels, ok := at(test, "metadata", "labels").(map[string]any)
		if !ok || !admits(policy, labels, "admin") {
			t.Errorf("%s: helm test is kept out:\n%s", component, toYAML(t, policy))
		}
		for _, port := range []string{"outbound", "notify"} {
			if admits(policy, labels, port) {
				t.Errorf("%s: helm test is let in to %s", component, port)
			}
		}
		if admits(policy, map[string]any{"app.kubernetes.io/instance": "rel"}, "admin") {
			t.Errorf("%s: others are let in", component)
		}
	}
	if !admits(objects["NetworkPolicy rel-wxproxy-injector"], nil, "webhook") {
		t.Error("without webhookFrom the API servers are kept out")
	}
	policy := rendered(t, fmt.Sprintf(both, ", webhookFrom: [{ipBlock: {cidr: 10.0.0.0/28}}]"))["NetworkPolicy rel-wxproxy-injector"]
	strictly(t, policy)
	if admits(policy, nil, "webhook") || textAt(policy, "spec", "ingress", 0, "from", 0, "ipBlock", "cidr") != "10.0.0.0/28" {
		t.Errorf("with webhookFrom anybody is let in:\n%s", toYAML(t, policy))
	}
}

// What is said of Vault in either place reaches the sidecars, and a value is
// never more than a value.
func TestVaultValues(t *testing.T) {
	const audience = "https://vault, x: y"
	objects := rendered(t, `
sidecar:
  config: {vault: {namespace: team, max_stale: 1h, auth: {role: mine}}, state_dir: "/var/lib/wx: x"}
  vault: {address: "https://vault.example.com:8200", audience: "`+audience+`", config: {max_stale: 2h, auth: {mount: k8s}}}
gateway: {enabled: true, vault: {token: true, audience: "`+audience+`"}, existingSecrets: [shop.keys, shop-keys]}
`)
	var settings map[string]any
	if err := yaml.Unmarshal([]byte(textAt(objects["ConfigMap rel-wxproxy-injector"], "data", "injector.yaml")), &settings); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"namespace": "team", "address": "https://vault.example.com:8200", "max_stale": "2h", "auth": map[string]any{
		"method": "kubernetes", "role": "wxproxy", "mount": "k8s", "jwt_file": "/var/run/secrets/wxproxy/token",
	}}
	if got := at(settings, "config", "vault"); !reflect.DeepEqual(got, want) {
		t.Errorf("vault in the sidecar's config: %v", got)
	}
	if got := textAt(settings, "pod", "spec", "volumes", 1, "projected", "sources", 0, "serviceAccountToken", "audience"); got != audience {
		t.Errorf("the sidecar's audience: %q", got)
	}
	if got := textAt(settings, "pod", "spec", "containers", 0, "volumeMounts", 0, "mountPath"); got != "/var/lib/wx: x" {
		t.Errorf("the sidecar's state_dir: %q", got)
	}
	gateway := objects["Deployment rel-wxproxy-gateway"]
	strictly(t, gateway)
	if text := toYAML(t, gateway); !strings.Contains(text, "audience: '"+audience+"'") || !strings.Contains(text, "mountPath: /etc/wxproxy/shop.keys") {
		t.Errorf("the gateway:\n%s", text)
	}
}

// Helm's notes warn of a Vault role that keeps no merchants apart.
func TestSharedVaultRole(t *testing.T) {
	const merchants = `
merchants:
  shop: {config: {mchid: "1"}%s}
  books: {config: {mchid: "2"}%s}
grants: [{namespace: shop, service_accounts: [web], merchants: [shop, books]}]
sidecar: {vault: {address: "%s"}}
`
	for _, row := range []struct {
		name, shop, books, address string
		warned                     bool
	}{
		{"one for both", "", "", "https://vault", true},
		{"one of its own", ", vault_role: shop", "", "https://vault", false},
		{"the same on purpose", ", vault_role: all", ", vault_role: all", "https://vault", false},
		{"keys in Secrets", ", secret: s", ", secret: b", "https://vault", false},
		{"no Vault", "", "", "", false},
	} {
		file := write(t, t.TempDir(), "values.yaml", fmt.Sprintf(merchants, row.shop, row.books, row.address))
		notes := mustHelm(t, "install", "rel", chart, "-n", "rendered", "--dry-run=client", "-f", file)
		if got := strings.Contains(notes, "WARNING: merchants books, shop share the Vault role wxproxy"); got != row.warned {
			t.Errorf("%s: warned %v\n%s", row.name, got, notes[strings.Index(notes, "NOTES:"):])
		}
	}
}
