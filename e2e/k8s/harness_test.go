// Package k8s_test runs the chart and the injector with a real Kubernetes API
// server and real Helm. It is a module of its own, so that Kubernetes never
// enters the graph of wxproxy; .ci/k8s builds the server and runs the tests in
// a network namespace, where the addresses of Services are local.
package k8s_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const patience = 60 * time.Second

// What .ci/k8s hands over.
var (
	apiserver = os.Getenv("APISERVER")
	helmTool  = os.Getenv("HELM")
	crds      = os.Getenv("CRDS")
	wxproxy   = os.Getenv("WXPROXY")
)

const chart = "../../charts/wxproxy"

// kube is the one API server of all tests.
var kube *cluster

func TestMain(m *testing.M) {
	if os.Getenv(asApp) != "" {
		if err := app(); err != nil {
			fmt.Println("app:", err)
			os.Exit(1)
		}
		return
	}
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	if apiserver == "" || helmTool == "" || crds == "" || wxproxy == "" {
		return 1, errors.New("APISERVER, HELM, CRDS or WXPROXY is not set: run .ci/k8s")
	}
	dir, err := os.MkdirTemp("", "wxproxy-k8s-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	began := time.Now()
	kube, err = startCluster(dir)
	defer func() {
		if kube != nil {
			kube.stop()
		}
	}()
	if err != nil {
		return 1, err
	}
	fmt.Printf("kube-apiserver ready after %v\n", time.Since(began).Round(100*time.Millisecond))
	return m.Run(), nil
}

// process is a running program whose output is kept.
type process struct {
	name   string
	cmd    *exec.Cmd
	exited chan struct{}

	mu  sync.Mutex
	out bytes.Buffer
}

func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

func (p *process) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// launch starts a command whose Env and Dir are set.
func launch(cmd *exec.Cmd) (*process, error) {
	p := &process{name: filepath.Base(cmd.Path), cmd: cmd, exited: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p, p
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL // nothing outlives the tests
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = cmd.Wait()
		close(p.exited)
	}()
	return p, nil
}

func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(wxproxy, args...)
	cmd.Dir = t.TempDir()
	cmd.Env = []string{"HOME=" + cmd.Dir}
	return cmd
}

// start runs wxproxy until the test ends.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	return startCmd(t, command(t, args...))
}

func startCmd(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p, err := launch(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("%s:\n%s", strings.Join(cmd.Args, " "), tail(p.text()))
		}
	})
	return p
}

func tail(s string) string {
	if len(s) > 6000 {
		return "…" + s[len(s)-6000:]
	}
	return s
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.exited
}

// terminate asks the process to end, and waits for that.
func (p *process) terminate(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.ended(t)
}

func (p *process) ended(t *testing.T) {
	t.Helper()
	select {
	case <-p.exited:
	case <-time.After(patience):
		t.Fatalf("%s did not end:\n%s", p.name, tail(p.text()))
	}
}

// await waits until the output matches.
func (p *process) await(t *testing.T, pattern string) []string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	var found []string
	eventually(t, "output like "+pattern, func() bool {
		ended := false
		select {
		case <-p.exited:
			ended = true
		default:
		}
		found = re.FindStringSubmatch(p.text())
		if found == nil && ended {
			t.Fatalf("%s ended before its output was like %s", p.name, pattern)
		}
		return found != nil
	})
	return found
}

// eventually polls, since what is waited for happens in another process.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no %s", what)
		}
	}
}

func write(t testing.TB, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func read(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func mkdir(t testing.TB, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
}
