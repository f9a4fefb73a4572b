package vault_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// way is between wxproxy and Vault, as a load balancer is, and can be in
// trouble itself: handle answers in Vault's place.
type way struct {
	url    string
	handle atomic.Pointer[http.HandlerFunc]
	delay  atomic.Int64 // of each request, in nanoseconds
}

func newWay(t *testing.T, v *vault) *way {
	t.Helper()
	x, pass := &way{}, through(t, v)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h := x.handle.Load(); h != nil {
			(*h)(w, r)
			return
		}
		pass.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	t.Cleanup(x.open) // or Close would wait for those who are held
	x.url = server.URL
	return x
}

func (x *way) open() { x.handle.Store(nil) }

// answers is a trouble in which all requests get one answer.
func (x *way) answers(handle http.HandlerFunc) func() {
	return func() { x.handle.Store(&handle) }
}

// check runs wxproxy check with the config that serve has.
func (s *sidecar) check(t *testing.T) (report string, code int) {
	t.Helper()
	cmd := exec.Command(binary, "check", "-c", "wxproxy.yaml")
	cmd.Dir, cmd.Env = s.cmd.Dir, s.cmd.Env
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// trouble is one way in which Vault fails, what ends it, and what check says.
type trouble struct {
	name        string
	cause, mend func()
	says        []string
}

// Every trouble of Vault under load, with keys from KV: the last good ones
// serve, so that no call fails; metrics and /readyz say so, wxproxy check names
// the cause and the remedy, and all goes on by itself when it is over.
func TestKVTroublesLoseNoCall(t *testing.T) {
	t.Parallel()
	v, w, dir := setUp(t, "1h")
	x := newWay(t, v)
	behind := *v
	behind.address = x.url
	s := serve(t, dir, config(w, &behind, inKV, "refresh: 1s, timeout: 2s, start_timeout: 0s"))
	l := s.load(2)
	for _, trouble := range kvTroubles(v, w, x, dir) {
		before := l.calls.Load()
		trouble.cause()
		eventually(t, "sign of: "+trouble.name, func() bool { return s.metric(t, `wxproxy_merchant_reload_failed{merchant="shop"} 1`) })
		report, code := s.check(t)
		if code != 1 {
			t.Errorf("%s: check ends with %d\n%s", trouble.name, code, report)
		}
		for _, text := range trouble.says {
			if !strings.Contains(report, text) {
				t.Errorf("%s: check does not say %q:\n%s", trouble.name, text, report)
			}
		}
		status, ready := fetch(t, s.admin+"/readyz")
		if status != http.StatusOK || !strings.Contains(ready, "warning") {
			t.Errorf("%s: /readyz says %d %s", trouble.name, status, ready)
		}
		trouble.mend()
		eventually(t, "end of: "+trouble.name, func() bool {
			return s.metric(t, `wxproxy_merchant_reload_failed{merchant="shop"} 0`) && s.metric(t, "wxproxy_vault_up 1")
		})
		t.Logf("%-20s %5d calls, %d failed", trouble.name, l.calls.Load()-before, l.failed.Load())
		searchSecrets(t, report+ready, w, v, dir)
	}
	if report, code := s.check(t); code != 0 {
		t.Errorf("check ends with %d when all is well:\n%s", code, report)
	}
	t.Logf("%d calls in all", l.end(t))
	searchSecrets(t, s.text(), w, v, dir)
}

func kvTroubles(v *vault, w *wechat, x *way, dir string) []trouble {
	const at = "wechatpay/shop"
	good := func() { v.put(at, w.fields()) }
	without := func(field, text string) func() {
		return func() {
			fields := w.fields()
			if delete(fields, field); text != "" {
				fields[field] = text
			}
			v.put(at, fields)
		}
	}
	destroy := func() {
		_, data := v.call(http.MethodGet, "secret/metadata/"+at, "")
		v.post("secret/destroy/"+at, fmt.Sprintf(`{"versions":[%v]}`, data["current_version"]))
	}
	return []trouble{
		{"sealed", v.seal, v.unseal, []string{"login to Vault failed", "Vault is sealed"}},
		{"503 of a standby", x.answers(standby), x.open, []string{"Vault is not available (status 503)"}},
		{"redirect of a standby", x.answers(func(out http.ResponseWriter, r *http.Request) {
			http.Redirect(out, r, v.address+r.RequestURI, http.StatusTemporaryRedirect)
		}), x.open, []string{"as a node in standby does; give the address of the active one"}},
		{"429", func() { v.post("sys/quotas/rate-limit/kv", `{"path":"secret/","rate":1,"interval":"30m"}`) },
			func() { v.call(http.MethodDelete, "sys/quotas/rate-limit/kv", "") }, []string{"Vault limits the rate of requests"}},
		{"slow", x.answers(never), x.open, []string{"Vault did not answer in time"}},
		{"unreachable", v.kill, v.boot, []string{"Vault is unreachable"}},
		{"token and role gone", func() {
			v.call(http.MethodDelete, "auth/approle/role/wxproxy", "")
			v.post("sys/leases/revoke-prefix/auth/approle", "")
		}, func() { v.approle(dir, "1h") }, []string{"login to Vault failed (method approle)"}},
		{"permission lost", func() { v.rules(`path "elsewhere" { capabilities = ["read"] }`) }, func() { v.rules(reading + signing) },
			[]string{`path "secret/data/wechatpay/shop" { capabilities = ["read"] }`}},
		{"path deleted", func() { v.call(http.MethodDelete, "secret/data/"+at, "") }, good, []string{"was deleted", "vault kv undelete -versions=N secret/" + at}},
		{"path destroyed", destroy, good, []string{"was destroyed", "vault kv put secret/" + at}},
		{"path gone", func() { v.call(http.MethodDelete, "secret/metadata/"+at, "") }, good, []string{"there is nothing at this path"}},
		{"field missing", without("private_key", ""), good, []string{"has no such field", "vault kv patch secret/" + at + " private_key=@FILE"}},
		{"malformed key", without("private_key", "not a key"), good, []string{"private_key", "not a usable private key"}},
		{"malformed APIv3 key", without("apiv3_key", "too short"), good, []string{"apiv3_key"}},
		{"malformed certificate", without("certificate", "not one"), good, []string{"certificate", "apiclient_cert.pem"}},
	}
}

// standby is what a node answers that knows no active one.
func standby(w http.ResponseWriter, _ *http.Request) {
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = w.Write([]byte(`{"errors":["local node not active but active cluster node not found"]}`))
}

// never answers, until the client is gone, which shows only once its body is
// read.
func never(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
}

// The last good keys serve for max_stale and no longer; then the merchant is
// not ready, until Vault gives them again.
func TestMaxStale(t *testing.T) {
	t.Parallel()
	v, w, dir := setUp(t, "1h")
	s := serve(t, dir, config(w, v, inKV, "refresh: 1s, max_stale: 4s"))
	l := s.load(2)
	l.more(t, signed, 10)
	v.seal()
	eventually(t, "sign of the seal", func() bool { return s.metric(t, "wxproxy_vault_up 0") })
	l.more(t, unavailable, 10)
	status, ready := fetch(t, s.admin+"/readyz")
	if status != http.StatusServiceUnavailable || !strings.Contains(ready, "vault.max_stale") {
		t.Errorf("/readyz says %d %s", status, ready)
	}
	v.unseal()
	l.more(t, signed, 10)
	eventually(t, "readiness", func() bool { status, _ := fetch(t, s.admin+"/readyz"); return status == http.StatusOK })
	l.end(t, unavailable)
	searchSecrets(t, s.text(), w, v, dir)
}

// Mounts with slashes in their names, for both engines; KV in version 1 too.
func TestMountsWithSlashes(t *testing.T) {
	t.Parallel()
	v, w, dir := setUp(t, "1h")
	v.post("sys/mounts/team/a/kv", `{"type":"kv","options":{"version":"2"}}`)
	v.post("sys/mounts/team/a/transit", `{"type":"transit"}`)
	for _, block := range blocks(t) {
		if strings.Contains(block, "/import") {
			v.run(t, w.dir, strings.ReplaceAll(block, "/v1/transit/", "/v1/team/a/transit/"))
		}
	}
	v.putAt("team/a/kv", "wechatpay/shop", w.fields())
	v.rules(`path "team/a/kv/data/wechatpay/*" { capabilities = ["read"] } path "team/a/transit/keys/*" { capabilities = ["read"] } path "team/a/transit/sign/*" { capabilities = ["update"] }`)
	s := serve(t, dir, strings.ReplaceAll(config(w, v, "transit:team/a/transit/wechatpay-shop", "refresh: 1m"), "vault:secret/", "vault:team/a/kv/"))
	s.mustCall()
}

// More calls than Vault can sign for are told so; the others are signed, and the
// next one is, because nothing of that looks like an outage of Vault.
func TestOverload(t *testing.T) {
	t.Parallel()
	v, w, dir := setUp(t, "1h")
	importKey(t, v, w)
	x := newWay(t, v)
	behind := *v
	behind.address = x.url
	s := serve(t, dir, config(w, &behind, "transit:transit/wechatpay-shop", "refresh: 1m, timeout: 1s, connections: 2"))
	x.delay.Store(int64(100 * time.Millisecond)) // so that 20 are signed in a second
	l := &load{by: make(map[string]int)}
	var all sync.WaitGroup
	const calls = 200
	for range calls {
		all.Go(func() {
			status, reason, err := s.call()
			if err != nil {
				reason = err.Error()
			}
			l.count(strconv.Itoa(status) + " " + reason)
		})
	}
	all.Wait()
	if l.of(signed) < 10 || l.of(unavailable) == 0 || l.of(signed)+l.of(unavailable) != calls {
		t.Errorf("%d calls at one time: %v", calls, l.by)
	}
	if !s.metric(t, "wxproxy_vault_breaker_open 0") || !s.metric(t, "wxproxy_vault_up 1") {
		t.Error("the load looks like an outage of Vault")
	}
	s.mustCall()
	if !strings.Contains(s.text(), "vault.connections") {
		t.Error("the log does not say what to change")
	}
	t.Logf("%d calls at one time: %v", calls, l.by)
}
