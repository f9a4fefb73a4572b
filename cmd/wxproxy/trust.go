package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"

	"github.com/wxproxy/wxproxy/internal/config"
	"github.com/wxproxy/wxproxy/internal/doorcert"
	"github.com/wxproxy/wxproxy/internal/sim"
)

// runTrust prints how clients are told to trust the development certificate,
// and makes its CA if serve has not yet.
func runTrust(_ context.Context, args []string, stdout, stderr io.Writer) int {
	source, code := parseConfigFlags("trust", args, stderr, nil)
	if source == nil {
		return code
	}
	cfg, err := source.load()
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitUsage
	}
	if mode := cfg.Notify.TLS.Mode; mode != config.TLSInternal {
		fmt.Fprintf(stderr, "wxproxy trust: notify.tls.mode is %s; only the certificates of mode internal need to be trusted by hand\n", mode)
		return exitUsage
	}
	internal, err := openInternal(cfg, doorOptions(cfg))
	if err == nil {
		err = doorcert.Trust(stdout, doorcert.Trial{
			CA: internal.Root, URL: callbackURL(cfg.Notify), Path: firstPath(cfg.Notify), Credentials: sandboxOf(source.path),
		})
	}
	if err != nil {
		fmt.Fprintln(stderr, "wxproxy trust:", err)
		return exitFailed
	}
	return exitFine
}

// firstPath is one that the notify port takes.
func firstPath(n config.Notify) string {
	if len(n.Routes) == 0 {
		return "/"
	}
	return n.Routes[0].Path
}

// sandboxOf is the directory of a config when wxproxy sim made it.
func sandboxOf(file string) string {
	dir := filepath.Dir(file)
	if _, err := sim.ReadDir(dir); err != nil {
		return "./sandbox"
	}
	return dir
}

// callbackURL is where the notify port is reached: public_url, or its first
// name and port.
func callbackURL(n config.Notify) string {
	if n.PublicURL != "" {
		return strings.TrimSuffix(n.PublicURL, "/")
	}
	host := n.TLSNames()[0]
	if _, port, err := net.SplitHostPort(n.Listen); err == nil && port != "443" {
		host = net.JoinHostPort(host, port)
	}
	return "https://" + host
}
