package injector_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
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
	out, err := i.Review(t.Context(), body)
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
	if a := ask(t, i, reviewOf(toJSON(t, `{metadata: {labels: {wxproxy.dev/inject: "false"}}, spec: {containers: [{name: app}]}}`), "shop", "CREATE", "")); !a.Response.Allowed || len(a.Response.Patch) > 0 {
		t.Errorf("one that declines: %+v", a.Response)
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
		if out, err := i.Review(t.Context(), []byte(body)); err == nil {
			t.Errorf("%s: %s", name, out)
		}
	}
}
