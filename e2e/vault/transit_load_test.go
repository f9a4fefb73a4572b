package vault_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
)

const (
	reading = `path "secret/data/wechatpay/*" { capabilities = ["read"] } path "transit/keys/*" { capabilities = ["read"] }`
	signing = ` path "transit/sign/*" { capabilities = ["update"] }`
)

// rules replaces the policy of wxproxy.
func (v *vault) rules(text string) {
	v.t.Helper()
	v.post("sys/policies/acl/wxproxy", `{"policy":"`+strings.ReplaceAll(text, `"`, `\"`)+`"}`)
}

// Each trouble of Vault under a load that Transit signs: the app is told 503
// key_unavailable and nothing else, and afterwards all goes on by itself.
func TestTransitTroubles(t *testing.T) {
	t.Parallel()
	v, w, dir := setUp(t, "1h")
	importKey(t, v, w)
	s := serve(t, dir, config(w, v, "transit:transit/wechatpay-shop", "refresh: 1s"))
	l := s.load(2)
	l.more(t, signed, 100)
	// A revoked token costs no call: a new login mends it, also when the next is
	// revoked at once.
	for i := range 10 {
		v.post("sys/leases/revoke-prefix/auth/approle", "")
		l.more(t, signed, 1+50*(i%2))
	}
	lost := l.of(unavailable)
	if lost > 0 {
		t.Errorf("10 revoked tokens: %d calls were told key_unavailable", lost)
	}
	t.Logf("10 revoked tokens: %d calls signed, %d lost", l.of(signed), lost)
	for _, x := range []struct {
		name        string
		cause, mend func()
		breaks      bool // the breaker opens: Vault itself is in trouble
	}{
		{"seal", v.seal, v.unseal, true},
		{"kill -9", v.kill, v.boot, true},
		{"no permission to sign", func() { v.rules(reading) }, func() { v.rules(reading + signing) }, false},
	} {
		before := l.of(unavailable)
		x.cause()
		l.more(t, unavailable, 20)
		if x.breaks {
			eventually(t, "open breaker: "+x.name, func() bool { return s.metric(t, "wxproxy_vault_breaker_open 1") })
		}
		x.mend()
		l.more(t, signed, 50)
		eventually(t, "closed breaker: "+x.name, func() bool {
			return s.metric(t, "wxproxy_vault_breaker_open 0") && s.metric(t, "wxproxy_vault_up 1")
		})
		t.Logf("%s: %d calls were told key_unavailable", x.name, l.of(unavailable)-before)
	}
	l.end(t, unavailable)
	t.Logf("in all: %v", l.by)
	_, metrics := fetch(t, s.admin+"/metrics")
	if !regexp.MustCompile(`wxproxy_transit_sign_duration_seconds_count\{outcome="success"\} \d\d+`).MatchString(metrics) {
		t.Error("no times of signatures in the metrics")
	}
	if !regexp.MustCompile(`wxproxy_outbound_requests_total\{[^}]*outcome="key_unavailable"[^}]*\} \d+`).MatchString(metrics) {
		t.Error("no key_unavailable in the metrics")
	}
	searchSecrets(t, s.text(), w, v, dir)
}

// The same for a role without Vault's policy default, whose tokens may not look
// themselves up. check says what to add.
func TestBlindTokenRevoked(t *testing.T) {
	t.Parallel()
	v, w, dir := setUp(t, "1h")
	importKey(t, v, w)
	v.post("auth/approle/role/wxproxy", `{"token_policies":"wxproxy","token_ttl":"1h","token_no_default_policy":true}`)
	s := serve(t, dir, config(w, v, "transit:transit/wechatpay-shop", "refresh: 1s"))
	l := s.load(2)
	for range 8 {
		l.more(t, signed, 10)
		v.post("sys/leases/revoke-prefix/auth/approle", "")
	}
	l.more(t, signed, 10)
	l.end(t)
	before := s.logins()
	v.rules(reading)
	for range 20 {
		if status, _, _ := s.call(); status != http.StatusServiceUnavailable {
			t.Errorf("without permission to sign: %d", status)
		}
	}
	if n := s.logins() - before; n != 0 {
		t.Errorf("a missing permission made %d logins", n)
	}
	v.rules(reading + signing)
	report, code := s.check(t)
	if code != 0 || !strings.Contains(report, `path "auth/token/lookup-self" { capabilities = ["read"] }`) {
		t.Errorf("check ends with %d and says:\n%s", code, report)
	}
	searchSecrets(t, s.text()+report, w, v, dir)
}
