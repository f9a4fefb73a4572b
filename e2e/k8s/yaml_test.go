package k8s_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// documents splits a YAML stream.
func documents(t testing.TB, text string) (list []map[string]any) {
	t.Helper()
	for _, part := range strings.Split("\n"+text, "\n---") {
		m := make(map[string]any)
		if err := yaml.Unmarshal([]byte(part), &m); err != nil {
			t.Fatalf("%v\n%s", err, part)
		}
		if len(m) > 0 {
			list = append(list, m)
		}
	}
	return list
}

func toYAML(t testing.TB, v any) string {
	t.Helper()
	text, err := yaml.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// at walks a decoded document: keys of maps and indices of lists.
func at(v any, path ...any) any {
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[p]
		case int:
			l, _ := v.([]any)
			if p >= len(l) {
				return nil
			}
			v = l[p]
		}
	}
	return v
}

func textAt(v any, path ...any) string {
	s, _ := at(v, path...).(string)
	return s
}

func clone(t testing.TB, v map[string]any) map[string]any {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	m := make(map[string]any)
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// resource is the path of an object's kind in the API.
func resource(t testing.TB, object map[string]any, namespace string) string {
	t.Helper()
	version, kind := textAt(object, "apiVersion"), textAt(object, "kind")
	known := map[string]string{
		"Pod": "pods", "Service": "services", "ServiceAccount": "serviceaccounts", "ConfigMap": "configmaps", "Secret": "secrets",
		"Deployment": "deployments", "StatefulSet": "statefulsets", "DaemonSet": "daemonsets", "Job": "jobs", "CronJob": "cronjobs",
		"PodDisruptionBudget": "poddisruptionbudgets", "NetworkPolicy": "networkpolicies", "Ingress": "ingresses",
		"HorizontalPodAutoscaler": "horizontalpodautoscalers", "Role": "roles", "RoleBinding": "rolebindings",
		"Certificate": "certificates", "Issuer": "issuers", "HTTPRoute": "httproutes", "ServiceMonitor": "servicemonitors", "PodMonitor": "podmonitors",
		"ClusterRole": "/clusterroles", "ClusterRoleBinding": "/clusterrolebindings", "MutatingWebhookConfiguration": "/mutatingwebhookconfigurations",
		"ValidatingAdmissionPolicy": "/validatingadmissionpolicies", "ValidatingAdmissionPolicyBinding": "/validatingadmissionpolicybindings",
		"CustomResourceDefinition": "/customresourcedefinitions",
	}
	plural, ok := known[kind]
	if !ok {
		t.Fatalf("the test does not know the kind %s", kind)
	}
	base := "/apis/" + version
	if version == "v1" {
		base = "/api/v1"
	}
	if strings.HasPrefix(plural, "/") {
		return base + plural
	}
	return fmt.Sprintf("%s/namespaces/%s/%s", base, namespace, plural)
}
