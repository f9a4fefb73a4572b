package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/wxproxy/wxproxy/internal/sim"
	"golang.org/x/sync/errgroup"
)

const simUsage = `wxproxy sim: a simulated WeChat Pay for tests of your own.

It verifies requests, keeps orders and refunds, and sends encrypted, signed
notifies. No money moves. GET /_sim/help on its address tells what it does on
command.

`

// simFlags is the command line of wxproxy sim.
type simFlags struct {
	listen       string
	unsafeListen bool
	app          string
	ca           string
	options      sim.Options
}

// runSim serves the simulator until ctx ends.
func runSim(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	f, err := parseSimFlags(args, stdout, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitFine
	case err != nil:
		fmt.Fprintln(stderr, "wxproxy sim:", err)
		return exitUsage
	}
	f.options.Log = slog.New(slog.NewTextHandler(stderr, nil))
	err = f.run(ctx, stdout)
	if err == nil {
		return exitFine
	}
	fmt.Fprintln(stderr, "wxproxy sim:", err)
	if errors.Is(err, sim.ErrOptions) {
		return exitUsage
	}
	return exitFailed
}

func parseSimFlags(args []string, stdout, stderr io.Writer) (*simFlags, error) {
	f := &simFlags{}
	set := newFlagSet("wxproxy sim", simUsage, stdout, stderr)
	set.StringVar(&f.listen, "listen", "127.0.0.1:8088", "`address` of the API and the control API")
	set.BoolVar(&f.unsafeListen, "unsafe-listen", false, "allow an address that other machines can reach")
	set.StringVar(&f.app, "notify-app", "http://127.0.0.1:3000/notify", "`URL` of your app's notify endpoint, for the config written to --dir")
	set.StringVar(&f.options.Dir, "dir", "", "`directory` for credentials and a config of wxproxy serve, kept between starts")
	set.Float64Var(&f.options.SpeedUp, "speed-up", 60, "divide the delays of WeChat Pay's notify schedule by this")
	set.DurationVar(&f.options.AutoPay, "auto-pay", 0, "pay orders this long after they were made; 0: only on command")
	set.DurationVar(&f.options.RefundDelay, "refund-delay", 500*time.Millisecond, "how long a refund is processed; negative: until a command")
	set.IntVar(&f.options.Count, "merchants", 1, "`number` of merchants; those beyond the first share one RSA key")
	set.BoolVar(&f.options.PublicKeyOnly, "public-key-only", false, "be a merchant without platform certificates, as new ones are")
	set.StringVar(&f.options.NotifyBase, "notify-base", "", "`URL` that replaces scheme, host and port of every notify_url, as in http://127.0.0.1:8443")
	set.StringVar(&f.ca, "ca", "", "`file` with the certificates that may sign the receiver's, as wxproxy trust names it; read at each delivery; default: the system's")
	set.BoolVar(&f.options.AllowRemoteNotify, "allow-remote-notify", false, "deliver notifies to other machines too")
	if err := set.Parse(args); err != nil {
		return nil, err
	}
	if set.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", set.Arg(0))
	}
	f.options.Client = &http.Client{Transport: lateReceiver{f.ca}}
	if f.options.Count < 1 || f.options.Count > 4096 {
		return nil, errors.New("--merchants must be 1 to 4096")
	}
	if f.options.SpeedUp <= 0 {
		return nil, errors.New("--speed-up must be above 0")
	}
	if !f.unsafeListen && !loopbackAddress(f.listen) {
		return nil, fmt.Errorf("--listen %q can be reached from other machines, which could then order what they like; "+
			"use a loopback address, or add --unsafe-listen", f.listen)
	}
	return f, nil
}

// commandLine is a flag set that prints its help to stdout when it is asked
// for, and leaves errors to its caller.
type commandLine struct {
	*flag.FlagSet

	help           string
	stdout, stderr io.Writer
}

func newFlagSet(name, help string, stdout, stderr io.Writer) *commandLine {
	set := flag.NewFlagSet(name, flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.Usage = func() {}
	return &commandLine{set, help, stdout, stderr}
}

// Parse hides FlagSet.Parse, which prints the help for every mistake.
func (c *commandLine) Parse(args []string) error {
	err := c.FlagSet.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(c.stdout, c.help)
		c.SetOutput(c.stdout)
		c.PrintDefaults()
	case err != nil:
		fmt.Fprintf(c.stderr, "%s -h lists the flags\n", c.Name())
	}
	return err
}

func loopbackAddress(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

func (f *simFlags) run(ctx context.Context, stdout io.Writer) error {
	s, err := sim.New(f.options)
	if err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", f.listen)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	base := "http://" + reachable(listener.Addr())
	if dir := f.options.Dir; dir != "" {
		if err := s.WriteDir(dir, sim.Wiring{Upstream: base, App: f.app}); err != nil {
			return errors.Join(err, listener.Close())
		}
	}
	f.greet(stdout, s, base)
	server := &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      3 * time.Minute, // above the longest delay that can be ordered
		IdleTimeout:       sim.IdleTimeout,
		MaxHeaderBytes:    64 << 10,
	}
	tasks, life := errgroup.WithContext(ctx)
	tasks.Go(func() error { return s.Run(life) })
	tasks.Go(func() error {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serving: %w", err)
		}
		return nil
	})
	tasks.Go(func() error {
		<-life.Done()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if server.Shutdown(grace) != nil { // a slow answer was ordered: it need not end
			return server.Close()
		}
		return nil
	})
	return tasks.Wait()
}

// reachable is the address as a client on this machine writes it.
func reachable(a net.Addr) string {
	host, port, err := net.SplitHostPort(a.String())
	if ip, parsed := netip.ParseAddr(host); err == nil && parsed == nil && ip.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return a.String()
}

func (f *simFlags) greet(w io.Writer, s *sim.Sim, base string) {
	all := s.Overview().Merchants
	m := all[0]
	fmt.Fprintf(w, "simulated WeChat Pay on %s\n  merchant %s, certificate %s\n  help: curl %s/_sim/help\n", base, m.MchID, m.SerialNo, base)
	if more := len(all) - 1; more > 0 {
		fmt.Fprintf(w, "  and %d more, to %s\n", more, all[more].MchID)
	}
	if dir := f.options.Dir; dir != "" {
		fmt.Fprintf(w, "  credentials and wxproxy.yaml in %s: wxproxy serve -c %s/wxproxy.yaml\n", dir, dir)
	} else {
		fmt.Fprintf(w, "  the keys are in memory only; --dir DIR writes them out, with a config for wxproxy serve\n")
	}
}
