package k8s_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// change sends a change of a pod, as kubectl patch does.
func change(t *testing.T, pod string, body map[string]any) (int, string) {
	t.Helper()
	status, answer := kube.call(t, http.MethodPatch, "/api/v1/namespaces/"+pod, body)
	return status, fmt.Sprint(answer["message"])
}

func podSpec(key string, v ...any) map[string]any {
	return map[string]any{"spec": map[string]any{key: v}}
}

func meta(key string, v map[string]any) map[string]any {
	return map[string]any{"metadata": map[string]any{key: v}}
}

func container(name, key string, v any) map[string]any { return map[string]any{"name": name, key: v} }

func debugger(name string, more map[string]any) map[string]any {
	c := map[string]any{"name": name, "image": "a"}
	for key, v := range more {
		c[key] = v
	}
	return podSpec("ephemeralContainers", c)
}

// The sidecar of a running pod stays what was admitted, with and without a
// running injector; everything else may change.
func TestSidecarStays(t *testing.T) {
	for _, row := range []struct{ name, native, list string }{{"native", "true", "initContainers"}, {"plain", "false", "containers"}} {
		t.Run(row.name, func(t *testing.T) {
			ns, release := "stays-"+row.name, "stays-wx-"+row.name
			kube.namespace(t, ns, nil, "web")
			r := install(t, release, 1, "grants:\n"+grant(ns, "web", "shop"), "--set-string", "injector.nativeSidecar="+row.native)
			r.ready(ns, simplePod("first", "web"))
			mustCreate(t, ns, simplePod("live", "web"))
			bystander := map[string]any{"metadata": map[string]any{"name": "plain"}, "spec": map[string]any{"serviceAccountName": "web", "containers": []any{
				map[string]any{"name": "app", "image": "a"}, map[string]any{"name": "wxproxy", "image": "a"},
			}}}
			mustCreate(t, ns, bystander)
			for _, p := range r.injectors { // what follows is the API server's own judgement
				p.kill()
			}
			swap := podSpec(row.list, container("wxproxy", "image", "evil"))
			eventually(t, "policy", func() bool { status, _ := change(t, ns+"/pods/live?dryRun=All", swap); return status != http.StatusOK })
			memory := map[string]any{"limits": map[string]any{"memory": "4Gi"}}
			mount := func(volume string) map[string]any {
				return map[string]any{"volumeMounts": []any{map[string]any{"name": volume, "mountPath": "/t"}}}
			}
			for _, c := range []struct {
				what, path string
				body       map[string]any
				want       string // empty: allowed
			}{
				{"another image", "live", swap, "keeps its image"},
				{"another image of the app", "live", podSpec("containers", container("app", "image", "v2")), ""},
				{"more memory", "live/resize", podSpec(row.list, container("wxproxy", "resources", memory)), "keeps its resources"},
				{"more memory of the app", "live/resize", podSpec("containers", container("app", "resources", memory)), ""},
				{"no label", "live", meta("labels", map[string]any{"wxproxy.dev/inject": nil}), "keeps the label"},
				{"another label", "live", meta("labels", map[string]any{"wxproxy.dev/inject": "false"}), "keeps the label"},
				{"no stamp", "live", meta("annotations", map[string]any{"wxproxy.dev/status": nil}), "keeps the label"},
				{"the user's label", "live", meta("labels", map[string]any{"x": "y"}), ""},
				{"status", "live/status", map[string]any{"status": map[string]any{"phase": "Running"}}, ""},
				{"a debugger of the sidecar", "live/ephemeralcontainers", debugger("d", map[string]any{"targetContainerName": "wxproxy"}), "may neither target"},
				{"a debugger with the token", "live/ephemeralcontainers", debugger("d", mount("wxproxy-token")), "nor mount"},
				{"a debugger of the app", "live/ephemeralcontainers", debugger("d", map[string]any{"targetContainerName": "app"}), ""},
				{"a second one", "live/ephemeralcontainers", debugger("e", nil), ""},
				{"a second one with the state", "live/ephemeralcontainers", debugger("f", mount("wxproxy-state")), "nor mount"},
				{"a pod without sidecar", "plain", podSpec("containers", container("wxproxy", "image", "v2")), ""},
				{"a debugger there", "plain/ephemeralcontainers", debugger("d", map[string]any{"targetContainerName": "wxproxy"}), ""},
			} {
				status, message := change(t, ns+"/pods/"+c.path, c.body)
				if c.want == "" && status != http.StatusOK || c.want != "" && (status != http.StatusForbidden || !strings.Contains(message, c.want)) {
					t.Errorf("%s: %d %s", c.what, status, message)
				}
			}
		})
	}
}

