package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

const injectorPod = "kind: Pod\nmetadata: {labels: {wxproxy.dev/inject: \"true\"}}\nspec: {serviceAccountName: web, containers: [{name: app}]}\n"

func runInjectorWith(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = runInjector(t.Context(), args, strings.NewReader(stdin), &out, &err)
	return code, out.String(), err.String()
}

func TestInjectorPatch(t *testing.T) {
	t.Parallel()
	const settings = "../../internal/injector/testdata/settings.yaml"
	code, out, stderr := runInjectorWith(t, injectorPod, "patch", "--settings", settings, "--namespace", "shop")
	if code != exitFine || !strings.Contains(out, "restartPolicy: Always") || stderr != "" {
		t.Errorf("%d %s %s", code, out, stderr)
	}
	if code, out, _ = runInjectorWith(t, injectorPod, "patch", "--settings", settings, "--namespace", "shop", "--native", "false"); code != exitFine || strings.Contains(out, "restartPolicy") {
		t.Errorf("%d %s", code, out)
	}
	if code, _, stderr = runInjectorWith(t, injectorPod, "patch", "--settings", settings); code != exitFailed || !strings.Contains(stderr, `namespace "default" has no merchant`) {
		t.Errorf("%d %s", code, stderr)
	}
	if code, out, stderr = runInjectorWith(t, "kind: Pod\n", "patch", "--settings", settings); code != exitFine || out != "kind: Pod\n" || !strings.Contains(stderr, "nothing was changed") {
		t.Errorf("%d %s %s", code, out, stderr)
	}
}

// A config that every sidecar would refuse is refused here, with the key.
func TestInjectorRefusesSidecarConfigs(t *testing.T) {
	t.Parallel()
	good, err := os.ReadFile("../../internal/injector/testdata/settings.yaml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write(t, dir, "injector.yaml", bytes.Replace(good, []byte("apiv3_key: vault:"), []byte("apiv3key: vault:"), 1))
	code, _, stderr := runInjectorWith(t, "", "patch", "--settings", dir+"/injector.yaml")
	if code != exitUsage || !strings.Contains(stderr, "merchant shop would be refused") || !strings.Contains(stderr, "apiv3key") {
		t.Errorf("%d %s", code, stderr)
	}
}

func TestInjectorUsage(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ args, want string }{
		{"", "give either --tls-cert"},
		{"--tls-cert a --tls-key b --secret n/s", "give either --tls-cert"},
		{"--tls-cert a", "go together"},
		{"--secret s --webhook w --dns-names d", "go together"},
		{"--native perhaps", "auto, true or false"},
		{"--tls-cert a --tls-key b --log-level all", "--log-level"},
		{"--tls-cert a --tls-key b --settings /nowhere", "no such file"},
		{"--tls-cert a --tls-key b extra", "unexpected argument"},
	} {
		if code, _, stderr := runInjectorWith(t, "", strings.Fields(row.args)...); code != exitUsage || !strings.Contains(stderr, row.want) {
			t.Errorf("%s: %d %s, want %s", row.args, code, stderr, row.want)
		}
	}
	if code, out, _ := runInjectorWith(t, "", "-h"); code != exitFine || !strings.Contains(out, "patch --settings") {
		t.Errorf("help: %d %s", code, out)
	}
}
