package injector_test

import (
	"strings"
	"testing"

	"github.com/wxproxy/wxproxy/internal/injector"
)

const manifests = `# a comment
kind: ConfigMap
metadata: {name: c}
data: {port: "8080", n: "1"}
---
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 2
  template:
    metadata: {labels: {wxproxy.dev/inject: "true"}}
    spec: {serviceAccountName: web, containers: [{name: app, ports: [{containerPort: 3000}]}]}
---
kind: Deployment
metadata: {name: other, namespace: elsewhere}
spec: {template: {spec: {containers: [{name: app}]}}}
---
kind: CronJob
metadata: {name: bill}
spec:
  jobTemplate:
    spec:
      template:
        metadata: {labels: {wxproxy.dev/inject: "true"}}
        spec: {restartPolicy: Never, containers: [{name: app}]}
`

func TestManifest(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	n, err := settings(t).Manifest(strings.NewReader(manifests), &out, injector.Target{Namespace: "books", Native: true})
	if err != nil || n != 2 {
		t.Fatalf("%d: %v", n, err)
	}
	got := out.String()
	for _, want := range []string{`port: "8080"`, "replicas: 2", "containerPort: 3000\n", "name: other", "private_key: transit:transit/shop", "secretName: books-keys"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in\n%s", want, got)
		}
	}
	if c := strings.Count(got, "wxproxy.dev/status: injected"); c != 2 {
		t.Errorf("%d stamps", c)
	}
	if c := strings.Count(got, "name: app\n"); c != 3 {
		t.Errorf("%d apps", c)
	}
	var again strings.Builder
	if _, err := settings(t).Manifest(strings.NewReader(got), &again, injector.Target{Namespace: "books", Native: true}); err != nil || again.String() != got {
		t.Errorf("not idempotent: %v", err)
	}
}

func TestManifestRefused(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct{ text, want string }{
		"pod":     {"kind: Job\nspec: {template: {metadata: {labels: {wxproxy.dev/inject: \"true\"}}, spec: {containers: [{name: a}]}}}", "document 2: wxproxy: service account"},
		"no YAML": {"a: [", "document 2"},
	} {
		var out strings.Builder
		if _, err := settings(t).Manifest(strings.NewReader("kind: X\n---\n"+row.text), &out, injector.Target{}); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
