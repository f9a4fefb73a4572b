package k8s_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Here a pod that the API server admitted is run as its kubelet would: real
// processes, in Kubernetes' order, the sidecar in a root directory that holds
// the binary and the pod's volumes and nothing else, as a user without rights.

// sandbox is a running pod.
type sandbox struct {
	t    *testing.T
	pod  map[string]any
	root string // of the sidecar
	keys string // content of the Secret
}

// sidecar is the pod's container of ours.
func (s *sandbox) sidecar() map[string]any {
	for _, list := range []string{"initContainers", "containers"} {
		l, _ := at(s.pod, "spec", list).([]any)
		for _, c := range l {
			if textAt(c, "name") == "wxproxy" {
				return c.(map[string]any)
			}
		}
	}
	s.t.Fatal("the pod has no sidecar")
	return nil
}

// mount makes the volumes of the sidecar, each where it is mounted.
func (s *sandbox) mount() {
	s.t.Helper()
	for _, m := range at(s.sidecar(), "volumeMounts").([]any) {
		dir := filepath.Join(s.root, textAt(m, "mountPath"))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			s.t.Fatal(err)
		}
		for _, v := range at(s.pod, "spec", "volumes").([]any) {
			switch {
			case textAt(v, "name") != textAt(m, "name"):
			case at(v, "emptyDir") != nil:
				if err := os.Chmod(dir, 0o777); err != nil {
					s.t.Fatal(err)
				}
			case at(v, "secret") != nil:
				for _, name := range []string{"apiclient_cert.pem", "apiclient_key.pem", "apiv3_key", "pub_key.pem"} {
					write(s.t, dir, name, read(s.t, filepath.Join(s.keys, name)))
				}
			}
		}
	}
	if err := os.WriteFile(filepath.Join(s.root, "wxproxy"), []byte(read(s.t, wxproxy)), 0o755); err != nil {
		s.t.Fatal(err)
	}
}

// environment is what a container gets: that which the pod says.
func environment(container any) (list []string) {
	env, _ := at(container, "env").([]any)
	for _, e := range env {
		list = append(list, textAt(e, "name")+"="+textAt(e, "value"))
	}
	return list
}

// run starts the sidecar as its container says. The image's entry point is
// /wxproxy.
func (s *sandbox) run() *process {
	s.t.Helper()
	c := s.sidecar()
	cmd := &exec.Cmd{Path: "/wxproxy", Args: []string{"/wxproxy"}, Env: environment(c), Dir: "/"}
	for _, a := range at(c, "args").([]any) {
		cmd.Args = append(cmd.Args, a.(string))
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: s.root}
	if strings.Contains(read(s.t, "/proc/self/uid_map"), "4294967295") {
		uid := uint32(at(c, "securityContext", "runAsUser").(float64))
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uid, Gid: uid}
	} else {
		s.t.Log("in a user namespace: the sidecar runs as the user of the tests, not as 65532")
	}
	return startCmd(s.t, cmd)
}

// probe waits for the container's startup probe, as a kubelet does.
func (s *sandbox) probe() {
	s.t.Helper()
	c := s.sidecar()
	name := textAt(c, "startupProbe", "httpGet", "port")
	for _, p := range at(c, "ports").([]any) {
		if textAt(p, "name") == name {
			url := fmt.Sprintf("http://127.0.0.1:%v%s", at(p, "containerPort"), textAt(c, "startupProbe", "httpGet", "path"))
			eventually(s.t, "successful startup probe", func() bool { return isReady(url) })
			return
		}
	}
	s.t.Fatalf("no port named %q", name)
}

// app starts the pod's app with the environment of its container.
func (s *sandbox) app(kind string) *process {
	s.t.Helper()
	self, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command(self)
	for _, c := range at(s.pod, "spec", "containers").([]any) {
		if textAt(c, "name") == "app" {
			cmd.Env = environment(c)
		}
	}
	cmd.Env = append(cmd.Env, asApp+"="+kind, "APP_PORT=3000", "APP_ROOT="+s.root, "NOTIFY_ADDRESS=127.0.0.1:18443")
	return startCmd(s.t, cmd)
}

func code(p *process) int { return p.cmd.ProcessState.ExitCode() }

