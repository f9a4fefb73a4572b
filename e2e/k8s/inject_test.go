package k8s_test

import (
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// templates are one of each kind of workload, with the pod that its controller
// would make: there are no controllers here.
const templates = `
kind: Deployment
apiVersion: apps/v1
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata:
      labels: {app: web, wxproxy.dev/inject: "true"}
      annotations: {wxproxy.dev/merchant: shop, wxproxy.dev/app-port: "3000", wxproxy.dev/notify-path: /notify/shop, wxproxy.dev/app-path: /wechat/paid, wxproxy.dev/log-level: debug}
    spec: {serviceAccountName: web, containers: [{name: app, image: app, ports: [{containerPort: 3000}]}, {name: log, image: log}]}
---
kind: StatefulSet
apiVersion: apps/v1
metadata: {name: db}
spec:
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata:
      labels: {app: db, wxproxy.dev/inject: "true"}
      annotations: {wxproxy.dev/merchant: "shop,books", wxproxy.dev/socket: "true", wxproxy.dev/memory-limit: 64Mi, wxproxy.dev/cpu-limit: 1500m, wxproxy.dev/containers: app}
    spec:
      serviceAccountName: both
      terminationGracePeriodSeconds: 90
      initContainers: [{name: migrate, image: app, command: [migrate]}]
      containers: [{name: app, image: app, volumeMounts: [{name: data, mountPath: /data}]}, {name: log, image: log}]
      volumes: [{name: data, emptyDir: {}}]
---
kind: Job
apiVersion: batch/v1
metadata: {name: bill}
spec:
  template:
    metadata: {labels: {wxproxy.dev/inject: "true"}}
    spec: {serviceAccountName: web, restartPolicy: Never, containers: [{name: app, image: app}]}
---
kind: CronJob
apiVersion: batch/v1
metadata: {name: nightly}
spec:
  schedule: "0 3 * * *"
  jobTemplate:
    spec:
      template:
        metadata: {labels: {wxproxy.dev/inject: "true"}, annotations: {wxproxy.dev/merchant: books}}
        spec: {serviceAccountName: both, restartPolicy: OnFailure, containers: [{name: app, image: app}]}
`

// podOf is the pod that a workload's controller would create.
func podOf(t *testing.T, workload map[string]any) map[string]any {
	t.Helper()
	template := at(workload, "spec", "template")
	if textAt(workload, "kind") == "CronJob" {
		template = at(workload, "spec", "jobTemplate", "spec", "template")
	}
	pod := clone(t, template.(map[string]any))
	name, meta := textAt(workload, "metadata", "name"), pod["metadata"].(map[string]any)
	delete(meta, "creationTimestamp")
	meta["generateName"] = name + "-"
	meta["ownerReferences"] = []any{map[string]any{"apiVersion": workload["apiVersion"], "kind": workload["kind"], "name": name, "uid": textAt(workload, "metadata", "uid"), "controller": true}}
	return pod
}

// prune takes out what differs from run to run.
func prune(t *testing.T, pod map[string]any) string {
	t.Helper()
	pod = clone(t, pod)
	meta := pod["metadata"].(map[string]any)
	for _, key := range []string{"creationTimestamp", "managedFields", "resourceVersion", "uid", "generation"} {
		delete(meta, key)
	}
	if textAt(meta, "generateName") != "" {
		delete(meta, "name")
	}
	if owner, ok := at(meta, "ownerReferences", 0).(map[string]any); ok {
		delete(owner, "uid")
	}
	text := toYAML(t, pod)
	if uid := textAt(meta, "labels", "controller-uid"); uid != "" { // a job's
		text = strings.ReplaceAll(text, uid, "UID")
	}
	for _, v := range at(pod, "spec", "volumes").([]any) {
		if name := textAt(v, "name"); strings.HasPrefix(name, "kube-api-access-") {
			text = strings.ReplaceAll(text, name, "kube-api-access-RANDOM")
		}
	}
	return text
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", "golden", name+".yaml")
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Dir(file), filepath.Base(file), got)
	}
	if want := read(t, file); got != want {
		t.Errorf("not %s (.ci/k8s -update writes it anew):\n%s", file, difference(want, got))
	}
}

