package secret_test

import (
	"fmt"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/wxproxy/wxproxy/internal/secret"
)

// The process that is hardened is a child: the limit cannot be raised again,
// and test tools may want to look into this one.
const hardenChild = "SECRET_TEST_HARDEN_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(hardenChild) == "" {
		os.Exit(m.Run())
	}
	err := secret.HardenProcess()
	var core unix.Rlimit
	limitErr := unix.Getrlimit(unix.RLIMIT_CORE, &core)
	dumpable, dumpErr := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	fmt.Printf("%v %v %v dumpable=%d core=%d/%d", err, limitErr, dumpErr, dumpable, core.Cur, core.Max)
}

func TestHardenProcess(t *testing.T) {
	t.Parallel()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), hardenChild+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if got, want := string(out), "<nil> <nil> <nil> dumpable=0 core=0/0"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
