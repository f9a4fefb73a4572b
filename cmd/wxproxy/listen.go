package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/pires/go-proxyproto"

	"github.com/wxproxy/wxproxy/internal/config"
)

// listen opens an address of the config. A Unix socket gets the mode, and one
// that a dead process left behind is removed; a live one is not.
func listen(address string, mode fs.FileMode) (net.Listener, error) {
	network, where, err := config.ParseAddress(address)
	if err != nil {
		return nil, err
	}
	if network != "unix" {
		return net.Listen(network, where)
	}
	if err := removeDeadSocket(where); err != nil {
		return nil, err
	}
	l, err := net.Listen(network, where)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(where, mode); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// announced believes what trusted proxies, and whoever may use a socket, say
// by the PROXY protocol of who is at the other end. What others say is not
// read as such: it is neither TLS nor HTTP, and ends their connection.
func announced(l net.Listener, trusted []netip.Prefix) net.Listener {
	policy := func(o proxyproto.ConnPolicyOptions) (proxyproto.Policy, error) {
		peer, err := netip.ParseAddrPort(o.Upstream.String())
		from := peer.Addr().Unmap()
		if l.Addr().Network() == "unix" || err == nil && slices.ContainsFunc(trusted, func(p netip.Prefix) bool { return p.Contains(from) }) {
			return proxyproto.USE, nil
		}
		return proxyproto.SKIP, nil
	}
	return &proxyproto.Listener{Listener: l, ConnPolicy: policy, ReadHeaderTimeout: 5 * time.Second}
}

func removeDeadSocket(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode()&fs.ModeSocket == 0 {
		return fmt.Errorf("%s exists and is not a socket; remove it or choose another path", path)
	}
	if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
		_ = c.Close()
		return fmt.Errorf("%s is in use by another process", path)
	}
	return os.Remove(path)
}

// headerTimeout bounds a TLS handshake with the headers of a first request, and
// those of each further one.
const headerTimeout = 10 * time.Second

// newServer has the bounds that every server here needs; handlers set the
// deadlines of bodies themselves, since downloads may last.
func newServer(h http.Handler, maxHeader int, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       120 * time.Second,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		ConnContext:       peerContext,
		// An OPTIONS * request has no business here, and the handler says so.
		DisableGeneralOptionsHandler: true,
	}
}

// peerContext notes who is at the other end of a Unix socket.
func peerContext(ctx context.Context, c net.Conn) context.Context {
	if u, ok := c.(*net.UnixConn); ok {
		return withPeer(ctx, u)
	}
	return ctx
}
