package proxy_test

import (
	"bytes"
	"encoding/base64"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wxproxy/wxproxy/proxy"
)

// journal collects log lines of several goroutines.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.String()
}

// recorded is a log and metrics to hand to a face.
func recorded(t *testing.T) (*journal, *slog.Logger, *proxy.Metrics, *prometheus.Registry) {
	t.Helper()
	j, reg := &journal{}, prometheus.NewRegistry()
	m, err := proxy.NewMetrics(reg)
	if err != nil {
		t.Fatal(err)
	}
	return j, slog.New(slog.NewTextHandler(j, &slog.HandlerOptions{Level: slog.LevelDebug})), m, reg
}

// counted sums a counter by the value of one label.
func counted(t *testing.T, reg *prometheus.Registry, name, label string) map[string]int {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sums := make(map[string]int)
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == label {
					sums[l.GetValue()] += int(m.GetCounter().GetValue())
				}
			}
		}
	}
	return sums
}

// Each way to refuse a notify is counted under its own name, though strangers
// are told the same; probes above all, since WeChat Pay sends them itself.
func TestNotifyOutcomes(t *testing.T) {
	t.Parallel()
	j, log, metrics, reg := recorded(t)
	a := newApp(t, nil)
	g := newGate(t, a, func(o *proxy.NotifyOptions) { o.Log, o.Metrics = log, metrics })
	for _, n := range []notice{
		{}, {},
		{edit: header("Wechatpay-Signature", func(s string) string { return "WECHATPAY/SIGNTEST/" + s })},
		{edit: header("Wechatpay-Signature", func(s string) string { return flip(s, 0) })},
		{edit: func(r *http.Request) { r.Header.Del("Wechatpay-Nonce") }},
		{edit: func(r *http.Request) { r.Header = http.Header{} }},
		{skew: -3600e9}, {serial: rotatedSerial}, {apiv3: otherAPIv3}, {id: "EV-3", plain: `{"mchid":"1"}`},
		{id: "EV-4", event: "INVENTED." + strings.Repeat("X", 200)}, {path: "/" + strings.Repeat("x", 200)},
	} {
		g.post(n)
	}
	want := map[string]int{
		"delivered": 2, "duplicate": 1, "signtest_probe": 1, "bad_signature": 1, "bad_headers": 1, "unsigned": 1, "stale": 1,
		"serial_unknown": 1, "decrypt_failed": 1, "merchant_mismatch": 1, "not_found": 1,
	}
	outcomes := counted(t, reg, "wxproxy_notify_requests_total", "outcome")
	for name, n := range want {
		if outcomes[name] != n {
			t.Errorf("%d of %s, want %d", outcomes[name], name, n)
		}
	}
	if len(outcomes) != len(want) {
		t.Errorf("outcomes %v", outcomes)
	}
	for event := range counted(t, reg, "wxproxy_notify_requests_total", "event") {
		if event != "none" && event != "other" && event != "TRANSACTION.SUCCESS" {
			t.Errorf("event %q is a label", event)
		}
	}
	if lines := strings.Count(j.String(), "msg=notify "); lines != 12 {
		t.Errorf("%d log lines for 12 notifies:\n%s", lines, j)
	}
	keepsSecrets(t, j.String(), paid, `out_trade_no`, "INVENTED."+strings.Repeat("X", 80), strings.Repeat("x", 80))
}

// The log says who called what with which outcome, and neither bodies nor
// queries, tokens or signatures.
func TestOutboundRecords(t *testing.T) {
	t.Parallel()
	j, log, metrics, reg := recorded(t)
	w := newWechat(t, func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v3/broken" {
			answer{body: "{}", signed: "x"}.serve(rw, r)
			return
		}
		answer{body: `{"openid":"o-secret-answer"}`, headers: map[string]string{"Request-Id": strings.Repeat("R", 100)}}.serve(rw, r)
	})
	r := newRig(t, w, func(s *setup) {
		s.Log, s.Metrics = log, metrics
		s.Callers = []*proxy.Caller{{Name: "web", Token: token("s3cret-token")}}
	})
	auth := []string{"Wxproxy-Token", "s3cret-token", "Authorization", "Basic cHJpdmF0ZQ=="}
	r.do("POST", "/v3/pay/transactions/jsapi?x=secret-query", `{"out_trade_no":"T 1`+strings.Repeat("9", 100)+`","payer":{"openid":"o-secret-body"}}`, auth...).passed(t, 200, "true")
	r.do("GET", "/v3/pay/transactions/out-trade-no/secret-path", "", auth...).passed(t, 200, "true")
	r.do("GET", "/v3/"+strings.Repeat("invented", 20), "", auth...).passed(t, 200, "true")
	r.do("POST", "/v3/broken", "{}", auth...).unknown(t, proxy.ReasonSignature)
	r.do("GET", "/v3/x", "", "Wxproxy-Token", "s3cret-wrong").refused(t, 403, proxy.ReasonForbidden)
	r.front.Close()

	for label, want := range map[string]map[string]int{
		"endpoint": {"/v3/pay/transactions/jsapi": 1, "/v3/pay/transactions/out-trade-no/{out_trade_no}": 1, "other": 2, "none": 1},
		"merchant": {"shop": 4, "none": 1},
	} {
		got := counted(t, reg, "wxproxy_outbound_requests_total", label)
		for name, n := range want {
			if got[name] != n || len(got) != len(want) {
				t.Errorf("%s: %v, want %v", label, got, want)
				break
			}
		}
	}
	text := j.String()
	if lines := strings.Count(text, `msg="outbound call"`); lines != 5 {
		t.Errorf("%d log lines for 5 calls:\n%s", lines, text)
	}
	for _, said := range []string{"caller=web", "merchant=shop", "out_trade_no=\"T 1999", "outcome=verified", "outcome=forbidden"} {
		if !strings.Contains(text, said) {
			t.Errorf("the log does not say %s", said)
		}
	}
	keepsSecrets(t, text, "s3cret", "secret-", "cHJpdmF0ZQ", "WECHATPAY2-", strings.Repeat("9", 65), strings.Repeat("R", 65), "invented")
}

// keepsSecrets searches a text; that the search finds a planted secret is
// checked first.
func keepsSecrets(t *testing.T, text string, secrets ...string) {
	t.Helper()
	secrets = append(secrets, apiv3Key, otherAPIv3, base64.StdEncoding.EncodeToString([]byte(apiv3Key)),
		base64.StdEncoding.EncodeToString(keys().merchant.D.Bytes())[:40], keys().merchant.D.Text(16)[:40])
	for _, s := range secrets {
		if !strings.Contains(text+s, s) {
			t.Fatal("the search does not work")
		}
		if strings.Contains(text, s) {
			t.Errorf("the log has %.80q in it:\n%s", s, text)
		}
	}
}
