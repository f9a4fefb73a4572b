package injector_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.yaml.in/yaml/v3"

	"github.com/wxproxy/wxproxy/internal/injector"
)

var update = flag.Bool("update", false, "write the golden files anew")

func settings(t testing.TB) *injector.Settings {
	t.Helper()
	text, err := os.ReadFile("testdata/settings.yaml")
	if err != nil {
		t.Fatal(err)
	}
	s, err := injector.ParseSettings(text, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newInjector(t testing.TB, s *injector.Settings, native bool) *injector.Injector {
	t.Helper()
	i, err := injector.New(injector.Options{Settings: s, Native: func() bool { return native }})
	if err != nil {
		t.Fatal(err)
	}
	return i
}

type answer struct {
	APIVersion, Kind string
	Response         struct {
		UID       string
		Allowed   bool
		PatchType string
		Patch     []byte
		Status    struct {
			Code    int
			Message string
		}
	}
}

func reviewOf(pod []byte, namespace, operation, subresource string) []byte {
	body, err := json.Marshal(map[string]any{
		"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
		"request": map[string]any{
			"uid": "705ab4f5-6393-11e8-b7cc-42010a800002", "kind": map[string]string{"group": "", "version": "v1", "kind": "Pod"},
			"resource": map[string]string{"group": "", "version": "v1", "resource": "pods"}, "subResource": subresource,
			"namespace": namespace, "operation": operation, "object": json.RawMessage(pod), "newerField": map[string]any{"x": 1},
		},
	})
	if err != nil {
		panic(err) // a pod that is no JSON
	}
	return body
}

func ask(t testing.TB, i *injector.Injector, body []byte) answer {
	t.Helper()
	out, err := i.Review(body)
	if err != nil {
		t.Fatal(err)
	}
	var a answer
	if err := json.Unmarshal(out, &a); err != nil {
		t.Fatal(err)
	}
	return a
}

func toJSON(t testing.TB, text string) []byte {
	t.Helper()
	var v any
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return marshal(t, v)
}

func marshal(t testing.TB, v any) []byte {
	t.Helper()
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func apply(t testing.TB, pod, steps []byte) []byte {
	t.Helper()
	p, err := jsonpatch.DecodePatch(steps)
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.Apply(pod)
	if err != nil {
		t.Fatalf("the patch does not apply: %v\n%s", err, steps)
	}
	return out
}

// pods are one of each kind; their names are those of golden files.
var pods = []struct {
	name, namespace string
	plain           bool
	text            string
}{
	{"smallest", "shop", false, `
metadata: {generateName: web-, labels: {wxproxy.dev/inject: "true"}}
spec: {serviceAccountName: web, containers: [{name: app, image: shop}]}
`},
	{"notify", "shop", false, `
metadata:
  name: web
  labels: {app: web, wxproxy.dev/inject: "true"}
  annotations:
    kubectl.kubernetes.io/default-container: log
    wxproxy.dev/merchant: shop
    wxproxy.dev/app-port: "3000"
    wxproxy.dev/notify-path: /notify/shop
    wxproxy.dev/app-path: /wechat/paid
    wxproxy.dev/containers: app
    wxproxy.dev/log-level: debug
    wxproxy.dev/cpu-limit: "1"
    wxproxy.dev/memory-limit: 256Mi
spec:
  serviceAccountName: web
  fieldOfTheFuture: {keep: [1, 2.5, true, 12345678901234567]}
  terminationGracePeriodSeconds: 60
  initContainers: [{name: migrate, image: shop, command: [migrate]}]
  containers:
    - name: app
      image: shop
      futureField: x
      env: [{name: A, value: b}, {name: WECHATPAY_BASE_URL, value: "http://own"}]
      volumeMounts: [{name: data, mountPath: /data}]
      ports: [{containerPort: 3000}]
    - {name: log, image: log}
  volumes: [{name: data, emptyDir: {}}]
  imagePullSecrets: [{name: mine}]
`},
	{"two-merchants-socket", "shop", false, `
metadata: {name: web, labels: {wxproxy.dev/inject: "true"}, annotations: {wxproxy.dev/merchant: "shop, books_2", wxproxy.dev/socket: "true", wxproxy.dev/app-port: "3000"}}
spec: {serviceAccountName: both, containers: [{name: app, image: shop}]}
`},
	{"plain", "shop", true, `
metadata: {name: web, labels: {wxproxy.dev/inject: "true"}, annotations: {wxproxy.dev/app-port: "3000"}}
spec: {serviceAccountName: web, terminationGracePeriodSeconds: 40, containers: [{name: app, image: shop}]}
`},
	{"job", "books", false, `
metadata: {name: bill, labels: {wxproxy.dev/inject: "true"}}
spec: {restartPolicy: Never, containers: [{name: app, image: shop}]}
`},
	{"job-plain", "books", true, `
metadata: {name: bill, labels: {wxproxy.dev/inject: "true"}}
spec: {restartPolicy: OnFailure, terminationGracePeriodSeconds: 1, containers: [{name: app, image: shop}]}
`},
}

func TestPods(t *testing.T) {
	t.Parallel()
	s := settings(t)
	for _, row := range pods {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			pod := toJSON(t, row.text)
			i := newInjector(t, s, !row.plain)
			a := ask(t, i, reviewOf(pod, row.namespace, "CREATE", ""))
			if !a.Response.Allowed || a.Response.PatchType != "JSONPatch" || a.Response.UID == "" || a.Kind != "AdmissionReview" {
				t.Fatalf("answer is %+v", a)
			}
			got := apply(t, pod, a.Response.Patch)
			golden(t, row.name, got)
			untouched(t, pod, got)
			again := ask(t, i, reviewOf(got, row.namespace, "CREATE", ""))
			if twice := apply(t, got, again.Response.Patch); !jsonpatch.Equal(got, twice) {
				t.Errorf("not idempotent:\n%s\n%s", got, twice)
			}
		})
	}
}

// golden compares a pod with testdata/NAME.golden.yaml.
func golden(t *testing.T, name string, pod []byte) {
	t.Helper()
	var v any
	if err := yaml.Unmarshal(pod, &v); err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	e := yaml.NewEncoder(&text)
	e.SetIndent(2)
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("testdata", name+".golden.yaml")
	if *update {
		if err := os.WriteFile(file, text.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if text.String() != string(want) {
		t.Errorf("not %s (go test ./internal/injector -update writes it anew):\n%s", file, &text)
	}
}

// untouched fails if after is not before with additions at the places that are
// ours. It knows nothing of how the patch was made.
func untouched(t testing.TB, before, after []byte) {
	t.Helper()
	var a, b map[string]any
	if err := json.Unmarshal(before, &a); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(after, &b); err != nil {
		t.Fatal(err)
	}
	strip(b, a)
	strip(a, a)
	if !reflect.DeepEqual(a, b) {
		t.Errorf("more than additions:\n%v\n%v", a, b)
	}
}

// strip takes away from pod what the sidecar may add to original.
func strip(pod, original map[string]any) {
	meta := func(m map[string]any) map[string]any { return sub(m, "metadata") }
	for key := range sub(meta(pod), "annotations") {
		if _, ok := sub(meta(original), "annotations")[key]; !ok || key == "wxproxy.dev/status" {
			delete(sub(meta(pod), "annotations"), key)
		}
	}
	dropEmpty(meta(pod), "annotations")
	dropEmpty(pod, "metadata")
	spec := sub(pod, "spec")
	for _, key := range []string{"containers", "initContainers"} {
		list, _ := spec[key].([]any)
		var kept []any
		for _, c := range list {
			m, _ := c.(map[string]any)
			if m["name"] == "wxproxy" {
				continue
			}
			for _, part := range []string{"env", "volumeMounts"} {
				m[part] = without(m[part], func(v map[string]any) bool {
					name := fmt.Sprint(v["name"])
					return strings.HasPrefix(name, "WECHATPAY_") || name == "WXPROXY_CONTROL" || strings.HasPrefix(name, "wxproxy-")
				})
				dropEmpty(m, part)
			}
			kept = append(kept, m)
		}
		spec[key] = kept
		dropEmpty(spec, key)
	}
	spec["volumes"] = without(spec["volumes"], func(v map[string]any) bool { return strings.HasPrefix(fmt.Sprint(v["name"]), "wxproxy-") })
	dropEmpty(spec, "volumes")
}

func sub(m map[string]any, key string) map[string]any {
	v, _ := m[key].(map[string]any)
	return v
}

func without(list any, drop func(map[string]any) bool) []any {
	var kept []any
	l, _ := list.([]any)
	for _, v := range l {
		if m, ok := v.(map[string]any); ok && drop(m) {
			continue
		}
		kept = append(kept, v)
	}
	return kept
}

func dropEmpty(m map[string]any, key string) {
	switch v := m[key].(type) {
	case []any:
		if len(v) == 0 {
			delete(m, key)
		}
	case map[string]any:
		if len(v) == 0 {
			delete(m, key)
		}
	case nil:
		delete(m, key)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	s := settings(t)
	annotate := func(key, value string) func(map[string]any) {
		return func(p map[string]any) { sub(sub(p, "metadata"), "annotations")["wxproxy.dev/"+key] = value }
	}
	spec := func(key string, value any) func(map[string]any) {
		return func(p map[string]any) { sub(p, "spec")[key] = value }
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
		{"quantity", "is not a quantity", annotate("memory-limit", "1e999999999")},
		{"containers", "which the pod does not have", annotate("containers", "ap")},
		{"containers, ours", "which the pod does not have", annotate("containers", "wxproxy")},
		{"shared processes", "shareProcessNamespace", spec("shareProcessNamespace", true)},
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

// What is there already under our names is written anew, whatever it says.
func TestForgedSidecarIsReplaced(t *testing.T) {
	t.Parallel()
	i := newInjector(t, settings(t), true)
	honest := toJSON(t, pods[0].text)
	first := ask(t, i, reviewOf(honest, "shop", "CREATE", ""))
	want := apply(t, honest, first.Response.Patch)
	forged := bytes.ReplaceAll(want, []byte("ghcr.io/wxproxy/wxproxy:test"), []byte("evil"))
	forged = bytes.ReplaceAll(forged, []byte(`"audience":"vault"`), []byte(`"audience":"other"`))
	if bytes.Equal(forged, want) {
		t.Fatal("nothing forged")
	}
	a := ask(t, i, reviewOf(forged, "shop", "CREATE", ""))
	if got := apply(t, forged, a.Response.Patch); !a.Response.Allowed || !jsonpatch.Equal(got, want) {
		t.Errorf("got %s", got)
	}
}

func TestOtherOperations(t *testing.T) {
	t.Parallel()
	i := newInjector(t, settings(t), true)
	injected := func(ephemeral string) []byte {
		return toJSON(t, `{spec: {containers: [{name: app}], ephemeralContainers: [`+ephemeral+`], volumes: [{name: wxproxy-token}]}}`)
	}
	for _, row := range []struct {
		name, operation, subresource, pod string
		allowed                           bool
	}{
		{"update", "UPDATE", "", "", true},
		{"debug", "UPDATE", "ephemeralcontainers", "{name: d, targetContainerName: app}", true},
		{"debug of the sidecar", "UPDATE", "ephemeralcontainers", "{name: d, targetContainerName: wxproxy}", false},
		{"debug with its token", "UPDATE", "ephemeralcontainers", "{name: d, volumeMounts: [{name: wxproxy-token, mountPath: /x}]}", false},
	} {
		a := ask(t, i, reviewOf(injected(row.pod), "shop", row.operation, row.subresource))
		if a.Response.Allowed != row.allowed || len(a.Response.Patch) > 0 {
			t.Errorf("%s: %+v", row.name, a.Response)
		}
	}
	body := bytes.Replace(reviewOf([]byte(`{}`), "shop", "CREATE", ""), []byte(`"kind":"Pod"`), []byte(`"kind":"Node"`), 1)
	if a := ask(t, i, body); a.Response.Allowed {
		t.Error("a node was let in")
	}
}

func TestMalformedReviews(t *testing.T) {
	t.Parallel()
	i := newInjector(t, settings(t), true)
	good := string(reviewOf(toJSON(t, pods[0].text), "shop", "CREATE", ""))
	for name, body := range map[string]string{
		"empty": "", "no JSON": "x", "array": "[]", "no request": `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}`,
		"old version": strings.Replace(good, "admission.k8s.io/v1", "admission.k8s.io/v1beta1", 1),
		"other kind":  strings.Replace(good, "AdmissionReview", "Review", 1),
		"no uid":      strings.Replace(good, "705ab4f5-6393-11e8-b7cc-42010a800002", "", 1),
	} {
		if out, err := i.Review([]byte(body)); err == nil {
			t.Errorf("%s: %s", name, out)
		}
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	r := prometheus.NewRegistry()
	m, err := injector.NewMetrics(r)
	if err != nil {
		t.Fatal(err)
	}
	i, err := injector.New(injector.Options{Settings: settings(t), Native: func() bool { return true }, Metrics: m})
	if err != nil {
		t.Fatal(err)
	}
	ask(t, i, reviewOf(toJSON(t, pods[0].text), "shop", "CREATE", ""))
	ask(t, i, reviewOf(toJSON(t, pods[0].text), "elsewhere", "CREATE", ""))
	const want = `# HELP wxproxy_injector_admissions_total Admission reviews by outcome: injected, unchanged, refused or malformed.
# TYPE wxproxy_injector_admissions_total counter
wxproxy_injector_admissions_total{outcome="injected"} 1
wxproxy_injector_admissions_total{outcome="malformed"} 0
wxproxy_injector_admissions_total{outcome="refused"} 1
wxproxy_injector_admissions_total{outcome="unchanged"} 0
`
	if err := testutil.GatherAndCompare(r, strings.NewReader(want), "wxproxy_injector_admissions_total"); err != nil {
		t.Error(err)
	}
}

// FuzzPatch: whatever the pod, an answer's patch applies, and adds only.
func FuzzPatch(f *testing.F) {
	for _, row := range pods {
		f.Add(toJSON(f, row.text), row.plain)
	}
	f.Add([]byte(`{"metadata":null,"spec":{"containers":[{"name":"a","env":null},{"name":"a"}],"volumes":[]}}`), true)
	f.Add([]byte(`{"metadata":{"annotations":{}},"spec":{"initContainers":[],"containers":[{"name":"~1/"}]}}`), false)
	open := settings(f)
	open.Grants = []injector.Grant{{Namespace: "n", ServiceAccounts: []string{"*"}, Merchants: []string{"shop"}}}
	f.Fuzz(func(t *testing.T, pod []byte, plain bool) {
		var m map[string]any
		if json.Unmarshal(pod, &m) != nil || !canonical(m) {
			return
		}
		a := ask(t, newInjector(t, open, !plain), reviewOf(pod, "n", "CREATE", ""))
		if !a.Response.Allowed {
			if a.Response.Status.Message == "" || len(a.Response.Patch) > 0 {
				t.Errorf("refused without reason: %+v", a)
			}
			return
		}
		got := apply(t, pod, a.Response.Patch)
		if !json.Valid(got) {
			t.Errorf("no JSON: %s", got)
		}
		if _, stamped := sub(sub(m, "metadata"), "annotations")["wxproxy.dev/status"]; !stamped {
			untouched(t, pod, got)
		}
	})
}

// canonical: an API server sends each field once, under its own name and as
// its own type; Go's decoder would take another case for it.
func canonical(m map[string]any) bool {
	for _, v := range []map[string]any{m, sub(m, "metadata"), sub(m, "spec")} {
		for key, value := range v {
			if key != "metadata" && key != "spec" && strings.EqualFold(key, "metadata") || strings.EqualFold(key, "spec") && key != "spec" {
				return false
			}
			if value == nil {
				return false
			}
		}
		for _, a := range slicesOfKeys(v) {
			for _, b := range slicesOfKeys(v) {
				if a != b && strings.EqualFold(a, b) {
					return false
				}
			}
		}
	}
	return true
}

func slicesOfKeys(m map[string]any) (list []string) {
	for k := range maps.Keys(m) {
		list = append(list, k)
	}
	return list
}

// FuzzReview: whatever the body, an error, or an answer with its uid.
func FuzzReview(f *testing.F) {
	for _, row := range pods {
		f.Add(reviewOf(toJSON(f, row.text), row.namespace, "CREATE", ""))
		f.Add(reviewOf(toJSON(f, row.text), row.namespace, "UPDATE", "ephemeralcontainers"))
	}
	i := newInjector(f, settings(f), true)
	f.Fuzz(func(t *testing.T, body []byte) {
		out, err := i.Review(body)
		if err != nil {
			return
		}
		var a answer
		if err := json.Unmarshal(out, &a); err != nil || a.Response.UID == "" || a.Response.Allowed == (a.Response.Status.Code == 403) {
			t.Errorf("%v: %s", err, out)
		}
	})
}
