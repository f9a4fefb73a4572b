package vault_test

import (
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
)

// through passes what is asked for on to Vault.
func through(t *testing.T, v *vault) http.Handler {
	t.Helper()
	to, err := url.Parse(v.address)
	if err != nil {
		t.Fatal(err)
	}
	return &httputil.ReverseProxy{
		Rewrite:      func(r *httputil.ProxyRequest) { r.SetURL(to) },
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
}

// A Vault that lets wxproxy in and gives it nothing yet is waited for too; with
// no time to wait that is told at once, and no reference is blamed.
func TestStartWaitsForSecrets(t *testing.T) {
	t.Parallel()
	v, w, dir := setUp(t, "1h")
	x := newWay(t, v)
	behind := *v
	behind.address = x.url
	pass := through(t, v)
	var left atomic.Int64 // refusals to come
	left.Store(1_000)
	x.answers(func(out http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v1/auth/") {
			pass.ServeHTTP(out, r)
			return
		}
		if left.Add(-1) == 0 {
			x.open()
		}
		standby(out, r)
	})()
	write(t, dir, "wxproxy.yaml", config(w, &behind, inKV, "start_timeout: 0s"))
	p := start(t, dir, nil, binary, "serve", "-c", "wxproxy.yaml")
	<-p.exited
	for _, text := range []string{"Vault is not available (status 503)", "see to Vault; private_key is not what is wrong"} {
		if code := p.cmd.ProcessState.ExitCode(); code != 2 || !strings.Contains(p.text(), text) {
			t.Errorf("exit code %d, and %q is not in:\n%s", code, text, p.text())
		}
	}
	left.Store(10)
	serve(t, dir, config(w, &behind, inKV, "start_timeout: 30s")).mustCall()
	searchSecrets(t, p.text(), w, v, dir)
}
