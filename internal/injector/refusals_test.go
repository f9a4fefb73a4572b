package injector_test

import (
	"strings"
	"testing"
)

func TestRefusals(t *testing.T) {
	t.Parallel()
	s := settings(t)
	annotate := func(key, value string) func(map[string]any) {
		return func(p map[string]any) { sub(sub(p, "metadata"), "annotations")["wxproxy.dev/"+key] = value }
	}
	spec := func(key string, value any) func(map[string]any) {
		return func(p map[string]any) { sub(p, "spec")[key] = value }
	}
	label := func(value string) func(map[string]any) {
		return func(p map[string]any) { sub(p, "metadata")["labels"] = map[string]any{"wxproxy.dev/inject": value} }
	}
	mounts := func(kind, volume string) func(map[string]any) {
		return spec(kind, []any{map[string]any{"name": "app", "volumeMounts": []any{map[string]any{"name": volume, "mountPath": "/run/wxproxy"}}}})
	}
	for _, row := range []struct {
		name, want string
		flip       func(map[string]any)
	}{
		{"merchant of others", `merchant "books_2" is not granted to service account "web"`, annotate("merchant", "books_2")},
		{"merchant that is not", `merchant "nobody" is not granted`, annotate("merchant", "nobody")},
		{"merchant twice", "twice", annotate("merchant", "shop,shop")},
		{"empty merchant", `merchant "" is not granted`, annotate("merchant", "")},
		{"account without grant", `service account "default" of namespace "shop" has no merchant`, func(p map[string]any) { delete(sub(p, "spec"), "serviceAccountName") }},
		{"several granted, none chosen", "merchant is missing", spec("serviceAccountName", "both")},
		{"port", `app-port "x" is not a port`, annotate("app-port", "x")},
		{"port too large", "is not a port", annotate("app-port", "65536")},
		{"port 0", "is not a port", annotate("app-port", "0")},
		{"own port", "wxproxy's own port for outbound", annotate("app-port", "18080")},
		{"path", "write a path", annotate("notify-path", "notify")},
		{"path with a query", "write a path", annotate("notify-path", "/a?b")},
		{"path with dots", "write a path", annotate("app-path", "/a/../b")},
		{"path without app", "needs wxproxy.dev/app-port", func(p map[string]any) {
			annotate("notify-path", "/n")(p)
			delete(sub(sub(p, "metadata"), "annotations"), "wxproxy.dev/app-port")
		}},
		{"unknown annotation", `"wxproxy.dev/app_port" is unknown`, annotate("app_port", "1")},
		{"upstreams", "unknown", annotate("upstreams", "http://evil")},
		{"image", "unknown", annotate("image", "evil")},
		{"vault", "unknown", annotate("vault-path", "secret/other")},
		{"socket", `write "true" or "false"`, annotate("socket", "yes")},
		{"log level", "debug, info, warn or error", annotate("log-level", "trace")},
		{"cpu above", "at most 1", annotate("cpu-limit", "1001m")},
		{"cpu below", "at least 10m", annotate("cpu-request", "9m")},
		{"memory above", "at most 256Mi", annotate("memory-limit", "1Gi")},
		{"memory below", "at least 32Mi", annotate("memory-request", "1Mi")},
		{"request above the template's limit", `wxproxy.dev/cpu-request is "600m", above the sidecar's limit of 500m; lower it, or set wxproxy.dev/cpu-limit`, annotate("cpu-request", "600m")},
		{"request above the limit", `wxproxy.dev/memory-request is "65Mi", above the sidecar's limit of 64Mi`, func(p map[string]any) {
			annotate("memory-request", "65Mi")(p)
			annotate("memory-limit", "64Mi")(p)
		}},
		{"quantity", "is not a quantity", annotate("memory-limit", "1e999999999")},
		{"containers", "which the pod does not have", annotate("containers", "ap")},
		{"containers, ours", "which the pod does not have", annotate("containers", "wxproxy")},
		{"shared processes", "shareProcessNamespace", spec("shareProcessNamespace", true)},
		{"AppArmor of the pod", "in the containers that need it", spec("securityContext", map[string]any{"appArmorProfile": map[string]any{"type": "Unconfined"}})},
		{"AppArmor of the sidecar", "is about the sidecar", func(p map[string]any) {
			sub(sub(p, "metadata"), "annotations")["container.apparmor.security.beta.kubernetes.io/wxproxy"] = "unconfined"
		}},
		{"label that nearly is true", `label wxproxy.dev/inject is "True"; write "true", in quotes, for a sidecar, or "false" for none`, label("True")},
		{"label that says yes", `is "yes"`, label("yes")},
		{"empty label", `is ""`, label("")},
		{"host processes", "hostPID", spec("hostPID", true)},
		{"host network", "hostNetwork", spec("hostNetwork", true)},
		{"windows", "Linux", spec("os", map[string]any{"name": "windows"})},
		{"container of our name", "has a container named wxproxy already", spec("initContainers", []any{map[string]any{"name": "wxproxy"}})},
		{"plain container of our name", "has a container named wxproxy already", spec("containers", []any{map[string]any{"name": "wxproxy"}, map[string]any{"name": "app"}})},
		{"stamp and container of the other kind", "another version", func(p map[string]any) {
			annotate("status", "injected")(p)
			spec("containers", []any{map[string]any{"name": "wxproxy"}, map[string]any{"name": "app"}})(p)
		}},
		{"nothing but ours", "no container besides", spec("containers", []any{map[string]any{"name": "wxproxy"}})},
		{"volume of our name", "names that begin with wxproxy-", spec("volumes", []any{map[string]any{"name": "wxproxy-x"}})},
		{"keys mounted", "is the sidecar's alone", mounts("containers", "wxproxy-token")},
		{"keys mounted by an init container", "is the sidecar's alone", mounts("initContainers", "wxproxy-merchant-shop")},
		{"keys mounted by an ephemeral container", "is the sidecar's alone", mounts("ephemeralContainers", "wxproxy-state")},
		{"control socket mounted", "is the sidecar's alone", mounts("containers", "wxproxy-control")},
		{"ephemeral container in our processes", "would share wxproxy's processes", spec("ephemeralContainers", []any{map[string]any{"name": "d", "targetContainerName": "wxproxy"}})},
		{"port in use", "listens on port 18443", spec("containers", []any{map[string]any{"name": "app", "ports": []any{map[string]any{"containerPort": 18443}}}})},
		{"no pod", "the pod is not valid", spec("containers", "none")},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			pod := map[string]any{
				"metadata": map[string]any{"name": "web", "annotations": map[string]any{"wxproxy.dev/app-port": "3000"}},
				"spec":     map[string]any{"serviceAccountName": "web", "containers": []any{map[string]any{"name": "app"}}},
			}
			i := newInjector(t, s, true)
			body := marshal(t, pod)
			if a := ask(t, i, reviewOf(body, "shop", "CREATE", "")); !a.Response.Allowed {
				t.Fatalf("refused before anything was wrong: %+v", a)
			}
			row.flip(pod)
			body = marshal(t, pod)
			a := ask(t, i, reviewOf(body, "shop", "CREATE", ""))
			if a.Response.Allowed || len(a.Response.Patch) > 0 || a.Response.Status.Code != 403 || !strings.Contains(a.Response.Status.Message, row.want) {
				t.Errorf("got %+v, want %s", a.Response, row.want)
			}
		})
	}
}
