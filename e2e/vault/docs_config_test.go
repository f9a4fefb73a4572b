package vault_test

import (
	"regexp"
	"strings"
	"testing"
)

// The config that docs/vault.md shows serves, once its commands are done; only
// the address is another, and what has nothing to do with Vault is added.
func TestDocsConfig(t *testing.T) {
	t.Parallel()
	v, w, dir := followDocs(t)
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
