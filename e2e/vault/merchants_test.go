package vault_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// withTwo adds a merchant two, whose key was made in Transit; WeChat Pay does
// not know it, but the signature is asked for before it could say so.
func withTwo(v *vault, w *wechat, config string) string {
	v.t.Helper()
	v.post("transit/keys/two", `{"type":"rsa-2048"}`)
	return strings.Replace(config, "merchants:\n", `merchants:
  - name: two
    mchid: "1900000002"
    serial_no: 3775B6A45ACD588826D15E583A95F5DD51A2E300
    private_key: transit:transit/two@1
    apiv3_key: vault:secret/wechatpay/shop#apiv3_key
    platform: {public_key: "file:`+w.dir+`/pub_key.pem", public_key_id: `+w.publicKeyID+`, certificates: off}
`, 1)
}

// A key that Vault does not let sign costs the other merchants nothing.
func TestOneKeyHarmsNoOther(t *testing.T) {
	t.Parallel()
	v, w, dir := setUp(t, "1h")
	importKey(t, v, w)
	s := serve(t, dir, withTwo(v, w, config(w, v, "transit:transit/wechatpay-shop", "refresh: 1m")))
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

// A key that may not sign stops the start and fails check, with the line of
// policy. Once it runs, /readyz and a metric tell, without a call; the status
// stays, for the sake of the other merchants and of what needs no signature.
func TestKeyThatDoesNotSign(t *testing.T) {
	t.Parallel()
	v, w, dir := setUp(t, "1h")
	importKey(t, v, w)
	const line = `path "transit/sign/two/sha2-256" { capabilities = ["update"] }`
	withoutTwo := reading + ` path "transit/sign/wechatpay-shop/*" { capabilities = ["update"] }`
	v.rules(withoutTwo)
	text := withTwo(v, w, config(w, v, "transit:transit/wechatpay-shop", "refresh: 1s"))
	write(t, dir, "wxproxy.yaml", text)
	p := start(t, dir, nil, binary, "serve", "-c", "wxproxy.yaml")
	p.await("it does not sign: .*" + regexp.QuoteMeta(line))
	<-p.exited
	if code := p.cmd.ProcessState.ExitCode(); code != 2 {
		t.Errorf("exit code %d", code)
	}
	v.rules(reading + signing)
	s := serve(t, dir, text)
	v.rules(withoutTwo)
	eventually(t, "metric of the key", func() bool { return s.metric(t, `wxproxy_merchant_signing_failed{merchant="two"} 1`) })
	status, ready := fetch(t, s.admin+"/readyz")
	if status != http.StatusOK || !strings.Contains(ready, "the key does not sign: ") || !strings.Contains(ready, "transit/sign/two/sha2-256") {
		t.Errorf("/readyz says %d %s", status, ready)
	}
	if !s.metric(t, `wxproxy_merchant_signing_failed{merchant="shop"} 0`) {
		t.Error("the other merchant's key seems to fail too")
	}
	s.mustCall()
	report, code := s.check(t)
	if code != 1 || !strings.Contains(report, line) {
		t.Errorf("check ends with %d\n%s", code, report)
	}
	v.rules(reading + signing)
	eventually(t, "end of it", func() bool { return s.metric(t, `wxproxy_merchant_signing_failed{merchant="two"} 0`) })
	searchSecrets(t, s.text()+ready+report, w, v, dir)
}
