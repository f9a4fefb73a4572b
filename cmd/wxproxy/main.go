// Command wxproxy stands beside an application and takes WeChat Pay APIv3's
// cryptography out of it.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
)

// Exit codes of every subcommand.
const (
	exitFine   = 0
	exitFailed = 1
	exitUsage  = 2 // bad usage or bad config
)

const usage = `wxproxy takes WeChat Pay APIv3 cryptography out of your application.

  wxproxy demo                   the whole story on this machine, no account needed
  wxproxy serve  -c FILE         the sidecar
  wxproxy check  -c FILE         config, keys, certificates, clock, reachability
  wxproxy trust  -c FILE         how to trust the certificate of notify.tls.mode internal
  wxproxy sim                    a simulated WeChat Pay for your own tests
  wxproxy trigger EVENT --to URL one real, encrypted, signed notify
  wxproxy quit   -c FILE         asks a running serve to drain and end
  wxproxy injector               the Kubernetes admission webhook; patch: the same offline
  wxproxy version

wxproxy COMMAND -h tells more.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is main without the process: it returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(stderr, usage)
		return exitUsage
	}
	switch command, rest := args[0], args[1:]; command {
	case "demo":
		return runDemo(ctx, rest, stdout, stderr)
	case "serve":
		return runServe(ctx, rest, stdout, stderr)
	case "check":
		return runCheck(ctx, rest, stdout, stderr)
	case "trust":
		return runTrust(ctx, rest, stdout, stderr)
	case "sim":
		return runSim(ctx, rest, stdout, stderr)
	case "trigger":
		return runTrigger(ctx, rest, stdout, stderr)
	case "quit":
		return runQuit(ctx, rest, stderr)
	case "injector":
		return runInjector(ctx, rest, os.Stdin, stdout, stderr)
	case "version", "--version", "-version":
		fmt.Fprintln(stdout, version())
		return exitFine
	case "help", "-h", "--help":
		fmt.Fprint(stdout, usage)
		return exitFine
	default:
		fmt.Fprintf(stderr, "wxproxy: unknown command %q\n\n%s", command, usage)
		return exitUsage
	}
}

// version is what the Go toolchain stamped into the binary.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "wxproxy (unknown version)"
	}
	var text strings.Builder
	text.WriteString("wxproxy " + info.Main.Version + " " + info.GoVersion)
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			text.WriteString(" " + s.Value)
		}
	}
	return text.String()
}
