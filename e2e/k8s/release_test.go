package k8s_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// release is the chart, installed, with injectors that run as its Deployment
// says, and a balancer at the address of its Service.
type release struct {
	t         *testing.T
	name      string // of release and namespace
	dir       string
	service   *balancer
	injectors []*process
	backends  []backend
}

// install installs the chart with what grants says, and the tests' values
// unless more has others.
func install(t *testing.T, name string, replicas int, grants string, more ...string) *release {
	t.Helper()
	r := &release{t: t, name: name, dir: t.TempDir()}
	kube.namespace(t, name, nil)
	values := write(t, r.dir, "grants.yaml", grants)
	args := []string{"install", name, chart, "-n", name, "-f", values, "--set", "fullnameOverride=" + name}
	if !slices.Contains(more, "-f") {
		args = append(args, "-f", "testdata/values.yaml")
	}
	args = append(args, more...)
	mustHelm(t, args...)
	t.Cleanup(func() { mustHelm(t, "uninstall", name, "-n", name) })
	service := kube.must(t, http.MethodGet, "/api/v1/namespaces/"+name+"/services/"+name+"-injector", nil)
	r.service = startBalancer(t, textAt(service, "spec", "clusterIP")+":443")
	for range replicas {
		r.start()
	}
	r.service.use(r.backends...)
	hook := "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/" + name + "-injector"
	eventually(t, "CA in the webhook configuration", func() bool {
		return textAt(kube.must(t, http.MethodGet, hook, nil), "webhooks", 0, "clientConfig", "caBundle") != ""
	})
	return r
}

// start runs one injector with the arguments of the Deployment; only places
// that are the pod's become those of a process.
func (r *release) start() *process {
	r.t.Helper()
	deployment := kube.must(r.t, http.MethodGet, "/apis/apps/v1/namespaces/"+r.name+"/deployments/"+r.name+"-injector", nil)
	settings := kube.must(r.t, http.MethodGet, "/api/v1/namespaces/"+r.name+"/configmaps/"+r.name+"-injector", nil)
	file := write(r.t, r.dir, "injector.yaml", textAt(settings, "data", "injector.yaml"))
	token := write(r.t, r.dir, "token", kube.token(r.t, r.name, textAt(deployment, "spec", "template", "spec", "serviceAccountName")))
	container := at(deployment, "spec", "template", "spec", "containers", 0)
	var args []string
	for _, a := range at(container, "args").([]any) {
		switch name, _, _ := strings.Cut(a.(string), "="); name {
		case "--settings":
			args = append(args, "--settings="+file)
		case "--listen", "--admin":
			args = append(args, name+"=127.0.0.1:0")
		default:
			args = append(args, a.(string))
		}
	}
	args = append(args, "--kube-api="+kube.url, "--kube-ca="+kube.ca, "--kube-token="+token, "--log-format=text")
	cmd := exec.Command(wxproxy, args...)
	cmd.Env = append(os.Environ(), environment(container)...)
	p := startCmd(r.t, cmd)
	b := backend{p.await(r.t, `for=webhook address=(\S+)`)[1], "http://" + p.await(r.t, `for=admin address=(\S+)`)[1] + "/readyz"}
	eventually(r.t, "injector that is ready", func() bool { return isReady(b.readyz) })
	r.injectors, r.backends = append(r.injectors, p), append(r.backends, b)
	return p
}

// create makes a pod and returns the answer.
func create(t testing.TB, namespace string, pod map[string]any, query string) (int, map[string]any) {
	t.Helper()
	if pod["apiVersion"] == nil {
		pod["apiVersion"], pod["kind"] = "v1", "Pod"
	}
	return kube.call(t, http.MethodPost, "/api/v1/namespaces/"+namespace+"/pods"+query, pod)
}

// injected waits for the API server to know the webhook, which it hears of
// with a delay, and then holds every answer to it.
func (r *release) ready(namespace string, pod map[string]any) {
	r.t.Helper()
	eventually(r.t, "injection", func() bool {
		status, answer := create(r.t, namespace, clone(r.t, pod), "?dryRun=All")
		return status == http.StatusCreated && textAt(answer, "metadata", "annotations", "wxproxy.dev/status") == "injected"
	})
}

// simplePod asks for a sidecar and nothing more.
func simplePod(name, account string) map[string]any {
	return map[string]any{
		"metadata": map[string]any{"name": name, "labels": map[string]any{"wxproxy.dev/inject": "true"}},
		"spec":     map[string]any{"serviceAccountName": account, "containers": []any{map[string]any{"name": "app", "image": "app"}}},
	}
}

func grant(namespace, account string, merchants ...string) string {
	return fmt.Sprintf("  - {namespace: %s, service_accounts: [%s], merchants: [%s]}\n", namespace, account, strings.Join(merchants, ", "))
}
