package vault_test

import (
	"io"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// tally is what came of the calls of a load that may fail.
type tally struct {
	stop chan struct{}
	all  sync.WaitGroup

	mu sync.Mutex
	by map[string]int // calls by status and reason
}

func (s *sidecar) tally(workers int) *tally {
	l := &tally{stop: make(chan struct{}), by: map[string]int{}}
	for range workers {
		l.all.Go(func() {
			for {
				select {
				case <-l.stop:
					return
				default:
				}
				status, reason, err := s.call()
				if err != nil {
					reason = err.Error()
				}
				l.mu.Lock()
				l.by[strconv.Itoa(status)+" "+reason]++
				l.mu.Unlock()
			}
		})
	}
	return l
}

func (l *tally) of(kind string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.by[kind]
}

// more waits until n more calls ended like that.
func (l *tally) more(t *testing.T, kind string, n int) {
	t.Helper()
	before := l.of(kind)
	eventually(t, "more calls like "+kind, func() bool { return l.of(kind) >= before+n })
}

const (
	signed      = "200 "
	unavailable = "503 key_unavailable"
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
	s := serve(t, dir, config(w, v, "transit:transit/wechatpay-shop", "refresh: 1s, timeout: 1s"))
	l := s.tally(2)
	l.more(t, signed, 100)
	// A revoked token costs at most the calls of a moment: a new login mends it.
	for range 5 {
		v.post("sys/leases/revoke-prefix/auth/approle", "")
		l.more(t, signed, 50)
	}
	t.Logf("5 revoked tokens: %d calls were told key_unavailable", l.of(unavailable))
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
	close(l.stop)
	l.all.Wait()
	for kind := range l.by {
		if kind != signed && kind != unavailable {
			t.Errorf("%d calls ended with %s", l.by[kind], kind)
		}
	}
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

func fetch(t *testing.T, url string) (int, string) {
	t.Helper()
	answer, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}
