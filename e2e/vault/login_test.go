package vault_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// byAuth is config with another way to log in.
func byAuth(t *testing.T, w *wechat, v *vault, auth, more string) string {
	t.Helper()
	const approle = `auth: {method: approle, role_id: "file:role_id", secret_id: "file:secret_id"}`
	text := config(w, v, inKV, more)
	if !strings.Contains(text, approle) {
		t.Fatal("config has another login")
	}
	return strings.Replace(text, approle, "auth: {"+auth+"}", 1)
}

// logins and reads are how many succeeded, from the metrics.
func (s *sidecar) logins() int { s.t.Helper(); return s.succeeded("login") }
func (s *sidecar) reads() int  { s.t.Helper(); return s.succeeded("kv_read") }

func (s *sidecar) succeeded(operation string) int { s.t.Helper(); return s.ended(operation, "success") }

func (s *sidecar) ended(operation, outcome string) int {
	s.t.Helper()
	_, text := fetch(s.t, s.admin+"/metrics")
	var n int
	if m := regexp.MustCompile(`wxproxy_vault_requests_total\{operation="` + operation + `",outcome="` + outcome + `"\} (\d+)`).FindStringSubmatch(text); m != nil {
		_, _ = fmt.Sscan(m[1], &n)
	}
	return n
}

// mustCall makes a call that succeeds.
func (s *sidecar) mustCall() {
	s.t.Helper()
	if status, reason, err := s.call(); status != http.StatusOK || reason != "" || err != nil {
		s.t.Fatalf("a call: %d %s %v", status, reason, err)
	}
}

// tokenFor makes a token as somebody else would, an operator or Vault Agent.
func (v *vault) tokenFor(policy, ttl string) string {
	v.t.Helper()
	r, err := http.NewRequest(http.MethodPost, v.address+"/v1/auth/token/create", strings.NewReader(`{"policies":["`+policy+`"],"ttl":"`+ttl+`","no_parent":true}`))
	if err != nil {
		v.t.Fatal(err)
	}
	return v.auth(r, "auth", "client_token")
}

// wrappedSecretID is a response-wrapping token that opens once.
func (v *vault) wrappedSecretID() string {
	v.t.Helper()
	r, err := http.NewRequest(http.MethodPost, v.address+"/v1/auth/approle/role/wxproxy/secret-id", http.NoBody)
	if err != nil {
		v.t.Fatal(err)
	}
	r.Header.Set("X-Vault-Wrap-TTL", "5m")
	return v.auth(r, "wrap_info", "token")
}

// auth asks for a text outside of data.
func (v *vault) auth(r *http.Request, part, field string) string {
	v.t.Helper()
	r.Header.Set("X-Vault-Token", v.root)
	answer, err := client.Do(r)
	if err != nil {
		v.t.Fatal(err)
	}
	defer answer.Body.Close()
	var fields map[string]any
	if err := json.NewDecoder(answer.Body).Decode(&fields); err != nil {
		v.t.Fatal(err)
	}
	inner, _ := fields[part].(map[string]any)
	text, _ := inner[field].(string)
	if text == "" {
		v.t.Fatalf("no %s in %s: %d", field, part, answer.StatusCode)
	}
	return text
}

// A token that lasts 2 seconds and cannot be renewed beyond 5 is replaced
// before it ends: the calls, each of which needs Vault, go on.
func TestTokenExpires(t *testing.T) {
	t.Parallel()
	v, w, dir := setUp(t, "2s")
	v.post("auth/approle/role/wxproxy", `{"token_policies":"wxproxy","token_ttl":"2s","token_max_ttl":"5s"}`)
	importKey(t, v, w)
	s := serve(t, dir, config(w, v, "transit:transit/wechatpay-shop", "refresh: 1s"))
	l := s.load(2)
	eventually(t, "third login", func() bool { return s.logins() >= 3 })
	t.Logf("%d calls signed in Transit over %d logins; none failed", l.end(t), s.logins())
	searchSecrets(t, s.text(), w, v, dir)
}

