package vault_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// A Vault that limits the rate gives every one of many merchants its keys, at
// the start and at every poll after it: no merchant becomes stale.
func TestRateLimitStarvesNobody(t *testing.T) {
	t.Parallel()
	const many = 60
	v, w, dir := setUp(t, "1h")
	var list strings.Builder
	for i := range many {
		v.put(fmt.Sprintf("wechatpay/m%d", i), w.fields())
		fmt.Fprintf(&list, `  - name: m%[1]d
    mchid: "19000001%02[1]d"
    serial_no: "5201"
    private_key: vault:secret/wechatpay/m%[1]d#private_key
    apiv3_key: vault:secret/wechatpay/m%[1]d#apiv3_key
    platform: {public_key: "file:%[2]s/pub_key.pem", public_key_id: %[3]s, certificates: off}
`, i, w.dir, w.publicKeyID)
	}
	v.post("sys/quotas/rate-limit/kv", `{"path":"secret/","rate":30,"interval":"1s"}`)
	text := strings.Replace(config(w, v, inKV, "refresh: 1s, max_stale: 30s"), "merchants:\n", "merchants:\n"+list.String(), 1)
	s := serve(t, dir, text)
	rounds := s.reads() + 3*(many+1)
	eventually(t, "three polls of all merchants", func() bool {
		status, ready := fetch(t, s.admin+"/readyz")
		if status != http.StatusOK || strings.Contains(ready, "max_stale") {
			t.Fatalf("/readyz says %d %s", status, ready)
		}
		return s.reads() >= rounds
	})
	if refused := s.limited(); refused == 0 {
		t.Error("Vault limited nothing")
	} else {
		t.Logf("%d reads, %d more were limited; no merchant became stale", s.reads(), refused)
	}
	searchSecrets(t, s.text(), w, v, dir)
}

// limited is how many reads Vault refused for their rate.
func (s *sidecar) limited() int { s.t.Helper(); return s.ended("kv_read", "rate_limited") }
