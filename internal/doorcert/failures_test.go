package doorcert_test

import (
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"

	"github.com/wxproxy/wxproxy/internal/doorcert"
	"github.com/wxproxy/wxproxy/internal/doorcert/acmetest"
	"github.com/wxproxy/wxproxy/internal/secret"
)

// What fails is told with what to do about it, and the Door neither gives up
// nor asks again at once.
func TestACMEFailures(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		options acmetest.Options
		spoil   func(t *testing.T, r *acmeRig)
		want    string
	}{
		{"down", acmetest.Options{}, func(_ *testing.T, r *acmeRig) { r.authority.Down() }, "let this machine connect to the authority"},
		{"answers an error", acmetest.Options{}, func(_ *testing.T, r *acmeRig) {
			r.authority.Answer(acmetest.Problem(http.StatusInternalServerError, "serverInternal", "out of order"))
		}, "out of order"},
		{"answers nonsense", acmetest.Options{}, func(_ *testing.T, r *acmeRig) {
			r.authority.Answer(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>portal</html>") })
		}, "the last order failed"},
		{"limit reached", acmetest.Options{}, func(_ *testing.T, r *acmeRig) {
			r.authority.Answer(acmetest.Problem(http.StatusTooManyRequests, "rateLimited", "too many certificates"))
		}, "the authority's limit is reached"},
		{"another listens", acmetest.Options{TLSPort: -1}, func(*testing.T, *acmeRig) {}, "port 443 of the name"},
		{"nobody listens", acmetest.Options{TLSPort: -2}, func(*testing.T, *acmeRig) {}, "port 443 of the name"},
		{"not trusted", acmetest.Options{}, func(_ *testing.T, r *acmeRig) { r.options.Roots = x509.NewCertPool() }, "set acme.ca"},
		{"account is not bound", acmetest.Options{EAB: map[string]string{"kid": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"}}, func(*testing.T, *acmeRig) {}, "needs acme.eab"},
		{"account is bound with a wrong key", acmetest.Options{EAB: map[string]string{"kid": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"}}, func(_ *testing.T, r *acmeRig) {
			r.options.EABKeyID, r.options.EABKey = "kid", secret.NewValue([]byte("QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE"))
		}, "the last order failed"},
		{"storage cannot be written", acmetest.Options{}, func(t *testing.T, r *acmeRig) {
			file := filepath.Join(t.TempDir(), "file")
			if err := os.WriteFile(file, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			r.options.Storage = &certmagic.FileStorage{Path: file}
		}, "not a directory"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			switch tc.options.TLSPort {
			case -1: // TLS that knows no ACME
				l, port := listen(t)
				f := newFiles(t)
				f.issue(t, time.Now().Add(-time.Hour), time.Now().Add(time.Hour), "elsewhere.test")
				d, err := doorcert.NewFiles(t.Context(), doorcert.Options{DefaultName: "elsewhere.test"}, f.options(&secret.Reader{}))
				if err != nil {
					t.Fatal(err)
				}
				serve(t, d.Door, l)
				tc.options.TLSPort = port
			case -2:
				tc.options.TLSPort = acmetest.FreePort(t)
			}
			name := strings.ReplaceAll(tc.name, " ", "-") + ".test"
			r := newACMERig(t, tc.options, name)
			tc.spoil(t, r)
			d, stop := r.start()
			acmetest.Await(t, "a problem", func() bool { return d.Status()[0].Warning != "" && strings.Contains(r.log.String(), "not obtained") })
			if s := d.Status()[0]; !s.Ready || !strings.Contains(s.Warning, tc.want) || strings.ContainsAny(s.Warning, "\n\r") {
				t.Errorf("status %+v, want %q", s, tc.want)
			}
			if !strings.Contains(r.log.String(), "name="+name) {
				t.Errorf("the log does not name it:\n%s", r.log)
			}
			if _, err := r.shake(name); err == nil {
				t.Error("a certificate is shown")
			}
			stop()
			if got := r.authority.Orders(); got > 2 {
				t.Errorf("%d orders at once", got)
			}
		})
	}
}
