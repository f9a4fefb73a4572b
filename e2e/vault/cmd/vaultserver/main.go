// Command vaultserver is a real HashiCorp Vault for tests: the core of the
// open-source server, with KV (v1 and v2), Transit, AppRole and Kubernetes
// auth, on storage that survives kill -9, behind its own HTTP API.
//
// It differs from `vault server` in what it leaves out: plugins for clouds and
// databases (build with -tags minimal), the configuration file, the agent and
// the UI. Namespaces are a feature of Vault Enterprise and are not here.
//
// The first start initialises the storage and writes DIR/init.json, which has
// the unseal key and the root token: a file for tests, never for production.
// Standard output gets one line of JSON when the server listens.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// options is the command line.
type options struct {
	dir      string
	listen   string
	tls      bool
	mutual   bool
	sealed   bool
	logLevel string
}

// greeting is the line on standard output.
type greeting struct {
	Address string `json:"address"`
	CA      string `json:"ca,omitempty"` // path of the certificate that vouches for the server
	Init    string `json:"init"`         // path of the file with unseal key and root token
	Sealed  bool   `json:"sealed"`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		stop()
		fmt.Fprintln(os.Stderr, "vaultserver:", err)
		os.Exit(1)
	}
}

func parse(args []string, stderr io.Writer) (o options, err error) {
	set := flag.NewFlagSet("vaultserver", flag.ContinueOnError)
	set.SetOutput(stderr)
	set.StringVar(&o.dir, "dir", "", "`directory` of storage, certificates and init.json; kept between starts")
	set.StringVar(&o.listen, "listen", "127.0.0.1:0", "loopback `address`")
	set.BoolVar(&o.tls, "tls", false, "speak TLS, with a certificate of the server's own CA, DIR/ca.pem")
	set.BoolVar(&o.mutual, "mutual-tls", false, "speak TLS and ask for a certificate of that CA, such as DIR/client.pem with DIR/client-key.pem")
	set.BoolVar(&o.sealed, "sealed", false, "stay sealed after the start, as a real Vault does; the first start is always unsealed")
	set.StringVar(&o.logLevel, "log-level", "warn", "trace, debug, info, warn or error")
	if err := set.Parse(args); err != nil {
		return o, err
	}
	if o.dir == "" || set.NArg() > 0 {
		return o, errors.New("usage: vaultserver --dir DIR [--listen ADDRESS] [--tls|--mutual-tls] [--sealed]")
	}
	return o, requireLoopback(o.listen)
}

// requireLoopback: this server has a root token in a file.
func requireLoopback(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return errors.New("--listen must have a loopback IP address: the keys of this server lie in a file")
	}
	return nil
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	v, err := open(ctx, o, stderr)
	if err != nil {
		return err
	}
	defer v.close()
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.listen)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	hello := greeting{Address: "http://" + listener.Addr().String(), Init: v.initFile, Sealed: v.core.Sealed()}
	if o.tls || o.mutual {
		hello.Address = "https://" + listener.Addr().String()
		if listener, hello.CA, err = secure(listener, o.dir, o.mutual); err != nil {
			return err
		}
	}
	server := &http.Server{Handler: v.handler(), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 5 * time.Minute}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	if err := json.NewEncoder(stdout).Encode(hello); err != nil {
		return err
	}
	select {
	case err := <-failed:
		return fmt.Errorf("serving: %w", err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return server.Shutdown(grace)
}
