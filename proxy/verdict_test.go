package proxy_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/wxproxy/wxproxy/internal/secret"
	"github.com/wxproxy/wxproxy/proxy"
	"github.com/wxproxy/wxproxy/verifier"
)

// hand sends a notify to a local endpoint as an app hands it on.
func (r *rig) hand(n notice, endpoint string) got {
	r.t.Helper()
	n.path = local(endpoint)
	edit := n.edit
	n.edit = func(req *http.Request) {
		req.Header.Set("Wxproxy-Token", "token")
		if edit != nil {
			edit(req)
		}
	}
	return r.send(n.request(r.t, r.front.URL))
}

type flipped struct {
	notice notice
	reason string
}

// invalid flips one thing in a notify each; what is not verified is not opened.
func invalid() map[string]flipped {
	return map[string]flipped{
		"a byte":            {notice{body: func(b string) string { return strings.Replace(b, "EV-1", "EV-2", 1) }}, "bad_signature"},
		"a byte too many":   {notice{body: func(b string) string { return b + "\n" }}, "bad_signature"},
		"five minutes old":  {notice{skew: -300 * time.Second}, "stale"},
		"from the future":   {notice{skew: 301 * time.Second}, "stale"},
		"another's key":     {notice{key: keys().other}, "bad_signature"},
		"an unknown serial": {notice{serial: rotatedSerial}, "serial_unknown"},
		"a probe":           {notice{edit: func(r *http.Request) { r.Header.Set("Wechatpay-Signature", "WECHATPAY/SIGNTEST/abc") }}, "signtest_probe"},
		"a header missing":  {notice{edit: func(r *http.Request) { r.Header.Del("Wechatpay-Nonce") }}, "bad_headers"},
		"a header twice":    {notice{edit: func(r *http.Request) { r.Header.Add("Wechatpay-Serial", platformSerial) }}, "bad_headers"},
		"no headers": {notice{edit: func(r *http.Request) {
			for _, name := range []string{"Timestamp", "Nonce", "Signature", "Serial"} {
				r.Header.Del("Wechatpay-" + name)
			}
		}}, "unsigned"},
	}
}

func TestVerify(t *testing.T) {
	t.Parallel()
	g := newRig(t, newWechat(t, nil), withDecrypt)
	answer := g.hand(notice{}, "verify")
	if want := `{"valid":true,"serial":"` + platformSerial + `"}`; answer.status != http.StatusOK || strings.TrimSpace(answer.body) != want {
		t.Errorf("got %d %s, want %s", answer.status, answer.body, want)
	}
	for name, tt := range invalid() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer := g.hand(tt.notice, "verify")
			if answer.status != http.StatusOK || !strings.HasPrefix(answer.body, `{"valid":false,"reason":"`+tt.reason+`"`) {
				t.Errorf("got %d %s, want %s", answer.status, answer.body, tt.reason)
			}
		})
	}
}

func TestDecryptNotify(t *testing.T) {
	t.Parallel()
	g := newRig(t, newWechat(t, nil), withDecrypt)
	answer := g.hand(notice{}, "decrypt/notify")
	if answer.status != http.StatusOK || !strings.HasPrefix(answer.body, `{"id":"EV-1",`) || !strings.HasSuffix(answer.body, `,"resource":`+paid+"}") {
		t.Errorf("got %d %s", answer.status, answer.body)
	}
	for name, tt := range invalid() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer := g.hand(tt.notice, "decrypt/notify")
			answer.refused(t, http.StatusBadRequest, proxy.ReasonNotifyInvalid)
			if !strings.Contains(answer.body, `"reason":"`+tt.reason+`"`) || strings.Contains(answer.body, "T1") {
				t.Errorf("got %s, want %s", answer.body, tt.reason)
			}
		})
	}
	for name, tt := range map[string]struct {
		notice notice
		status int
		reason proxy.Reason
	}{
		"another APIv3 key":  {notice{apiv3: otherAPIv3}, http.StatusBadRequest, proxy.ReasonDecryptFailed},
		"another merchant's": {notice{plain: `{"mchid":"` + otherMchID + `"}`}, http.StatusBadRequest, proxy.ReasonMerchantMismatch},
		"no JSON inside":     {notice{plain: "x"}, http.StatusBadRequest, proxy.ReasonDecryptFailed},
		"no envelope":        {notice{form: func(e map[string]any) { delete(e, "id") }}, http.StatusBadRequest, proxy.ReasonDecryptFailed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g.hand(tt.notice, "decrypt/notify").refused(t, tt.status, tt.reason)
		})
	}
}

// That keys are missing is no verdict: the app must not answer WeChat Pay that
// a genuine notify is forged.
func TestVerifyWithoutKeys(t *testing.T) {
	t.Parallel()
	k := newTrust()
	k.fails = verifier.ErrKeysUnavailable
	g := newRig(t, newWechat(t, nil), withDecrypt, func(s *setup) {
		s.Merchants = []*proxy.Merchant{shop(t, k)}
		s.Merchants[0].APIv3Keys = func() []secret.Value { return nil }
	})
	for _, e := range []string{"verify", "decrypt/notify"} {
		g.hand(notice{serial: rotatedSerial}, e).refused(t, http.StatusBadGateway, proxy.ReasonKeysNotRefreshed)
	}
	g.hand(notice{}, "decrypt/notify").refused(t, http.StatusServiceUnavailable, proxy.ReasonKeyUnavailable)
}
