package k8s_test

import (
	"net/http"
	"strings"
	"testing"
)

// Plugins of the API server that change containers run again after the webhook
// and then judge what it left: the sidecar satisfies them.
func TestPluginsThatCorrectContainers(t *testing.T) {
	others := kube
	t.Cleanup(func() { kube = others })
	own, err := startCluster(t.TempDir(), "--enable-admission-plugins=AlwaysPullImages")
	t.Cleanup(own.stop)
	if err != nil {
		t.Fatal(err)
	}
	kube = own
	kube.namespace(t, "plugins", nil, "web")
	r := install(t, "plugins-wx", 1, "grants:\n"+grant("plugins", "web", "shop"))
	r.ready("plugins", simplePod("first", "web"))
	_, pod := create(t, "plugins", simplePod("pulled", "web"), "?dryRun=All")
	if policy := textAt(pod, "spec", "initContainers", 0, "imagePullPolicy"); policy != "Always" {
		t.Errorf("the sidecar's pull policy is %q", policy)
	}

	kube.must(t, http.MethodPost, "/api/v1/namespaces/plugins/limitranges", map[string]any{
		"metadata": map[string]any{"name": "storage"},
		"spec": map[string]any{"limits": []any{map[string]any{
			"type": "Container", "max": map[string]any{"ephemeral-storage": "1Gi"}, "default": map[string]any{"ephemeral-storage": "512Mi"},
		}}},
	})
	plain := simplePod("plain", "web")
	delete(plain["metadata"].(map[string]any), "labels")
	eventually(t, "limit of the range in a pod without sidecar", func() bool {
		_, pod = create(t, "plugins", clone(t, plain), "?dryRun=All")
		return textAt(pod, "spec", "containers", 0, "resources", "limits", "ephemeral-storage") == "512Mi"
	})
	status, pod := create(t, "plugins", simplePod("limited", "web"), "?dryRun=All")
	if status != http.StatusCreated {
		t.Fatal(status, pod["message"])
	}
	limits := at(pod, "spec", "initContainers", 0, "resources", "limits")
	if textAt(limits, "ephemeral-storage") != "512Mi" || textAt(limits, "memory") != "128Mi" {
		t.Errorf("the sidecar's limits are %v", limits)
	}
	if text := toYAML(t, pod); strings.Contains(text, "IfNotPresent") {
		t.Errorf("a container is not always pulled:\n%s", text)
	}
}

// Every amount within the bounds makes a pod that the API server takes, or a
// refusal that names the annotation.
func TestResourcesWithinBounds(t *testing.T) {
	kube.namespace(t, "bounds", nil, "web")
	r := install(t, "bounds-wx", 1, "grants:\n"+grant("bounds", "web", "shop"))
	r.ready("bounds", simplePod("first", "web"))
	for _, row := range []struct{ name, value, want string }{
		{"memory-limit", "32Mi", ""},
		{"memory-limit", "512Mi", ""},
		{"cpu-limit", "10m", ""},
		{"cpu-limit", "2", ""},
		{"memory-request", "32Mi", ""},
		{"cpu-request", "1", ""},
		{"cpu-request", "1500m", `wxproxy.dev/cpu-request is "1500m", above the sidecar's limit of 1`},
		{"memory-request", "129Mi", `wxproxy.dev/memory-request is "129Mi", above the sidecar's limit of 128Mi`},
	} {
		pod := simplePod("pod", "web")
		pod["metadata"].(map[string]any)["annotations"] = map[string]any{"wxproxy.dev/" + row.name: row.value}
		status, answer := create(t, "bounds", pod, "?dryRun=All")
		message := textAt(answer, "message")
		if taken := status == http.StatusCreated; taken != (row.want == "") || !strings.Contains(message, row.want) {
			t.Errorf("%s %s: %d %s", row.name, row.value, status, message)
		}
	}
}
