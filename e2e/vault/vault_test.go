package vault_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

const inKV = "vault:secret/wechatpay/shop#private_key"

// setUp has Vault, WeChat Pay and the keys of its merchant in KV.
func setUp(t *testing.T, ttl string) (v *vault, w *wechat, dir string) {
	t.Helper()
	v, w, dir = startVault(t), startWeChat(t), t.TempDir()
	v.put("wechatpay/shop", w.fields())
	v.approle(dir, ttl)
	return v, w, dir
}

// blocks are the commands of docs/vault.md, in order.
func blocks(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("../../docs/vault.md")
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, m := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		list = append(list, m[1])
	}
	if len(list) < 3 {
		t.Fatalf("docs/vault.md has %d blocks of commands", len(list))
	}
	return list
}

// What docs/vault.md tells the user to do works, on a real Vault, up to a call
// that Transit signs and the simulator judges.
func TestDocs(t *testing.T) {
	t.Parallel()
	v, w, dir := followDocs(t)
	s := serve(t, dir, config(w, v, "transit:transit/wechatpay-shop", "refresh: 1m"))
	if status, reason, err := s.call(); status != 200 || reason != "" || err != nil {
		t.Fatalf("got %d %s %v", status, reason, err)
	}
	searchSecrets(t, s.text(), w, v, dir)
}

func (s *sidecar) metric(t *testing.T, line string) bool {
	t.Helper()
	_, text := fetch(t, s.admin+"/metrics")
	return strings.Contains(text, "\n"+line+"\n")
}

// Keys from KV outlast everything that Vault does, under load: 20 versions of
// the secret that mean the same, a seal, a revoked token, a kill and restart.
func TestKVLosesNoCall(t *testing.T) {
	t.Parallel()
	v, w, dir := setUp(t, "4s")
	s := serve(t, dir, config(w, v, inKV, "refresh: 1s, timeout: 2s"))
	l := s.load(4)
	fields := w.fields()
	for i := range 20 {
		fields["rotation"] = fmt.Sprint(i)
		fields["apiv3_key"] = strings.TrimSpace(fields["apiv3_key"]) + strings.Repeat("\n", i%2) // a new version that means the same
		v.put("wechatpay/shop", fields)
	}
	v.seal()
	eventually(t, "sign of the seal", func() bool { return s.metric(t, "wxproxy_vault_up 0") })
	v.unseal()
	eventually(t, "recovery", func() bool { return s.metric(t, "wxproxy_vault_up 1") })
	v.post("sys/leases/revoke-prefix/auth/approle", "") // every token of the method
	v.put("wechatpay/shop", fields)
	v.kill()
	eventually(t, "sign of the kill", func() bool { return s.metric(t, "wxproxy_vault_up 0") })
	v.boot()
	eventually(t, "recovery after the restart", func() bool { return s.metric(t, "wxproxy_vault_up 1") })
	eventually(t, "1,000 calls", func() bool { return l.calls.Load() > 1_000 || l.failed.Load() > 0 })
	t.Logf("%d calls during 20 new versions, a seal, a revocation and a restart; none failed", l.end(t))
	searchSecrets(t, s.text(), w, v, dir)
}

// A new key pair in KV is taken over whole; one that does not fit is not.
func TestKVRotatesThePair(t *testing.T) {
	t.Parallel()
	v, w, dir := setUp(t, "1h")
	s := serve(t, dir, config(w, v, inKV, "refresh: 1s"))
	other := startWeChat(t) // another merchant's pair, as if the merchant had a new one
	mixed := w.fields()
	mixed["private_key"] = other.fields()["private_key"]
	v.put("wechatpay/shop", mixed)
	s.await("does not fit its certificate")
	if status, reason, err := s.call(); status != 200 || err != nil {
		t.Errorf("the old pair does not serve: %d %s %v", status, reason, err)
	}
	v.put("wechatpay/shop", other.fields())
	s.await("secrets can be read again")
	serial := regexp.MustCompile(`merchant keys loaded.* serial=(\S+)`).FindAllStringSubmatch(s.text(), -1)
	if len(serial) != 2 || serial[0][1] == serial[1][1] {
		t.Errorf("the new pair was not taken over: %v", serial)
	}
}

// While Vault is sealed Transit signs nothing, which the app is told at once;
// it goes on by itself.
func TestTransitSealed(t *testing.T) {
	t.Parallel()
	v, w, dir := setUp(t, "1h")
	importKey(t, v, w)
	s := serve(t, dir, config(w, v, "transit:transit/wechatpay-shop", "refresh: 1s, timeout: 2s"))
	l := s.load(4)
	eventually(t, "500 calls", func() bool { return l.calls.Load() > 500 })
	v.post("transit/keys/wechatpay-shop/config", `{"deletion_allowed":false}`)
	t.Logf("%d calls signed in Transit", l.end(t))
	v.seal()
	status, reason, err := s.call()
	if status != http.StatusServiceUnavailable || reason != "key_unavailable" || err != nil {
		t.Errorf("sealed: got %d %s %v", status, reason, err)
	}
	v.unseal()
	eventually(t, "recovery", func() bool { status, _, _ := s.call(); return status == http.StatusOK })
	searchSecrets(t, s.text(), w, v, dir)
}

