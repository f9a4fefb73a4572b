package k8s_test

import (
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What docs/kubernetes.md shows is what the chart and the API server take: its
// values install, its app is injected, its other manifests are valid, and its
// way without the webhook makes the same pod.
func TestDocs(t *testing.T) {
	doc := read(t, "../../docs/kubernetes.md")
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(doc, -1)
	var values []string
	var manifests []map[string]any
	for _, b := range blocks {
		if m := documents(t, b[1])[0]; m["kind"] != nil {
			manifests = append(manifests, m)
		} else {
			values = append(values, b[1])
		}
	}
	if len(values) != 3 || len(manifests) != 3 {
		t.Fatalf("docs/kubernetes.md shows %d values and %d manifests", len(values), len(manifests))
	}
	kube.namespace(t, "shop", nil)
	first := write(t, t.TempDir(), "values.yaml", values[0])
	r := install(t, "wxproxy", 1, values[0], "-f", first)
	r.ready("shop", simplePod("first", "default"))
	for _, m := range manifests {
		kube.must(t, http.MethodPost, resource(t, m, "shop")+"?fieldValidation=Strict", m)
		numbered(t, m)
	}
	app := podOf(t, manifests[0])
	delete(app["metadata"].(map[string]any), "ownerReferences") // the Deployment of the document has no uid
	status, pod := create(t, "shop", app, "")
	if status != http.StatusCreated || textAt(pod, "spec", "initContainers", 0, "name") != "wxproxy" {
		t.Fatalf("the app: %d %v", status, pod["message"])
	}
	for _, v := range values[1:] {
		mustHelm(t, "template", "wxproxy", chart, "--kube-version", "1.34.4", "-f", write(t, t.TempDir(), "values.yaml", v))
	}
	withoutWebhook(t, doc, first, manifests[0])
}

// numbered: the ports of Services have targets by number. Until 1.33 the
// EndpointSlice controller, which is not here, looked for names in the pod's
// ordinary containers alone, and a native sidecar's was not found.
func numbered(t *testing.T, object map[string]any) {
	t.Helper()
	ports, _ := at(object, "spec", "ports").([]any)
	if object["kind"] == "Service" && len(ports) == 0 {
		t.Errorf("the Service %s has no ports", textAt(object, "metadata", "name"))
	}
	for _, p := range ports {
		if _, ok := at(p, "targetPort").(float64); !ok {
			t.Errorf("the Service %s has the target %v: write the number", textAt(object, "metadata", "name"), at(p, "targetPort"))
		}
	}
}

// withoutWebhook runs the commands of the document, up to kubectl.
func withoutWebhook(t *testing.T, doc, values string, app map[string]any) {
	commands := regexp.MustCompile(`(?s)helm template .*?\| kubectl apply -f -`).FindString(doc)
	if commands == "" {
		t.Fatal("docs/kubernetes.md has no way without the webhook")
	}
	dir := t.TempDir()
	write(t, dir, "values.yaml", read(t, values))
	write(t, dir, "shop.yaml", toYAML(t, app))
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	commands = strings.NewReplacer("./charts", root+"/charts", "helm template", helmTool+" template", "wxproxy injector patch", wxproxy+" injector patch --namespace shop", "| kubectl apply -f -", "").Replace(commands)
	sh := exec.Command("bash", "-euo", "pipefail", "-c", commands)
	sh.Dir = dir
	out, err := sh.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "wxproxy.dev/status: injected") {
		t.Fatalf("%v\n%s\n%s", err, commands, out)
	}
}
