package vault_test

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// The config that docs/vault.md shows serves, once its commands are done; only
// the address is another, and what has nothing to do with Vault is added.
func TestDocsConfig(t *testing.T) {
	t.Parallel()
	v, w, dir := startVault(t), startWeChat(t), t.TempDir()
	for _, name := range []string{"apiclient_cert.pem", "apiclient_key.pem", "apiv3_key"} {
		write(t, dir, name, read(t, w.dir, name))
	}
	for _, block := range blocks(t) {
		sh := exec.Command("bash", "-euo", "pipefail", "-c", block)
		sh.Dir, sh.Env = dir, append(os.Environ(), "VAULT_ADDR="+v.address, "VAULT_TOKEN="+v.root)
		if out, err := sh.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s\n%s", err, block, out)
		}
	}
	found := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindStringSubmatch(read(t, "../../docs", "vault.md"))
	const address = "https://vault.example.com:8200"
	if found == nil || !strings.Contains(found[1], address) {
		t.Fatal("docs/vault.md shows no config")
	}
	s := serve(t, dir, strings.Replace(found[1], address, v.address, 1)+strings.NewReplacer("SIMDIR", w.dir, "ID", w.publicKeyID, "UPSTREAM", w.url).Replace(
		`    platform: {public_key: "file:SIMDIR/pub_key.pem", public_key_id: ID}
outbound: {listen: "127.0.0.1:0", upstreams: ["UPSTREAM"]}
admin: {listen: "127.0.0.1:0"}
`))
	s.mustCall()
	searchSecrets(t, s.text(), w, v, dir)
}