// A wrapped secret ID opens once: check leaves it closed for serve, and a second
// start, or a check, says that it was used.
func TestWrappedSecretID(t *testing.T) {
	t.Parallel()
	v, w, dir := setUp(t, "1h")
	wrapped := v.wrappedSecretID()
	write(t, dir, "secret_id", wrapped)
	text := byAuth(t, w, v, `method: approle, role_id: "file:role_id", secret_id: "file:secret_id", wrapped: true`, "refresh: 1s")
	write(t, dir, "wxproxy.yaml", text)
	check := func(code int, says string) (report string) {
		t.Helper()
		p := start(t, dir, nil, binary, "check", "-c", "wxproxy.yaml")
		<-p.exited
		if got := p.cmd.ProcessState.ExitCode(); got != code || !strings.Contains(p.text(), says) {
			t.Errorf("check ends with %d and does not say %q:\n%s", got, says, p.text())
		}
		return p.text()
	}
	report := check(0, "it is not opened now") + check(0, "private_key  "+inKV+" was not read")
	s := serve(t, dir, text)
	s.mustCall()
	s.kill()
	again := start(t, dir, nil, binary, "serve", "-c", "wxproxy.yaml")
	again.await(`was it used before`)
	<-again.exited
	if code := again.cmd.ProcessState.ExitCode(); code != 2 {
		t.Errorf("exit code %d, want 2", code)
	}
	report += check(1, "was opened already")
	searchSecrets(t, report+s.text()+again.text(), w, v, dir)
}

// Vault Agent replaces the token in its file; the old one is revoked.
func TestTokenFile(t *testing.T) {
	t.Parallel()
	v, w, dir := setUp(t, "1h")
	first, second := v.tokenFor("wxproxy", "1h"), v.tokenFor("wxproxy", "1h")
	write(t, dir, "token", first)
	s := serve(t, dir, byAuth(t, w, v, "method: token_file, token_file: token", "refresh: 1s"))
	s.mustCall()
	l := s.load(2)
	write(t, dir, "token", second)
	v.post("auth/token/revoke", `{"token":"`+first+`"}`)
	before := s.reads()
	eventually(t, "reads with the second token", func() bool { return s.reads() >= before+3 })
	if !s.metric(t, "wxproxy_vault_up 1") {
		t.Error("Vault is said to fail")
	}
	l.end(t)
	for _, token := range []string{first, second} {
		if strings.Contains(s.text(), token) {
			t.Error("the log has the token")
		}
	}
}

// A token by itself cannot be replaced: when it is revoked the keys serve on,
// and the log and the metrics say so. With another in its place SIGHUP logs in.
func TestTokenRevoked(t *testing.T) {
	t.Parallel()
	v, w, dir := setUp(t, "1h")
	token := v.tokenFor("wxproxy", "1h")
	write(t, dir, "token", token)
	s := serve(t, dir, byAuth(t, w, v, `method: token, token: "file:token"`, "refresh: 1s"))
	l := s.load(2)
	v.post("auth/token/revoke", `{"token":"`+token+`"}`)
	s.await("reading secrets again failed; the last good ones serve")
	eventually(t, "failed reload in the metrics", func() bool { return s.metric(t, `wxproxy_merchant_reload_failed{merchant="shop"} 1`) })
	write(t, dir, "token", v.tokenFor("wxproxy", "1h"))
	s.hangUp()
	s.await("keys and files reloaded")
	if !s.metric(t, "wxproxy_vault_up 1") {
		t.Error("Vault is said to fail with a new token")
	}
	l.end(t)
	searchSecrets(t, s.text(), w, v, dir)
}

// KV version 1 is read too.
func TestKVVersion1(t *testing.T) {
	t.Parallel()
	v, w, dir := setUp(t, "1h")
	v.post("sys/mounts/old", `{"type":"kv","options":{"version":"1"}}`)
	body, err := json.Marshal(w.fields())
	if err != nil {
		t.Fatal(err)
	}
	v.post("old/wechatpay/shop", string(body))
	v.post("sys/policies/acl/wxproxy", `{"policy":"path \"old/wechatpay/shop\" { capabilities = [\"read\"] }"}`)
	s := serve(t, dir, strings.ReplaceAll(config(w, v, inKV, "refresh: 1s"), "vault:secret/", "vault:old/"))
	s.mustCall()
}