func mustCreate(t *testing.T, namespace string, pod map[string]any) {
	t.Helper()
	if status, answer := create(t, namespace, pod, ""); status != http.StatusCreated {
		t.Fatalf("pod in %s: %d %v", namespace, status, answer["message"])
	}
}

// In the sidecar nobody runs anything but wxproxy quit, unless a role says so.
func TestExec(t *testing.T) {
	kube.namespace(t, "exec", nil, "web", "oncall")
	r := install(t, "exec-wx", 1, "grants:\n"+grant("exec", "web", "shop"))
	r.ready("exec", simplePod("first", "web"))
	mustCreate(t, "exec", simplePod("live", "web"))
	role := func(account string, group, resource string, verbs ...string) {
		rule := map[string]any{"apiGroups": []any{group}, "resources": []any{resource, resource + "/exec", resource + "/attach"}, "verbs": verbs}
		name := account + "-" + resource
		kube.must(t, http.MethodPost, "/apis/rbac.authorization.k8s.io/v1/namespaces/exec/roles", map[string]any{"metadata": map[string]any{"name": name}, "rules": []any{rule}})
		kube.must(t, http.MethodPost, "/apis/rbac.authorization.k8s.io/v1/namespaces/exec/rolebindings", map[string]any{
			"metadata": map[string]any{"name": name},
			"roleRef":  map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
			"subjects": []any{map[string]any{"kind": "ServiceAccount", "name": account, "namespace": "exec"}},
		})
	}
	role("web", "", "pods", "create", "get")
	role("oncall", "", "pods", "create", "get")
	role("oncall", "wxproxy.dev", "sidecars", "exec")
	run := func(method, token, query string) string {
		code, body, err := kube.send(method, "/api/v1/namespaces/exec/pods/live/"+query, token, nil)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%d %s", code, body)
	}
	web, oncall := kube.token(t, "exec", "web"), kube.token(t, "exec", "oncall")
	for _, token := range []string{web, oncall} { // rights come into force with a delay, as policies do
		eventually(t, "right to exec", func() bool {
			return !strings.Contains(run(http.MethodPost, token, "exec?container=app&command=sh"), "403")
		})
	}
	eventually(t, "policy", func() bool {
		return strings.Contains(run(http.MethodPost, web, "exec?container=wxproxy&command=sh"), "403")
	})

	const refused, allowed = "may be run", "does not have a host assigned" // no node runs the pod: that comes after admission
	quit := "&command=/wxproxy&command=quit&command=-c&command=env:WXPROXY_CONFIG"
	for _, row := range []struct{ method, token, query, want string }{
		{http.MethodPost, web, "exec?container=wxproxy&command=sh", refused},
		{http.MethodGet, web, "exec?container=wxproxy&command=sh", refused}, // by WebSocket
		{http.MethodPost, web, "exec?container=wxproxy&command=/wxproxy&command=check", refused},
		{http.MethodPost, web, "exec?container=wxproxy" + quit + "&command=-v", refused},
		{http.MethodPost, web, "attach?container=wxproxy", refused},
		{http.MethodPost, web, "exec?container=wxproxy" + quit, allowed},
		{http.MethodPost, web, "exec?container=app&command=sh", allowed},
		{http.MethodPost, web, "attach?container=app", allowed},
		{http.MethodPost, web, "exec?command=sh", allowed}, // in the app: of an only container
		{http.MethodPost, oncall, "exec?container=wxproxy&command=/wxproxy&command=check", allowed},
		{http.MethodPost, adminToken, "attach?container=wxproxy", allowed},
	} {
		if got := run(row.method, row.token, row.query); !strings.Contains(got, row.want) {
			t.Errorf("%s %s: %s", row.method, row.query, got)
		}
	}
}

