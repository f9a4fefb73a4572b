package injector_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"

	"github.com/wxproxy/wxproxy/internal/injector"
)

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
		out, err := i.Review(t.Context(), body)
		if err != nil {
			return
		}
		var a answer
		if err := json.Unmarshal(out, &a); err != nil || a.Response.UID == "" || a.Response.Allowed == (a.Response.Status.Code == 403) {
			t.Errorf("%v: %s", err, out)
		}
	})
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
