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
	result, err := settings(t).Manifest(strings.NewReader(manifests), &out, injector.Target{Namespace: "books", Native: true})
	if err != nil || result.Injected != 2 || len(result.Warnings) > 0 {
		t.Fatalf("%+v: %v", result, err)
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
	if c := strings.Count(got, "name: app\n"); c != 2 || !strings.Contains(got, "spec: {template: {spec: {containers: [{name: app}]}}}") {
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
		"pod":                          {"kind: Job\nspec: {template: {metadata: {labels: {wxproxy.dev/inject: \"true\"}}, spec: {containers: [{name: a}]}}}", "document 2: wxproxy: service account"},
		"no YAML":                      {"a: [", "document 2"},
		"a label that is nearly right": {"kind: Pod\nmetadata: {name: p, labels: {wxproxy.dev/inject: \"True\"}}", `document 2: Pod p: the label wxproxy.dev/inject is True; write "true" or "false"`},
		"a label without quotes":       {"kind: Pod\nmetadata: {name: p, labels: {wxproxy.dev/inject: yes}}", `is true; write "true"`},
		"in a list":                    {"kind: List\nitems: [{kind: X}, {kind: Pod, metadata: {labels: {wxproxy.dev/inject: \"true\"}}, spec: {containers: [{name: a}]}}]", "document 2: items[1]: wxproxy: service account"},
		"more than one":                {"a: 1\n...\nb: 1\n", "begin the next one with ---"},
	} {
		var out strings.Builder
		if _, err := settings(t).Manifest(strings.NewReader("kind: X\n---\n"+row.text), &out, injector.Target{}); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v", name, err)
		}
		if out.Len() > 0 {
			t.Errorf("%s: half of the stream was written:\n%s", name, &out)
		}
	}
}

const askingPod = `{metadata: {labels: {wxproxy.dev/inject: "true"}}, spec: {serviceAccountName: web, containers: [{name: app}]}}`

func patchedBy(t *testing.T, text string) (string, injector.Result) {
	t.Helper()
	var out strings.Builder
	result, err := settings(t).Manifest(strings.NewReader(text), &out, injector.Target{Namespace: "shop", Native: true})
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return out.String(), result
}

// What has no pod to inject passes byte by byte, wherever it stands.
func TestManifestVerbatim(t *testing.T) {
	t.Parallel()
	pod := "kind: Deployment\nspec: {template: " + askingPod + "}\n"
	for name, other := range map[string]string{
		"dates and old booleans":  "kind: ConfigMap\ndata: {since: 2024-01-01, tty: yes, n: 0644, big: 12345678901234567890123}\n",
		"remarks":                 "# licence\n\nkind: X   # why\na:    1\n# end\n",
		"JSON":                    "{\"kind\": \"X\",\n\t\"a\": 1e3}\n",
		"--- in a text":           "kind: X\ndata:\n  script: |\n    ---\n    ----\n---x: 1\n",
		"a list without our pods": "kind: List\nitems:\n- kind: X\n  since: 2024-01-01\n",
		"a labelled Namespace":    "kind: Namespace\nmetadata: {labels: {wxproxy.dev/inject: \"true\"}}\n",
		"a pod that declines":     "kind: Pod\nmetadata: {annotations: {wxproxy.dev/inject: x}, labels: {wxproxy.dev/inject: \"false\"}}\n",
		"a scalar":                "text\n",
		"nothing":                 "# only this\n",
		"line ends of Windows":    "kind: X\r\na: 1\r\n",
	} {
		first, result := patchedBy(t, other+"---\n"+pod)
		if !strings.HasPrefix(first, other) && name != "nothing" || result.Injected != 1 || len(result.Warnings) > 0 {
			t.Errorf("%s, first: %+v\n%s", name, result, first)
		}
		if last, result := patchedBy(t, pod+"--- # it\n"+other); !strings.HasSuffix(last, "\n--- # it\n"+other) || result.Injected != 1 {
			t.Errorf("%s, last: %+v\n%s", name, result, last)
		}
		if alone, result := patchedBy(t, other); alone != other || result.Injected != 0 {
			t.Errorf("%s, alone: %+v\n%s", name, result, alone)
		}
	}
}

// Words keep the types that they have for kubectl, in what is written anew.
func TestManifestTypes(t *testing.T) {
	t.Parallel()
	got, _ := patchedBy(t, `kind: Pod
metadata: {labels: {wxproxy.dev/inject: "true"}, annotations: {on: "yes", 2024-01-01: "a", 1: b}}
spec:
  serviceAccountName: web
  containers:
    - name: app
      tty: yes
      stdin: Off
      env: [{name: SINCE, value: 2024-01-01}, {name: AT, value: 2001-12-14T21:59:43.10Z}, {name: "YES", value: "yes"}, {name: MODE, value: '0644'}]
`)
	for _, want := range []string{"tty: true\n", "stdin: false\n", `value: "2024-01-01"`, `value: "2001-12-14T21:59:43.10Z"`, `value: "yes"`, `value: "0644"`, `"true": "yes"`, `"1": b`, `"2024-01-01": a`} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in\n%s", want, got)
		}
	}
}

// Pods in lists are found, also in lists whose items do not say their kind.
func TestManifestLists(t *testing.T) {
	t.Parallel()
	got, result := patchedBy(t, "kind: List\nitems:\n- {kind: ConfigMap, data: {since: 2024-01-01}}\n- {kind: Deployment, metadata: {name: d, namespace: shop}, spec: {template: "+askingPod+"}}\n---\nkind: PodList\nitems: ["+askingPod+"]\n")
	if result.Injected != 2 || strings.Count(got, "wxproxy.dev/status: injected") != 2 || !strings.Contains(got, `since: "2024-01-01"`) {
		t.Errorf("%+v\n%s", result, got)
	}
}

// Who asks where we do not look is told so.
func TestManifestWarnings(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"an unknown kind":             "kind: Rollout\nmetadata: {name: web}\nspec: {template: " + askingPod + "}\n",
		"in a list":                   "kind: List\nitems: [{kind: Rollout, metadata: {name: web}, spec: {template: " + askingPod + "}}]\n",
		"the label in a wrong place":  "kind: Deployment\nmetadata: {name: web, labels: {wxproxy.dev/inject: \"true\"}}\nspec: {template: {spec: {}}}\n",
		"an annotation for the label": "kind: Pod\nmetadata: {name: web, annotations: {wxproxy.dev/inject: \"true\"}}\n",
	} {
		_, result := patchedBy(t, "kind: Deployment\nspec: {template: "+askingPod+"}\n---\n"+text)
		if len(result.Warnings) != 1 || !strings.Contains(result.Warnings[0], "document 2: ") || !strings.Contains(result.Warnings[0], " web got no sidecar") {
			t.Errorf("%s: %q", name, result.Warnings)
		}
	}
}
