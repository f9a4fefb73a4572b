package k8s_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Kubernetes minors that the chart is rendered for. The API server judges all.
var minors = []string{"1.27.0", "1.29.0", "1.30.0", "1.32.0", "1.34.4"}

// Every values file renders to what the API server takes: every field known,
// no value out of place, nothing given twice.
func TestManifests(t *testing.T) {
	installCRDs(t)
	files, err := filepath.Glob(chart + "/ci/*-values.yaml")
	if err != nil || len(files) < 7 {
		t.Fatalf("%d values files: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			mustHelm(t, "lint", "--strict", chart, "-f", file, "--kube-version", "1.34.4")
			kinds := make(map[string]int)
			for _, minor := range minors {
				for _, object := range documents(t, mustHelm(t, "template", "rel", chart, "-n", "rendered", "-f", file, "--kube-version", minor)) {
					kinds[textAt(object, "kind")]++
					strictly(t, object)
				}
			}
			t.Log(kinds)
		})
	}
}

// strictly has the API server judge an object, without storing it.
func strictly(t *testing.T, object map[string]any) {
	t.Helper()
	if status, _ := kube.call(t, http.MethodGet, "/api/v1/namespaces/rendered", nil); status == http.StatusNotFound {
		kube.namespace(t, "rendered", nil)
	}
	path := resource(t, object, "rendered") + "?dryRun=All&fieldValidation=Strict"
	if status, m := kube.call(t, http.MethodPost, path, object); status != http.StatusCreated {
		t.Errorf("%s %s: %d %v", textAt(object, "kind"), textAt(object, "metadata", "name"), status, m["message"])
	}
}

// What strictly is worth: it sees one wrong key.
func TestStrictlySees(t *testing.T) {
	status, m := kube.call(t, http.MethodPost, "/api/v1/namespaces/default/configmaps?dryRun=All&fieldValidation=Strict",
		map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "x", "lables": map[string]any{}}})
	if status != http.StatusBadRequest || !strings.Contains(fmt.Sprint(m["message"]), "lables") {
		t.Errorf("%d %v", status, m["message"])
	}
}

func installCRDs(t *testing.T) {
	t.Helper()
	var files []string
	for _, pattern := range []string{crds + "/*.yaml", "testdata/crds/*.yaml"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("no CRDs in %s: %v", pattern, err)
		}
		files = append(files, found...)
	}
	for _, file := range files {
		for _, crd := range documents(t, read(t, file)) {
			kube.must(t, http.MethodPost, resource(t, crd, ""), crd)
			group, version := textAt(crd, "spec", "group"), textAt(crd, "spec", "versions", 0, "name")
			eventually(t, "API of "+textAt(crd, "metadata", "name"), func() bool {
				status, _, err := kube.send(http.MethodGet, "/apis/"+group+"/"+version+"/"+textAt(crd, "spec", "names", "plural"), adminToken, nil)
				return err == nil && status == http.StatusOK
			})
		}
	}
}

// One value that is wrong stops helm, with its name.
func TestValuesRefused(t *testing.T) {
	for set, want := range map[string]string{
		"injector.replica=1":                                "replica",
		"injector.replicas=0":                               "replicas",
		"injector.failurePolicy=fail":                       "failurePolicy",
		"injector.nativeSidecar=maybe":                      "nativeSidecar",
		"injector.certificate.mode=acme":                    "mode",
		"injector.certificate.mode=secret":                  "is needed in mode secret",
		"sidecar.ports.outbound=80":                         "outbound",
		"merchants.Shop.config.mchid=x":                     "Shop",
		"merchants.shop.secret=x":                           "config",
		"merchants.shop.config.name=x":                      "merchants/shop/config",
		"merchants.shop.config.mchid=1900000001":            "mchid",
		"grants[0].namespace=a":                             "grants",
		"image.digest=latest":                               "digest",
		"sidecar.extraVolumes[0].name=mine":                 "extraVolumes",
		"gateway.existingSecrets={../keys}":                 "existingSecrets",
		"gateway.existingSecrets={a,a}":                     "existingSecrets",
		"gateway.enabled=true,gateway.ingress.enabled=true": "gateway.ingress.host is needed",
	} {
		out, err := helm(t, "template", "rel", chart, "--kube-version", "1.34.4", "--set", set)
		if err == nil || !strings.Contains(out, want) {
			t.Errorf("--set %s: %v %s", set, err, tail(out))
		}
	}
	if out, err := helm(t, "template", "rel", chart, "--kube-version", "1.26.0"); err == nil || !strings.Contains(out, "incompatible") {
		t.Errorf("on Kubernetes 1.26: %v %s", err, out)
	}
}