// Vault asks for a certificate, and its own is signed by a private CA.
func TestMutualTLS(t *testing.T) {
	t.Parallel()
	v, w, dir := setUp(t, "1h")
	v.kill()
	p := start(t, v.dir, nil, server, "--dir", v.dir, "--listen", v.listen, "--mutual-tls")
	v.address = p.await(`"address":"(https://[^"]+)"`)[1]
	tls := fmt.Sprintf("ca: %[1]s/ca.pem, client_certificate: %[1]s/client.pem, client_key: %[1]s/client-key.pem", v.dir)
	if _, err := os.Stat(filepath.Join(v.dir, "client-key.pem")); err != nil {
		t.Fatal(err)
	}
	serve(t, dir, config(w, v, inKV, tls)).mustCall()
	for _, x := range []struct{ what, lines, says string }{
		{"no client certificate", fmt.Sprintf("start_timeout: 0s, ca: %s/ca.pem", v.dir), "Vault is unreachable"},
		{"no CA", "start_timeout: 0s", "certificate signed by unknown authority"},
	} {
		write(t, dir, "wxproxy.yaml", config(w, v, inKV, x.lines))
		p := start(t, dir, nil, binary, "serve", "-c", "wxproxy.yaml")
		p.await(`vault at https://\S+: .*` + x.says)
		<-p.exited
		if code := p.cmd.ProcessState.ExitCode(); code != 2 {
			t.Errorf("%s: exit code %d, want 2", x.what, code)
		}
	}
}

// The pod's token goes to Vault's own Kubernetes method; only the API server
// that Vault asks about it is ours.
func TestKubernetes(t *testing.T) {
	t.Parallel()
	v, w, dir := setUp(t, "1h")
	api := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		var review struct {
			APIVersion string `json:"apiVersion"`
			Kind       string `json:"kind"`
			Spec       struct {
				Token     string   `json:"token"`
				Audiences []string `json:"audiences"`
			} `json:"spec"`
			Status map[string]any `json:"status"`
		}
		if json.NewDecoder(r.Body).Decode(&review) != nil || !strings.Contains(r.URL.Path, "tokenreviews") {
			http.Error(out, "no", http.StatusBadRequest)
			return
		}
		review.Status = map[string]any{"authenticated": review.Spec.Token == podToken("shop"), "audiences": review.Spec.Audiences, "user": map[string]any{
			"username": "system:serviceaccount:shop:shop", "uid": "0f4a", "groups": []string{"system:serviceaccounts"},
		}}
		out.Header().Set("Content-Type", "application/json")
		out.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(out).Encode(review)
	}))
	t.Cleanup(api.Close)
	v.post("sys/auth/kubernetes", `{"type":"kubernetes"}`)
	v.post("auth/kubernetes/config", `{"kubernetes_host":"`+api.URL+`","disable_local_ca_jwt":true,"token_reviewer_jwt":"`+podToken("vault")+`"}`)
	v.post("auth/kubernetes/role/wxproxy-shop", `{"bound_service_account_names":"shop","bound_service_account_namespaces":"shop","policies":"wxproxy","ttl":"3s","max_ttl":"3s"}`)
	write(t, dir, "jwt", podToken("shop"))
	s := serve(t, dir, byAuth(t, w, v, "method: kubernetes, role: wxproxy-shop, jwt_file: jwt", "refresh: 1s"))
	l := s.load(2)
	eventually(t, "second login", func() bool { return s.logins() >= 2 })
	l.end(t)
	write(t, dir, "jwt", podToken("stranger"))
	s.await("login to Vault failed .method kubernetes.")
	if strings.Contains(s.text(), podToken("shop")) {
		t.Error("the log has the pod's token")
	}
}

// podToken has the shape of a service account token.
func podToken(account string) string {
	part := base64.RawURLEncoding.EncodeToString
	claims := `{"iss":"https://kubernetes.default.svc","sub":"system:serviceaccount:shop:` + account + `","exp":4102444800,"iat":1767225600,"nbf":1767225600,` +
		`"aud":["https://kubernetes.default.svc"],"kubernetes.io":{"namespace":"shop","serviceaccount":{"name":"` + account + `","uid":"0f4a"}}}`
	return part([]byte(`{"alg":"RS256","kid":"k"}`)) + "." + part([]byte(claims)) + "." + part([]byte("no signature; the API server decides"))
}
