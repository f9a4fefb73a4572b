package k8s_test

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// Words that parsers of YAML disagree about.
const disputed = `
bool: [yes, Yes, YES, on, On, ON, y, Y, no, No, NO, off, Off, OFF, n, N, yEs, "yes", 'off', true, True, false]
date: [2024-01-01, "2024-01-01", 2001-12-14T21:59:43.10Z, 2001-12-14 21:59:43.10 -5, 2001-12-14 21:59:43, !!str 2024-01-01]
number: [0644, 0o644, 0x1F, 0b11, 1_000, 12:30:45, 1e3, 1.0, .5, +1, -0, 9007199254740993, "0644"]
none: [~, null, Null, "", "~"]
text: ["a: b", 'it''s', "tab\t", "é😀", "<&>", "</script>", "- x", "#x", " x ", "2.10", "@x", "%x", "---"]
block: |
  one
  --- # two
  ---
folded: >-
  one
  two
keys: {yes: 1, 2024-01-01: 1, 0644: 1, off: 1, "no": 1, 1.5: 1, ~x: 1}
anchors: &a {x: yes}
alias: *a
merged: {<<: *a, z: 1}
`

// What wxproxy injector patch writes is to kubectl's own parser what it read:
// in a pod that it injects, and beside one.
func TestPatchReadsAsKubectl(t *testing.T) {
	settings := documents(t, mustHelm(t, "template", "rel", chart, "--kube-version", "1.34.4", "-f", "testdata/values.yaml", "-s", "templates/injector-settings.yaml", "--set", "grants[0].namespace=shop,grants[0].service_accounts={default},grants[0].merchants={shop}"))
	file := write(t, t.TempDir(), "injector.yaml", textAt(settings[0], "data", "injector.yaml"))
	indented := "  " + strings.ReplaceAll(strings.TrimSpace(disputed), "\n", "\n  ")
	for name, in := range map[string]string{
		"in a pod":  "kind: Pod\nodd:\n" + indented + "\nmetadata: {labels: {wxproxy.dev/inject: \"true\"}}\nspec: {containers: [{name: app}]}\n",
		"in a list": "kind: List\nitems:\n- kind: Pod\n  metadata: {labels: {wxproxy.dev/inject: \"true\"}}\n  spec: {containers: [{name: app}]}\nodd:\n" + indented + "\n",
	} {
		cmd := command(t, "injector", "patch", "--settings", file, "--namespace", "shop")
		cmd.Stdin = strings.NewReader(in)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil || !strings.Contains(string(out), "wxproxy.dev/status: injected") {
			t.Fatalf("%s: %v %s\n%s", name, err, &stderr, out)
		}
		var before, after map[string]any
		for text, into := range map[string]*map[string]any{in: &before, string(out): &after} {
			if err := yaml.Unmarshal([]byte(text), into); err != nil {
				t.Fatalf("%s: %v\n%s", name, err, text)
			}
		}
		for key, want := range before["odd"].(map[string]any) {
			if got := at(after, "odd", key); !reflect.DeepEqual(got, want) {
				t.Errorf("%s, %s:\n%#v became\n%#v", name, key, want, got)
			}
		}
	}
}
