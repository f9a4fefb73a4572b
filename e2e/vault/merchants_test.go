package vault_test

import (
	"net/http"
	"strings"
	"testing"
)

// withTwo adds a merchant two, whose key was made in Transit; WeChat Pay does
// not know it, but the signature is asked for before it could say so.
func withTwo(v *vault, config string) string {
	v.t.Helper()
	v.post("transit/keys/two", `{"type":"rsa-2048"}`)
	return strings.Replace(config, "merchants:\n", `merchants:
  - name: two
    mchid: "1900000002"
    serial_no: 3775B6A45ACD588826D15E583A95F5DD51A2E300
    private_key: transit:transit/two@1
    apiv3_key: vault:secret/wechatpay/shop#apiv3_key
`, 1)
}

// A key that Vault does not let sign costs the other merchants nothing.
func TestOneKeyHarmsNoOther(t *testing.T) {
	t.Parallel()
	v, w, dir := setUp(t, "1h")
	importKey(t, v, w)
	s := serve(t, dir, withTwo(v, config(w, v, "transit:transit/wechatpay-shop", "refresh: 1m")))
	v.post("transit/keys/two/rotate", "")
	v.post("transit/keys/two/config", `{"min_encryption_version":2}`)
	l := s.load(1)
	for range 15 {
		if status, reason, err := s.callFor("two"); status != http.StatusServiceUnavailable || reason != "key_unavailable" {
			t.Errorf("two: %d %s %v", status, reason, err)
		}
	}
	l.more(t, signed, 20)
	l.end(t)
	if !s.metric(t, "wxproxy_vault_breaker_open 0") || !s.metric(t, "wxproxy_vault_up 1") {
		t.Error("one key looks like an outage of Vault")
	}
	if text := "vault write transit/keys/two/config min_encryption_version=1"; !strings.Contains(s.text(), text) {
		t.Errorf("the log does not say: %s", text)
	}
	searchSecrets(t, s.text(), w, v, dir)
}
