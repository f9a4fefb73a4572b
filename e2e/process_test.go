//go:build e2e

package e2e

import (
	"context"
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

// patience is how long anything may take before a test gives up on it.
const patience = time.Minute

// binary is the wxproxy under test, built once.
var binary string

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "wxproxy-e2e-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	binary = filepath.Join(dir, "wxproxy")
	if out, err := exec.Command("go", "build", "-trimpath", "-o", binary, "../cmd/wxproxy").CombinedOutput(); err != nil {
		return 1, fmt.Errorf("building wxproxy: %w\n%s", err, out)
	}
	return m.Run(), nil
}

// process is a running wxproxy. It is killed at the test's end.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	out    *transcript // both streams
	exited chan struct{}
}

// start runs wxproxy with a clean environment.
func start(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(binary, args...), out: newTranscript(), exited: make(chan struct{})}
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}, env...)
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // the exit code is read from ProcessState
		close(p.exited)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.exited
		if t.Failed() {
			t.Logf("wxproxy %s:\n%s", args[0], p.out)
		}
	})
	return p
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// code waits for the end of the process.
func (p *process) code() int {
	p.t.Helper()
	select {
	case <-p.exited:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		p.t.Fatalf("wxproxy did not exit:\n%s", p.out)
		return -1
	}
}

// stop ends the process as an operator does.
func (p *process) stop() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	if code := p.code(); code != 0 {
		p.t.Fatalf("exit code %d after SIGTERM, want 0:\n%s", code, p.out)
	}
}

// output runs a command to its end.
func output(t *testing.T, env []string, args ...string) (code int, text string) {
	t.Helper()
	p := start(t, env, args...)
	return p.code(), p.out.String()
}

// transcript is what a process wrote. Tests wait for its growth.
type transcript struct {
	mu sync.Mutex

	text  strings.Builder
	grown chan struct{} // closed and replaced at each write
}

func newTranscript() *transcript { return &transcript{grown: make(chan struct{})} }

func (o *transcript) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.grown)
	o.grown = make(chan struct{})
	return o.text.Write(b)
}

func (o *transcript) String() string {
	text, _ := o.now()
	return text
}

func (o *transcript) now() (text string, grown <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String(), o.grown
}

// mark is the present end, for await.
func (o *transcript) mark() int { return len(o.String()) }

// await waits until the text behind mark matches and returns the submatches.
func (o *transcript) await(t *testing.T, mark int, pattern string) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	re := regexp.MustCompile(pattern)
	for {
		text, grown := o.now()
		if found := re.FindStringSubmatch(text[mark:]); found != nil {
			return found
		}
		select {
		case <-grown:
		case <-ctx.Done():
			t.Fatalf("nothing like %s in:\n%s", pattern, text[mark:])
		}
	}
}
