package k8s_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// TestRefusals: what pods may not have, with what the user reads; and pods
// that do not ask are left alone.
func TestRefusals(t *testing.T) {
	kube.namespace(t, "refused", nil, "web", "nobody")
	kube.namespace(t, "bystander", nil)
	kube.namespace(t, "byns", map[string]any{"wxproxy.dev/inject": "true", "pod-security.kubernetes.io/enforce": "restricted"}, "web")
	r := install(t, "refusals", 1, "grants:\n"+grant("refused", "web", "shop")+grant("byns", "web", "shop"), "--set", "injector.policies.enabled=false")
	r.ready("refused", simplePod("first", "web"))

	annotate := func(key, value string) func(map[string]any) {
		return func(pod map[string]any) {
			pod["metadata"].(map[string]any)["annotations"] = map[string]any{"wxproxy.dev/" + key: value}
		}
	}
	spec := func(key string, value any) func(map[string]any) {
		return func(pod map[string]any) { pod["spec"].(map[string]any)[key] = value }
	}
	label := func(value string) func(map[string]any) {
		return func(pod map[string]any) { at(pod, "metadata", "labels").(map[string]any)["wxproxy.dev/inject"] = value }
	}
	for _, row := range []struct {
		name, want string
		change     func(map[string]any)
	}{
		{"merchant of others", `merchant "books" is not granted`, annotate("merchant", "books")},
		{"account", `service account "nobody" of namespace "refused" has no merchant`, spec("serviceAccountName", "nobody")},
		{"port", "is not a port number", annotate("app-port", "http")},
		{"resources", "at most 512Mi", annotate("memory-limit", "1Gi")},
		{"vault", "is unknown", annotate("vault-address", "https://evil")},
		{"image", "is unknown", annotate("image", "evil")},
		{"label that nearly is true", `label wxproxy.dev/inject is "True"; write "true", in quotes`, label("True")},
		{"label that says yes", `write "true", in quotes`, label("yes")},
		{"empty label", `write "true", in quotes`, label("")},
		{"AppArmor", "in the containers that need it", spec("securityContext", map[string]any{"appArmorProfile": map[string]any{"type": "Unconfined"}})},
		{"processes", "shareProcessNamespace", spec("shareProcessNamespace", true)},
		{"host", "hostNetwork", spec("hostNetwork", true)},
		{"container", "has a container named wxproxy already", spec("initContainers", []any{map[string]any{"name": "wxproxy", "image": "evil", "restartPolicy": "Always"}})},
		{"token", "is the sidecar's alone", spec("containers", []any{map[string]any{"name": "app", "image": "app", "volumeMounts": []any{map[string]any{"name": "wxproxy-token", "mountPath": "/token"}}}})},
	} {
		pod := simplePod("refused", "web")
		row.change(pod)
		status, answer := create(t, "refused", pod, "")
		if message := fmt.Sprint(answer["message"]); status != http.StatusForbidden || !strings.Contains(message, row.want) || !strings.Contains(message, "inject.wxproxy.dev") {
			t.Errorf("%s: %d %s", row.name, status, message)
		}
	}
	for name, row := range map[string]struct {
		namespace string
		label     any
		want      string
	}{
		"without the label":          {"refused", nil, ""},
		"with false":                 {"refused", "false", ""},
		"by the namespace":           {"byns", nil, "injected"},
		"against the namespace":      {"byns", "false", ""},
		"in a namespace without any": {"bystander", nil, ""},
	} {
		account := "web"
		if row.namespace == "bystander" {
			account = "default"
		}
		pod := restricted(simplePod("free", account))
		labels := at(pod, "metadata", "labels").(map[string]any)
		delete(labels, "wxproxy.dev/inject")
		if row.label != nil {
			labels["wxproxy.dev/inject"] = row.label
		}
		status, answer := create(t, row.namespace, pod, "?dryRun=All")
		if got := textAt(answer, "metadata", "annotations", "wxproxy.dev/status"); status != http.StatusCreated || got != row.want {
			t.Errorf("%s: %d %q %v", name, status, got, answer["message"])
		}
	}
	nearly := restricted(simplePod("nearly", "web"))
	label("True")(nearly)
	if status, answer := create(t, "byns", nearly, "?dryRun=All"); status != http.StatusForbidden || !strings.Contains(textAt(answer, "message"), "in quotes") {
		t.Errorf("nearly true, by the namespace: %d %v", status, answer["message"])
	}
	ephemeral(t)
}

// restricted makes the app fit PodSecurity's restricted; the sidecar does.
func restricted(pod map[string]any) map[string]any {
	at(pod, "spec", "containers", 0).(map[string]any)["securityContext"] = map[string]any{
		"runAsNonRoot": true, "runAsUser": 1000, "allowPrivilegeEscalation": false, "capabilities": map[string]any{"drop": []any{"ALL"}}, "seccompProfile": map[string]any{"type": "RuntimeDefault"},
	}
	return pod
}

// ephemeral containers, as kubectl debug adds them, do not get at the sidecar:
// by the webhook, where there are no policies.
func ephemeral(t *testing.T) {
	if status, answer := create(t, "refused", simplePod("debugged", "web"), ""); status != http.StatusCreated {
		t.Fatal(status, answer["message"])
	}
	for name, row := range map[string]struct {
		container map[string]any
		want      int
	}{
		"of the sidecar":  {map[string]any{"name": "a", "image": "a", "targetContainerName": "wxproxy"}, http.StatusForbidden},
		"with its volume": {map[string]any{"name": "b", "image": "a", "volumeMounts": []any{map[string]any{"name": "wxproxy-token", "mountPath": "/t"}}}, http.StatusForbidden},
		"of the app":      {map[string]any{"name": "c", "image": "a", "targetContainerName": "app"}, http.StatusOK},
	} {
		status, answer := kube.call(t, http.MethodPatch, "/api/v1/namespaces/refused/pods/debugged/ephemeralcontainers", map[string]any{"spec": map[string]any{"ephemeralContainers": []any{row.container}}})
		if status != row.want {
			t.Errorf("%s: %d %v", name, status, answer["message"])
		}
	}
}
