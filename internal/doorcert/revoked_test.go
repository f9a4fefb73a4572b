package doorcert_test

import (
	"crypto/tls"
	"net/http"
	"strings"
	"testing"

	"github.com/wxproxy/wxproxy/internal/doorcert/acmetest"
)

// Handshakes go on while a certificate that was revoked is replaced.
func TestACMERevokedIsReplaced(t *testing.T) {
	t.Parallel()
	const name = "revoked.test"
	r := newACMERig(t, acmetest.Options{OCSP: true}, name)
	r.start()
	first := r.served(name)
	state, err := shake(t, r.listener.Addr().String(), &tls.Config{ServerName: name, RootCAs: r.authority.Roots})
	if err != nil || len(state.OCSPResponse) == 0 {
		t.Errorf("no OCSP response is stapled: %v", err)
	}
	r.authority.Revoke(t, first)
	acmetest.Await(t, "another certificate", func() bool {
		leaf, err := r.shake(name)
		if err != nil {
			t.Errorf("a handshake failed meanwhile: %v", err)
		}
		return err == nil && !leaf.Equal(first)
	})
	if !strings.Contains(r.log.String(), "was revoked") {
		t.Error("the log does not tell")
	}
}

// Who is told to stop while a revoked certificate cannot be replaced stops.
func TestACMEStopsThoughAReplacementFails(t *testing.T) {
	t.Parallel()
	const name = "stuck.test"
	r := newACMERig(t, acmetest.Options{OCSP: true}, name)
	d, stop := r.start()
	first := r.served(name)
	r.authority.Answer(acmetest.Problem(http.StatusInternalServerError, "serverInternal", "out of order"))
	r.authority.Revoke(t, first)
	acmetest.Await(t, "a failure", func() bool { return strings.Contains(d.Status()[0].Warning, "HTTP 500") })
	stop()
}
