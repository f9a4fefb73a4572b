// Package vault_test runs wxproxy with a real HashiCorp Vault. It is a module
// of its own, so that Vault never enters the graph of wxproxy; .ci/vault builds
// the server and runs the tests.
package vault_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

const patience = 30 * time.Second

var (
	binary string // wxproxy
	server string // vaultserver
)

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (int, error) {
	if server = os.Getenv("VAULTSERVER"); server == "" {
		return 1, fmt.Errorf("VAULTSERVER is not set: run .ci/vault")
	}
	dir, err := os.MkdirTemp("", "wxproxy-vault-")
	if err != nil {
		return 1, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	binary = filepath.Join(dir, "wxproxy")
	build := exec.Command("go", "build", "-trimpath", "-o", binary, "./cmd/wxproxy")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("building wxproxy: %w\n%s", err, out)
	}
	return m.Run(), nil
}

// process is a running program whose output is kept.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	exited chan struct{}

	mu  sync.Mutex
	out bytes.Buffer
}

func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

func (p *process) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

func start(t *testing.T, dir string, env []string, name string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(name, args...), exited: make(chan struct{})}
	p.cmd.Dir, p.cmd.Env = dir, append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}, env...)
	p.cmd.Stdout, p.cmd.Stderr = p, p
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("%s %s:\n%s", filepath.Base(name), strings.Join(args, " "), tail(p.text()))
		}
	})
	return p
}

func tail(s string) string {
	if len(s) > 6000 {
		return "…" + s[len(s)-6000:]
	}
	return s
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.exited
}

// await waits until the output matches.
func (p *process) await(pattern string) []string {
	p.t.Helper()
	re := regexp.MustCompile(pattern)
	var found []string
	eventually(p.t, "output like "+pattern, func() bool {
		found = re.FindStringSubmatch(p.text())
		return found != nil
	})
	return found
}

// eventually polls, since what is waited for happens in another process.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no %s", what)
		}
	}
}

// vault is a running server.
type vault struct {
	*process
	t           *testing.T
	dir, listen string
	address     string
	root        string
	unsealKey   string
}

func startVault(t *testing.T) *vault {
	t.Helper()
	v := &vault{t: t, dir: t.TempDir(), listen: "127.0.0.1:0"}
	v.boot()
	for path, body := range map[string]string{
		"sys/mounts/secret": `{"type":"kv","options":{"version":"2"}}`, "sys/mounts/transit": `{"type":"transit"}`, "sys/auth/approle": `{"type":"approle"}`,
	} {
		v.post(path, body)
	}
	return v
}

// boot starts the server on its storage, unsealed.
func (v *vault) boot() {
	v.t.Helper()
	v.process = start(v.t, v.dir, nil, server, "--dir", v.dir, "--listen", v.listen)
	line := v.await(`(?m)^(\{"address".*\})$`)[1]
	var hello struct{ Address, Init string }
	if err := json.Unmarshal([]byte(line), &hello); err != nil {
		v.t.Fatal(err)
	}
	text, err := os.ReadFile(hello.Init)
	if err != nil {
		v.t.Fatal(err)
	}
	var keys struct {
		Unseal string `json:"unseal_key"`
		Root   string `json:"root_token"`
	}
	if err := json.Unmarshal(text, &keys); err != nil {
		v.t.Fatal(err)
	}
	v.address, v.root, v.unsealKey = hello.Address, keys.Root, keys.Unseal
	v.listen = strings.TrimPrefix(v.address, "http://")
}

func (v *vault) call(method, path, body string) (int, map[string]any) {
	v.t.Helper()
	r, err := http.NewRequest(method, v.address+"/v1/"+path, strings.NewReader(body))
	if err != nil {
		v.t.Fatal(err)
	}
	r.Header.Set("X-Vault-Token", v.root)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		v.t.Fatal(err)
	}
	defer answer.Body.Close()
	var data struct{ Data map[string]any }
	_ = json.NewDecoder(answer.Body).Decode(&data) // some have no body
	return answer.StatusCode, data.Data
}

func (v *vault) post(path, body string) map[string]any {
	v.t.Helper()
	status, data := v.call(http.MethodPost, path, body)
	if status >= 300 {
		v.t.Fatalf("vault: POST %s: %d", path, status)
	}
	return data
}

func (v *vault) seal() { v.t.Helper(); v.post("sys/seal", "") }

func (v *vault) unseal() {
	v.t.Helper()
	v.post("sys/unseal", `{"key":"`+v.unsealKey+`"}`)
}

// put writes files as fields of a secret.
func (v *vault) put(path string, fields map[string]string) {
	v.t.Helper()
	v.putAt("secret", path, fields)
}

func (v *vault) putAt(mount, path string, fields map[string]string) {
	v.t.Helper()
	body, err := json.Marshal(map[string]any{"data": fields})
	if err != nil {
		v.t.Fatal(err)
	}
	v.post(mount+"/data/"+path, string(body))
}

// approle makes a role and writes its IDs where the config looks for them.
func (v *vault) approle(dir, ttl string) {
	v.t.Helper()
	policy := `path "secret/data/wechatpay/*" { capabilities = ["read"] } path "transit/keys/*" { capabilities = ["read"] } path "transit/sign/*" { capabilities = ["update"] }`
	body, _ := json.Marshal(map[string]string{"policy": policy})
	v.post("sys/policies/acl/wxproxy", string(body))
	v.post("auth/approle/role/wxproxy", `{"token_policies":"wxproxy","token_ttl":"`+ttl+`"}`)
	_, role := v.call(http.MethodGet, "auth/approle/role/wxproxy/role-id", "")
	write(v.t, dir, "role_id", role["role_id"].(string))
	write(v.t, dir, "secret_id", v.post("auth/approle/role/wxproxy/secret-id", "")["secret_id"].(string))
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, dir, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// wechat is a running simulator; its directory has the merchant's keys.
type wechat struct {
	*process
	url, dir, publicKeyID string
}

func startWeChat(t *testing.T) *wechat {
	t.Helper()
	w := &wechat{dir: t.TempDir()}
	w.process = start(t, w.dir, nil, binary, "sim", "--listen", "127.0.0.1:0", "--dir", w.dir)
	w.url = w.await(`simulated WeChat Pay on (http://\S+)`)[1]
	w.await(` help: `)
	w.publicKeyID = regexp.MustCompile(`PUB_KEY_ID_\w+`).FindString(read(t, w.dir, "wxproxy.yaml"))
	return w
}

func (w *wechat) fields() map[string]string {
	return map[string]string{
		"certificate": read(w.t, w.dir, "apiclient_cert.pem"), "private_key": read(w.t, w.dir, "apiclient_key.pem"), "apiv3_key": read(w.t, w.dir, "apiv3_key"),
	}
}