// difference is the lines that only one of two texts has.
func difference(a, b string) string {
	var out strings.Builder
	only := func(mark, a, b string) {
		for line := range strings.Lines(a) {
			if !strings.Contains(b, line) {
				out.WriteString(mark + line)
			}
		}
	}
	only("- ", a, b)
	only("+ ", b, a)
	return out.String()
}

// The API server calls the webhook by its Service, over TLS, and stores what
// the golden files say: for each kind of workload, on a cluster with native
// sidecars and on one without.
func TestPods(t *testing.T) {
	for _, row := range []struct{ name, native string }{{"native", "auto"}, {"plain", "false"}} {
		t.Run(row.name, func(t *testing.T) {
			release, ns := "pods-"+row.name, "apps-"+row.name
			kube.namespace(t, ns, nil, "web", "both")
			r := install(t, release, 1, "grants:\n"+grant(ns, "web", "shop")+grant(ns, "both", "shop", "books"), "--set-string", "injector.nativeSidecar="+row.native)
			r.ready(ns, simplePod("first", "web"))
			for _, workload := range documents(t, templates) {
				made := kube.must(t, http.MethodPost, resource(t, workload, ns), workload)
				made["kind"], made["apiVersion"] = workload["kind"], workload["apiVersion"]
				status, pod := create(t, ns, podOf(t, made), "")
				if status != http.StatusCreated {
					t.Errorf("%v: %d %v", workload["kind"], status, pod["message"])
					continue
				}
				golden(t, row.name+"-"+strings.ToLower(textAt(workload, "kind")), prune(t, pod))
			}
			t.Run("offline", func(t *testing.T) { offline(t, r, ns, row.native == "auto") })
		})
	}
}

// offline: what wxproxy injector patch makes of a manifest is, once the API
// server has it without a webhook, what the webhook would have made.
func offline(t *testing.T, r *release, ns string, native bool) {
	pod := simplePod("offline", "web")
	pod["apiVersion"], pod["kind"] = "v1", "Pod"
	at(pod, "metadata", "labels").(map[string]any)["app"] = "shop"
	status, byWebhook := create(t, ns, clone(t, pod), "?dryRun=All")
	if status != http.StatusCreated {
		t.Fatal(status, byWebhook["message"])
	}
	cmd := command(t, "injector", "patch", "--settings", r.dir+"/injector.yaml", "--namespace", ns, fmt.Sprintf("--native=%v", native))
	cmd.Stdin = strings.NewReader(toYAML(t, pod))
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	patched := documents(t, string(out))[0]
	delete(at(patched, "metadata", "labels").(map[string]any), "wxproxy.dev/inject") // past the webhook
	status, byHand := create(t, ns, patched, "?dryRun=All")
	if status != http.StatusCreated {
		t.Fatal(status, byHand["message"])
	}
	at(byHand, "metadata", "labels").(map[string]any)["wxproxy.dev/inject"] = "true"
	for _, pod := range []map[string]any{byWebhook, byHand} { // the service account's volume comes earlier or later
		inOrder(at(pod, "spec", "volumes"))
		for _, list := range []string{"containers", "initContainers"} {
			containers, _ := at(pod, "spec", list).([]any)
			for _, c := range containers {
				withoutAPI(c.(map[string]any))
				inOrder(at(c, "volumeMounts"))
			}
		}
	}
	if a, b := prune(t, byWebhook), prune(t, byHand); a != b {
		t.Errorf("by the webhook:\n%s\noffline:\n%s", a, b)
	}
}

