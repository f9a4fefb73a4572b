package main

import (
	"context"
	"net"

	"golang.org/x/sys/unix"

	"github.com/wxproxy/wxproxy/proxy"
)

// withPeer asks the kernel for the user ID of the connected process.
func withPeer(ctx context.Context, c *net.UnixConn) context.Context {
	raw, err := c.SyscallConn()
	if err != nil {
		return ctx
	}
	var credentials *unix.Ucred
	controlErr := raw.Control(func(fd uintptr) {
		credentials, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if controlErr != nil || err != nil {
		return ctx
	}
	return proxy.WithPeerUID(ctx, credentials.Uid)
}
