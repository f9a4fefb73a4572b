package doorcert_test

import (
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/wxproxy/wxproxy/internal/doorcert/acmetest"
)

// Addresses are proved by either challenge, though TLS cannot name them.
func TestACMEForAnAddress(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"127.0.0.1", "::1"} {
		for _, challenge := range []string{"TLS-ALPN-01", "HTTP-01"} {
			t.Run(challenge+" "+address, func(t *testing.T) {
				t.Parallel()
				front, port := listenOn(t, address)
				challenges, httpPort := listenOn(t, address)
				o := acmetest.Options{TLSPort: port, HTTPPort: acmetest.FreePort(t)}
				if challenge == "HTTP-01" {
					o = acmetest.Options{TLSPort: acmetest.FreePort(t), HTTPPort: httpPort}
				}
				r := newACMERig(t, o, address)
				r.listener, r.options.Listener = front, front.Addr()
				if challenge == "HTTP-01" {
					r.options.Listener, r.options.HTTPListener = nil, challenges.Addr()
				}
				d, _ := r.start()
				server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: d.ChallengeHandler()}
				go func() { _ = server.Serve(challenges) }()
				t.Cleanup(func() { _ = server.Close() })
				if leaf := r.served(address); len(leaf.IPAddresses) != 1 || leaf.IPAddresses[0].String() != address {
					t.Errorf("the certificate is for %v", leaf.IPAddresses)
				}
				if _, err := r.shake("1.0.0.127.in-addr.arpa"); err == nil {
					t.Error("the reverse name is answered for without a challenge")
				}
			})
		}
	}
}

func listenOn(t *testing.T, address string) (l net.Listener, port int) {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		t.Skipf("this machine has no %s, which was not tried: %v", address, err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l, l.Addr().(*net.TCPAddr).Port
}