// importKey runs the block of the docs that does.
func importKey(t *testing.T, v *vault, w *wechat) {
	t.Helper()
	importBy(t, v, w, "import")
}

// importBy does it with another command of Vault in the place of import.
func importBy(t *testing.T, v *vault, w *wechat, command string) {
	t.Helper()
	for _, block := range blocks(t) {
		if strings.Contains(block, "/import") {
			v.run(t, w.dir, strings.ReplaceAll(block, "/import", "/"+command))
			return
		}
	}
	t.Fatal("docs/vault.md imports no key")
}

// run executes commands as an administrator of Vault.
func (v *vault) run(t *testing.T, dir, commands string) {
	t.Helper()
	sh := exec.Command("bash", "-euo", "pipefail", "-c", commands)
	sh.Dir, sh.Env = dir, append(os.Environ(), "VAULT_ADDR="+v.address, "VAULT_TOKEN="+v.root)
	if out, err := sh.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, commands, out)
	}
}

// followDocs has a Vault and a merchant's files, and does all that the docs say.
func followDocs(t *testing.T) (v *vault, w *wechat, dir string) {
	t.Helper()
	v, w, dir = startVault(t), startWeChat(t), t.TempDir()
	for _, name := range []string{"apiclient_cert.pem", "apiclient_key.pem", "apiv3_key"} {
		write(t, dir, name, read(t, w.dir, name))
	}
	for _, block := range blocks(t) {
		v.run(t, dir, block)
	}
	return v, w, dir
}

// What is wrong at the start is told with merchant, reference and remedy.
func TestStartTellsWhatIsWrong(t *testing.T) {
	t.Parallel()
	v, w, dir := setUp(t, "1h")
	v.put("wechatpay/bad", map[string]string{"private_key": "not a key"})
	v.put("elsewhere/shop", w.fields())
	v.put("wechatpay/gone", w.fields())
	v.call(http.MethodDelete, "secret/data/wechatpay/gone", "")
	v.post("transit/keys/elliptic", `{"type":"ecdsa-p256"}`)
	v.post("transit/keys/stranger", `{"type":"rsa-2048"}`)
	for key, want := range map[string][]string{
		"vault:secret/wechatpay/shop#nothing":     {"has no such field", "vault kv patch"},
		"vault:secret/wechatpay/none#private_key": {"nothing at this path", "vault kv put"},
		"vault:secret/wechatpay/gone#private_key": {"was deleted"},
		"vault:secret/wechatpay/bad#private_key":  {"not a usable private key"},
		"vault:secret/elsewhere/shop#private_key": {"denies", `path "secret/data/elsewhere/shop" { capabilities = ["read"] }`},
		"vault:mistyped/shop#private_key":         {"denies", "mount mistyped"},
		"transit:transit/none":                    {"nothing at this path"},
		"transit:transit/elliptic":                {"not RSA"},
		"transit:transit/stranger":                {"fits the merchant's certificate"},
		"transit:transit/stranger@7":              {"no such version"},
	} {
		t.Run(key, func(t *testing.T) {
			sub := t.TempDir()
			for _, name := range []string{"role_id", "secret_id"} {
				write(t, sub, name, read(t, dir, name))
			}
			write(t, sub, "wxproxy.yaml", config(w, v, key, "start_timeout: 0s"))
			p := start(t, sub, nil, binary, "serve", "-c", "wxproxy.yaml")
			select {
			case <-p.exited:
			case <-time.After(patience):
				t.Fatal("it started")
			}
			if code := p.cmd.ProcessState.ExitCode(); code != 2 {
				t.Errorf("exit code %d", code)
			}
			for _, text := range append(want, "shop", key) {
				if !strings.Contains(p.text(), text) {
					t.Errorf("%q is not in:\n%s", text, p.text())
				}
			}
			searchSecrets(t, p.text(), w, v, dir)
		})
	}
}

// searchSecrets looks for what must not be in a log, after it found one that
// was planted.
func searchSecrets(t *testing.T, log string, w *wechat, v *vault, dir string) {
	t.Helper()
	secrets := map[string]string{
		"the APIv3 key": strings.TrimSpace(read(t, w.dir, "apiv3_key")), "the root token": v.root, "the secret ID": strings.TrimSpace(read(t, dir, "secret_id")),
	}
	for i, line := range strings.Split(read(t, w.dir, "apiclient_key.pem"), "\n") {
		if i > 1 && len(line) > 32 {
			secrets[fmt.Sprintf("line %d of the private key", i)] = line
		}
	}
	secrets["a token of Vault"] = "hvs."
	var all strings.Builder
	for name, text := range secrets {
		if len(text) < 16 && name != "a token of Vault" {
			t.Fatalf("%s is too short to look for: was it read?", name)
		}
		all.WriteString(log + "\nplanted: " + text + "\n")
	}
	if got := found(all.String(), secrets); len(got) != len(secrets) {
		t.Fatalf("the search finds only %v of what was planted", got)
	}
	for _, name := range found(log, secrets) {
		t.Errorf("the log has %s", name)
	}
}

// found names the secrets that stand in a text.
func found(text string, secrets map[string]string) (names []string) {
	for name, secret := range secrets {
		if strings.Contains(text, secret) {
			names = append(names, name)
		}
	}
	return names
}
