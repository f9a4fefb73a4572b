package vault_test

import (
	"net/http"
	"strings"
	"testing"
)

// Only what Vault does not give becomes stale: a caller's token that is gone,
// and not the keys of a merchant whose local file is broken.
func TestStaleByVaultAlone(t *testing.T) {
	t.Parallel()
	v, w, dir := setUp(t, "1h")
	const token = "a-token-of-the-app-in-vault"
	v.put("wechatpay/token", map[string]string{"token": token})
	write(t, dir, "key.pem", read(t, w.dir, "apiclient_key.pem"))
	s := serve(t, dir, strings.Replace(config(w, v, "file:key.pem", "refresh: 1s, max_stale: 3s"), "outbound: {",
		`outbound: {callers: [{name: app, token: "vault:secret/wechatpay/token#token", merchants: [shop]}], `, 1))
	call := func() int {
		t.Helper()
		r, err := http.NewRequest(http.MethodGet, s.url+"/v3/certificates", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Wxproxy-Token", token)
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		return answer.StatusCode
	}
	write(t, dir, "key.pem", "half a key")
	eventually(t, "failed reload", func() bool { return s.metric(t, `wxproxy_merchant_reload_failed{merchant="shop"} 1`) })
	polls := s.reads()
	eventually(t, "polls for longer than max_stale", func() bool { return s.reads() > polls+10 }) // two paths a poll
	if status := call(); status != http.StatusOK {
		t.Errorf("with a broken file: %d", status)
	}
	v.call(http.MethodDelete, "secret/metadata/wechatpay/token", "")
	eventually(t, "end of the token", func() bool { return call() == http.StatusForbidden })
	if status, ready := fetch(t, s.admin+"/readyz"); status != http.StatusOK || !strings.Contains(ready, `"secret": "vault:secret/wechatpay/token#token"`) {
		t.Errorf("/readyz says %d %s", status, ready)
	}
	v.put("wechatpay/token", map[string]string{"token": token})
	eventually(t, "return of the token", func() bool { return call() == http.StatusOK })
}