// A release leaves nothing behind, and an upgrade no webhook that nobody serves.
func TestUpgradeAndUninstall(t *testing.T) {
	kube.namespace(t, "updown", nil)
	webhooks := func() (names []string) {
		list := kube.must(t, http.MethodGet, "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations?labelSelector=app.kubernetes.io/instance%3Dupdown", nil)
		for _, item := range at(list, "items").([]any) {
			names = append(names, textAt(item, "metadata", "name"))
		}
		return names
	}
	notes := mustHelm(t, "install", "updown", chart, "-n", "updown")
	if !strings.Contains(notes, "No merchant is configured yet") {
		t.Errorf("the notes do not say the next step:\n%s", notes)
	}
	if got := fmt.Sprint(webhooks()); got != "[updown-wxproxy-injector]" {
		t.Fatalf("webhooks %s", got)
	}
	hook := "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/updown-wxproxy-injector"
	kube.must(t, http.MethodPatch, hook, map[string]any{"webhooks": []any{map[string]any{"name": "inject.wxproxy.dev", "clientConfig": map[string]any{"caBundle": caOfTests}}}})
	secret := "/api/v1/namespaces/updown/secrets/updown-wxproxy-injector-tls"
	kube.must(t, http.MethodPatch, secret, map[string]any{"data": map[string]any{"ca.crt": "QQ=="}})

	values := write(t, t.TempDir(), "values.yaml", read(t, chart+"/ci/vault-values.yaml"))
	mustHelm(t, "upgrade", "updown", chart, "-n", "updown", "-f", values, "--set", "monitoring.enabled=false,injector.timeoutSeconds=7")
	after := kube.must(t, http.MethodGet, hook, nil)
	if textAt(after, "webhooks", 0, "clientConfig", "caBundle") != caOfTests || at(after, "webhooks", 0, "timeoutSeconds") != float64(7) {
		t.Errorf("the upgrade lost the CA: %v", at(after, "webhooks", 0))
	}
	if textAt(kube.must(t, http.MethodGet, secret, nil), "data", "ca.crt") != "QQ==" {
		t.Error("the upgrade emptied the Secret")
	}
	mustHelm(t, "upgrade", "updown", chart, "-n", "updown", "--set", "fullnameOverride=other")
	if got := fmt.Sprint(webhooks()); got != "[other-injector]" {
		t.Errorf("after a new name: %s", got)
	}
	mustHelm(t, "upgrade", "updown", chart, "-n", "updown", "--set", "injector.enabled=false")
	if got := webhooks(); len(got) > 0 {
		t.Errorf("without injector: %v", got)
	}
	mustHelm(t, "upgrade", "updown", chart, "-n", "updown", "-f", chart+"/ci/gateway-vault-values.yaml")
	mustHelm(t, "uninstall", "updown", "-n", "updown")
	for _, path := range []string{
		"/api/v1/secrets", "/api/v1/configmaps", "/api/v1/services", "/api/v1/serviceaccounts", "/apis/apps/v1/deployments", "/apis/policy/v1/poddisruptionbudgets",
		"/apis/rbac.authorization.k8s.io/v1/roles", "/apis/rbac.authorization.k8s.io/v1/rolebindings", "/apis/rbac.authorization.k8s.io/v1/clusterroles",
		"/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations", "/apis/networking.k8s.io/v1/networkpolicies",
		"/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies", "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings",
	} {
		list := kube.must(t, http.MethodGet, path+"?labelSelector=app.kubernetes.io/instance%3Dupdown", nil)
		if items := at(list, "items").([]any); len(items) > 0 {
			t.Errorf("%s: %d left behind, the first %s", path, len(items), textAt(items[0], "metadata", "name"))
		}
	}
}

// caOfTests is some certificate, in base64 of PEM.
var caOfTests = func() string {
	text, err := os.ReadFile("testdata/ca.b64")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}()
