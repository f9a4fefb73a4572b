package injector_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"testing"

	"github.com/wxproxy/wxproxy/internal/injector"
)

// smallPod has annotations of ours.
func smallPod(annotations map[string]any) map[string]any {
	return map[string]any{
		"metadata": map[string]any{"name": "web", "annotations": annotations},
		"spec":     map[string]any{"serviceAccountName": "web", "containers": []any{map[string]any{"name": "app"}}},
	}
}

// sidecarOf injects a pod, in place, and returns the container.
func sidecarOf(t *testing.T, s *injector.Settings, pod map[string]any) map[string]any {
	t.Helper()
	raw := marshal(t, pod)
	a := ask(t, newInjector(t, s, true), reviewOf(raw, "shop", "CREATE", ""))
	if !a.Response.Allowed {
		t.Fatalf("refused: %+v", a.Response)
	}
	clear(pod)
	if err := json.Unmarshal(apply(t, raw, a.Response.Patch), &pod); err != nil {
		t.Fatal(err)
	}
	return sub(pod, "spec")["initContainers"].([]any)[0].(map[string]any)
}

// What plugins of an API server correct in our container, and then insist on,
// stays when we are called again; everything else is ours.
func TestPluginsCorrectTheSidecar(t *testing.T) {
	t.Parallel()
	open := settings(t) // without a limit of CPU
	template := sub(open.Pod, "spec")["containers"].([]any)[0].(map[string]any)
	template["resources"] = map[string]any{"limits": map[string]any{"memory": "128Mi"}}
	const requests, limits = "requests", "limits"
	for _, row := range []struct {
		name, kind, key, value, want string
	}{
		{"another resource", limits, "ephemeral-storage", "512Mi", "512Mi"},
		{"request of another", requests, "ephemeral-storage", "1Mi", "1Mi"},
		{"our memory", limits, "memory", "64Mi", "128Mi"},
		{"CPU within bounds", limits, "cpu", "1", "1"},
		{"CPU above", limits, "cpu", "1001m", "<nil>"},
		{"CPU below", limits, "cpu", "1m", "<nil>"},
		{"CPU of no sense", limits, "cpu", "much", "<nil>"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			pod := smallPod(nil)
			c := sidecarOf(t, open, pod)
			before := maps.Clone(c)
			delete(before, "resources")
			maps.Copy(c, map[string]any{"imagePullPolicy": "Always", "image": "evil", "command": []any{"sh"}, "env": []any{}, "securityContext": map[string]any{}})
			if c["resources"].(map[string]any)[row.kind] == nil {
				sub(c, "resources")[row.kind] = map[string]any{}
			}
			sub(sub(c, "resources"), row.kind)[row.key] = row.value
			after := sidecarOf(t, open, pod)
			if got := fmt.Sprint(sub(sub(after, "resources"), row.kind)[row.key]); got != row.want {
				t.Errorf("%s, want %s", got, row.want)
			}
			if after["imagePullPolicy"] != "Always" {
				t.Errorf("pull policy %v", after["imagePullPolicy"])
			}
			delete(after, "resources")
			delete(after, "imagePullPolicy")
			if row.key == "cpu" && row.want != "<nil>" {
				env := after["env"].([]any)
				after["env"] = env[:len(env)-1] // GOMAXPROCS, by the limit
			}
			if a, b := string(marshal(t, before)), string(marshal(t, after)); a != b {
				t.Errorf("more has changed:\n%s\n%s", a, b)
			}
		})
	}
}

// A pull policy that weakens ours does not stay.
func TestPullPolicyOnlyGetsStricter(t *testing.T) {
	t.Parallel()
	pod := smallPod(nil)
	sidecarOf(t, settings(t), pod)["imagePullPolicy"] = "Never"
	if got := sidecarOf(t, settings(t), pod)["imagePullPolicy"]; got != nil {
		t.Errorf("%v stayed", got)
	}
}

// A pod that lowers the limit need not know the template's request.
func TestRequestsAreAtMostTheLimits(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		annotations    map[string]any
		resource, want string // request and limit
	}{
		{nil, "memory", "48Mi 128Mi"},
		{map[string]any{"wxproxy.dev/memory-limit": "32Mi"}, "memory", "32Mi 32Mi"},
		{map[string]any{"wxproxy.dev/memory-limit": "64Mi"}, "memory", "48Mi 64Mi"},
		{map[string]any{"wxproxy.dev/cpu-limit": "10m"}, "cpu", "10m 10m"},
		{map[string]any{"wxproxy.dev/cpu-request": "1", "wxproxy.dev/cpu-limit": "1"}, "cpu", "1 1"},
		{map[string]any{"wxproxy.dev/cpu-request": "500m"}, "cpu", "500m 500m"},
	} {
		r := sub(sidecarOf(t, settings(t), smallPod(row.annotations)), "resources")
		if got := fmt.Sprint(sub(r, "requests")[row.resource], " ", sub(r, "limits")[row.resource]); got != row.want {
			t.Errorf("%v: %s, want %s", row.annotations, got, row.want)
		}
	}
}

// Who needs the node's AppArmor for the sidecar says so once, for all pods.
func TestAppArmorOfTheTemplateIsNotThePods(t *testing.T) {
	t.Parallel()
	s := settings(t)
	template := sub(s.Pod, "spec")["containers"].([]any)[0].(map[string]any)
	sub(template, "securityContext")["appArmorProfile"] = map[string]any{"type": "RuntimeDefault"}
	pod := smallPod(map[string]any{"container.apparmor.security.beta.kubernetes.io/wxproxy": "runtime/default"})
	sub(pod, "spec")["securityContext"] = map[string]any{"appArmorProfile": map[string]any{"type": "Unconfined"}}
	if got := sub(sub(sidecarOf(t, s, pod), "securityContext"), "appArmorProfile")["type"]; got != "RuntimeDefault" {
		t.Errorf("the sidecar's profile is %v", got)
	}
}