// warnings creates an object, as a dry run, and returns what kubectl would show.
func warnings(t *testing.T, object map[string]any, namespace string) string {
	t.Helper()
	body, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	q, err := http.NewRequest(http.MethodPost, kube.url+resource(t, object, namespace)+"?dryRun=All", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Authorization", "Bearer "+adminToken)
	q.Header.Set("Content-Type", "application/json")
	answer, err := kube.client.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusCreated {
		t.Errorf("%s: %s", object["kind"], answer.Status)
	}
	return strings.Join(answer.Header.Values("Warning"), "\n")
}

// Who asks for a sidecar where the webhook does not look is told so, and gets
// the pod.
func TestMisplacedLabels(t *testing.T) {
	kube.namespace(t, "labels", nil, "web", "both")
	kube.namespace(t, "labels-ns", map[string]any{"wxproxy.dev/inject": "true"}, "web", "both")
	r := install(t, "labels-wx", 1, "grants:\n"+grant("labels", "web", "shop")+grant("labels", "both", "books")+grant("labels-ns", "both", "books")+grant("labels-ns", "web", "shop"))
	r.ready("labels", simplePod("first", "web"))
	pod := map[string]any{"kind": "Pod", "apiVersion": "v1", "metadata": map[string]any{"name": "p", "annotations": map[string]any{"wxproxy.dev/inject": "true"}}, "spec": simplePod("p", "web")["spec"]}
	eventually(t, "policy", func() bool { return warnings(t, pod, "labels") != "" })
	const noLabel, noTemplate = "have no effect without the label", "belongs into the metadata of the pod template"
	for _, workload := range append(documents(t, templates), pod) {
		kind := textAt(workload, "kind")
		if got := warnings(t, workload, "labels"); kind != "Pod" && strings.Contains(got, "wxproxy") {
			t.Errorf("a good %s: %s", kind, got)
		}
		template := workload
		switch kind {
		case "CronJob":
			template = at(workload, "spec", "jobTemplate", "spec", "template").(map[string]any)
		case "Pod":
		default:
			template = at(workload, "spec", "template").(map[string]any)
		}
		m := template["metadata"].(map[string]any)
		m["annotations"] = map[string]any{"wxproxy.dev/merchant": "shop"}
		if labels, ok := m["labels"].(map[string]any); ok {
			delete(labels, "wxproxy.dev/inject")
		}
		if got := warnings(t, workload, "labels"); !strings.Contains(got, noLabel) {
			t.Errorf("%s with an annotation alone: %q", kind, got)
		}
		if kind != "Pod" {
			if got := warnings(t, workload, "labels-ns"); strings.Contains(got, "wxproxy") {
				t.Errorf("%s in a namespace with the label: %s", kind, got)
			}
			delete(m, "annotations")
			workload["metadata"].(map[string]any)["labels"] = map[string]any{"wxproxy.dev/inject": "true"}
			if got := warnings(t, workload, "labels"); !strings.Contains(got, noTemplate) {
				t.Errorf("%s with the label itself: %q", kind, got)
			}
		}
	}
}

// Policies are rendered where an API server knows them, and the webhook asks
// for ephemeral containers where none judges them.
func TestPoliciesByVersion(t *testing.T) {
	for _, row := range []struct {
		minor, set string
		policies   int
	}{
		{"1.27.0", "injector.enabled=true", 0},
		{"1.29.15", "injector.enabled=true", 0},
		{"1.30.0", "injector.enabled=true", 3},
		{"1.30.4-eks-a737599", "injector.enabled=true", 3},
		{"1.34.4", "injector.enabled=true", 3},
		{"1.34.4", "injector.policies.enabled=false", 0},
		{"1.34.4", "injector.enabled=false", 0},
	} {
		kinds, debug := make(map[string]int), false
		for _, object := range documents(t, mustHelm(t, "template", "rel", chart, "-n", "rendered", "--kube-version", row.minor, "--set", row.set)) {
			kinds[textAt(object, "kind")]++
			if object["kind"] == "MutatingWebhookConfiguration" {
				debug = strings.Contains(toYAML(t, object), "ephemeralcontainers")
			}
		}
		if n, b := kinds["ValidatingAdmissionPolicy"], kinds["ValidatingAdmissionPolicyBinding"]; n != row.policies || b != n {
			t.Errorf("%s, %s: %d policies, %d bindings", row.minor, row.set, n, b)
		}
		if want := kinds["MutatingWebhookConfiguration"] > 0 && row.policies == 0; debug != want {
			t.Errorf("%s, %s: the webhook asks for ephemeral containers: %v", row.minor, row.set, debug)
		}
	}
}