// withoutAPI takes the token for the Kubernetes API from the sidecar. Without
// the webhook, Kubernetes mounts it into every container; the webhook leaves
// it out, because the sidecar has no use for it.
func withoutAPI(c map[string]any) {
	if c["name"] != "wxproxy" {
		return
	}
	c["volumeMounts"] = slices.DeleteFunc(c["volumeMounts"].([]any), func(m any) bool {
		return strings.HasPrefix(textAt(m, "name"), "kube-api-access-")
	})
}

// inOrder sorts a list by name.
func inOrder(list any) {
	l, _ := list.([]any)
	slices.SortFunc(l, func(a, b any) int { return strings.Compare(textAt(a, "name"), textAt(b, "name")) })
}

// Another webhook that changes the pod later makes the API server call ours
// again; the result is as if it had been called once. One that tampers with
// the sidecar changes nothing.
func TestReinvocation(t *testing.T) {
	kube.namespace(t, "again", nil, "web")
	r := install(t, "again-wx", 1, "grants:\n"+grant("again", "web", "shop"))
	r.ready("again", simplePod("first", "web"))
	_, once := create(t, "again", simplePod("pod", "web"), "?dryRun=All")

	patch := `[{"op":"add","path":"/metadata/labels/mesh","value":"on"},{"op":"add","path":"/spec/containers/-","value":{"name":"mesh","image":"mesh"}},{"op":"replace","path":"/spec/initContainers/0/image","value":"evil"}]`
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		var in struct {
			Request struct {
				UID    string
				Object struct {
					Metadata struct{ Labels map[string]string }
				}
			}
		}
		if err := json.NewDecoder(q.Body).Decode(&in); err != nil {
			t.Error(err)
		}
		response := map[string]any{"uid": in.Request.UID, "allowed": true}
		if in.Request.Object.Metadata.Labels["mesh"] == "" {
			response["patchType"], response["patch"] = "JSONPatch", []byte(patch)
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})
	}))
	defer srv.Close()
	ca := base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}))
	const configurations = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
	kube.must(t, http.MethodPost, configurations, map[string]any{
		"metadata": map[string]any{"name": "zz-mesh"},
		"webhooks": []any{map[string]any{
			"name": "mesh.example.com", "admissionReviewVersions": []any{"v1"}, "sideEffects": "None", "clientConfig": map[string]any{"url": srv.URL, "caBundle": ca},
			"rules":             []any{map[string]any{"apiGroups": []any{""}, "apiVersions": []any{"v1"}, "operations": []any{"CREATE"}, "resources": []any{"pods"}}},
			"namespaceSelector": map[string]any{"matchLabels": map[string]any{"kubernetes.io/metadata.name": "again"}},
		}},
	})
	defer kube.must(t, http.MethodDelete, configurations+"/zz-mesh", nil)
	var twice map[string]any
	eventually(t, "call of the other webhook", func() bool {
		_, twice = create(t, "again", simplePod("pod", "web"), "?dryRun=All")
		return textAt(twice, "metadata", "labels", "mesh") == "on"
	})
	if a, b := toYAML(t, at(once, "spec", "initContainers", 0, "env")), toYAML(t, at(twice, "spec", "initContainers", 0, "env")); a != b {
		t.Errorf("once:\n%s\ntwice:\n%s", a, b)
	}
	if image := textAt(twice, "spec", "initContainers", 0, "image"); image != "registry.example.com/wxproxy:test" {
		t.Errorf("the sidecar's image is %s", image)
	}
	if n := len(at(twice, "spec", "initContainers").([]any)); n != 1 {
		t.Errorf("%d init containers", n)
	}
	if textAt(twice, "spec", "containers", 1, "name") != "mesh" || textAt(twice, "spec", "containers", 1, "env", 0, "name") != "WECHATPAY_BASE_URL" {
		t.Errorf("the other webhook's container: %v", at(twice, "spec", "containers", 1))
	}
}