// admitted has a pod admitted by the API server and the injector.
func admitted(t *testing.T, w *wechat, name, native string, pod map[string]any) *sandbox {
	t.Helper()
	ns := "run-" + name
	kube.namespace(t, ns, nil, "web")
	values := write(t, t.TempDir(), "values.yaml", fmt.Sprintf(`
merchants:
  till:
    secret: wxproxy-till
    config:
      certificate: file:/etc/wxproxy/till/apiclient_cert.pem
      private_key: file:/etc/wxproxy/till/apiclient_key.pem
      apiv3_key: file:/etc/wxproxy/till/apiv3_key
      platform: {public_key: "file:/etc/wxproxy/till/pub_key.pem", public_key_id: %s}
sidecar: {config: {outbound: {upstreams: ["%s"]}}}
`, w.publicKeyID, w.url))
	r := install(t, "wx-"+name, 1, "grants:\n"+grant(ns, "web", "till"), "-f", values, "--set-string", "injector.nativeSidecar="+native)
	r.ready(ns, simplePod("first", "web"))
	status, answer := create(t, ns, pod, "")
	if status != http.StatusCreated {
		t.Fatalf("%d %v", status, answer["message"])
	}
	s := &sandbox{t: t, pod: answer, root: filepath.Join(t.TempDir(), "root"), keys: w.dir}
	s.mount()
	for dir := s.root; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil { // the user without rights must get there
			t.Fatal(err)
		}
	}
	return s
}

func shopPod(annotations map[string]any, grace int) map[string]any {
	pod := simplePod("shop", "web")
	pod["metadata"].(map[string]any)["annotations"] = annotations
	pod["spec"].(map[string]any)["terminationGracePeriodSeconds"] = grace
	return pod
}

const notifyURL = "http://127.0.0.1:18443/notify/shop"

var notified = map[string]any{"wxproxy.dev/app-port": "3000", "wxproxy.dev/notify-path": "/notify/shop", "wxproxy.dev/app-path": "/wechat/paid"}

func taken(t *testing.T, w *wechat, id string) {
	t.Helper()
	eventually(t, "taken notify", func() bool {
		for _, d := range w.deliveries() {
			if d.NotifyID == id && d.Verdict == "taken" {
				return true
			}
		}
		return false
	})
}

// A native sidecar starts before the app and is told to stop when the app has
// ended, so that the app's last call still works.
func TestNativePodRuns(t *testing.T) {
	w := startWeChat(t)
	s := admitted(t, w, "native", "auto", shopPod(notified, 30))
	sidecar := s.run()
	s.probe()
	app := s.app("alone")
	app.await(t, "first call: 200 verified=true")
	app.await(t, "listening")
	taken(t, w, w.notify(notifyURL))
	app.await(t, "notify at /wechat/paid TRANSACTION.SUCCESS")
	app.terminate(t)
	app.await(t, "last call: 200 verified=true\napp: done")
	sidecar.terminate(t)
	if code(app) != 0 || code(sidecar) != 0 {
		t.Errorf("exit codes: app %d, sidecar %d", code(app), code(sidecar))
	}
}

// With the socket, the app needs no port.
func TestSocketPodRuns(t *testing.T) {
	w := startWeChat(t)
	s := admitted(t, w, "socket", "auto", shopPod(map[string]any{"wxproxy.dev/socket": "true"}, 30))
	sidecar := s.run()
	s.probe()
	app := s.app("alone")
	app.await(t, "first call: 200 verified=true")
	if c, err := net.Dial("tcp", "127.0.0.1:18080"); err == nil {
		_ = c.Close()
		t.Error("the outbound port is open, too")
	}
	app.await(t, "listening")
	app.terminate(t)
	sidecar.terminate(t)
	if code(app) != 0 || code(sidecar) != 0 {
		t.Errorf("exit codes: app %d, sidecar %d", code(app), code(sidecar))
	}
}

// A plain container is told to stop at the same time as the app: notify stops
// first, and the app still calls.
func TestPlainPodRuns(t *testing.T) {
	w := startWeChat(t)
	s := admitted(t, w, "plain", "false", shopPod(notified, 12))
	sidecar := s.run()
	s.probe()
	app := s.app("together")
	app.await(t, "listening")
	taken(t, w, w.notify(notifyURL))
	for _, p := range []*process{sidecar, app} {
		if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
	}
	app.await(t, "notify has stopped\napp: last call: 200 verified=true\napp: done")
	app.ended(t)
	sidecar.ended(t)
	if code(app) != 0 || code(sidecar) != 0 {
		t.Errorf("exit codes: app %d, sidecar %d", code(app), code(sidecar))
	}
}

// A job on a cluster without native sidecars ends: its last step tells the
// sidecar.
func TestPlainJobEnds(t *testing.T) {
	w := startWeChat(t)
	pod := simplePod("bill", "web")
	pod["spec"].(map[string]any)["restartPolicy"] = "Never"
	s := admitted(t, w, "job", "false", pod)
	sidecar := s.run()
	s.probe()
	job := s.app("job")
	job.ended(t)
	job.await(t, `quit: 200 \{\s*"quitting": true`)
	sidecar.ended(t)
	if code(job) != 0 || code(sidecar) != 0 {
		t.Errorf("exit codes: job %d, sidecar %d", code(job), code(sidecar))
	}
}
