package sim

import (
	"context"
	"net"
	"strings"
)

// DialLocal reaches names below localhost on loopback (RFC 6761, section 6.3),
// which not every resolver does, and other addresses as they are.
func DialLocal(ctx context.Context, network, address string) (net.Conn, error) {
	if host, port, err := net.SplitHostPort(address); err == nil && belowLocalhost(host) {
		address = net.JoinHostPort("localhost", port)
	}
	return new(net.Dialer).DialContext(ctx, network, address)
}

func belowLocalhost(host string) bool { return strings.HasSuffix(strings.ToLower(host), ".localhost") }
