package proxy_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/wechatpay-apiv3/wechatpay-go/core/auth/verifiers"
	"github.com/wechatpay-apiv3/wechatpay-go/core/notify"
	"github.com/wechatpay-apiv3/wechatpay-go/utils"

	"github.com/wxproxy/wxproxy/proxy"
)

func bodyForm(form proxy.BodyForm) func(*proxy.NotifyOptions) {
	return func(o *proxy.NotifyOptions) { o.Routes[0].Body = form }
}

func TestNotifyReachesTheApp(t *testing.T) {
	t.Parallel()
	a := newApp(t, nil)
	newGate(t, a).post(notice{edit: func(r *http.Request) {
		for _, name := range []string{"Wxproxy-Event-Id", "Wxproxy-Merchant", "Wxproxy-Verified", "Wxproxy-X", "Idempotency-Key", "Webhook-Id", "Webhook-Signature", "X-Other", "Authorization", "Cookie"} {
			r.Header.Set(name, "evil")
		}
	}}).acknowledged(t)
	d := a.only(t)
	if d.Method != "POST" || d.Target != "/wechat/paid" {
		t.Errorf("delivered by %s %s", d.Method, d.Target)
	}
	want := map[string]string{
		"Content-Type": "application/json; charset=utf-8", "User-Agent": "wxproxy", "Content-Length": fmt.Sprint(len(d.Body)),
		"Wxproxy-Event-Id": "EV-1", "Wxproxy-Event-Type": "TRANSACTION.SUCCESS", "Wxproxy-Merchant": "shop", "Idempotency-Key": "EV-1",
	}
	for name := range d.Header {
		if d.Header.Get(name) != want[name] || len(d.Header[name]) != 1 {
			t.Errorf("header %s is %q, want %q", name, d.Header[name], want[name])
		}
		delete(want, name)
	}
	if len(want) != 0 {
		t.Errorf("headers missing: %v", want)
	}

	// The resource's own text is in it, byte for byte.
	if !strings.HasSuffix(d.Body, `,"resource":`+paid+"}") {
		t.Errorf("the resource was rewritten: %s", d.Body)
	}
	var e map[string]json.RawMessage
	if err := json.Unmarshal([]byte(d.Body), &e); err != nil {
		t.Fatal(err)
	}
	fields := map[string]string{
		"id": `"EV-1"`, "create_time": `"2026-11-23T10:34:56+08:00"`, "event_type": `"TRANSACTION.SUCCESS"`, "resource_type": `"encrypt-resource"`,
		"original_type": `"transaction"`, "summary": `"支付成功 <&>"`, "merchant": `"shop"`, "mchid": `"1900000001"`, "resource": paid,
	}
	for name, want := range fields {
		if string(e[name]) != want {
			t.Errorf("%s is %s, want %s", name, e[name], want)
		}
	}
	if len(e) != len(fields) {
		t.Errorf("%d fields, want %d: %s", len(e), len(fields), d.Body)
	}
}

func TestNotifyBodyResource(t *testing.T) {
	t.Parallel()
	a := newApp(t, nil)
	newGate(t, a, bodyForm(proxy.BodyResource)).post(notice{}).acknowledged(t)
	if d := a.only(t); d.Body != paid {
		t.Errorf("got %s", d.Body)
	}
}

// The raw form is for apps that verify and decrypt for themselves: the official
// SDK takes it.
func TestNotifyBodyRaw(t *testing.T) {
	t.Parallel()
	aead, err := utils.DecryptAES256GCM(apiv3Key, "transaction", "fdasflkja484", seal(t, apiv3Key, "fdasflkja484", "transaction", "x"))
	if err != nil || aead != "x" {
		t.Fatalf("the SDK does not open what these tests seal: %v", err)
	}
	handler, err := notify.NewRSANotifyHandler(apiv3Key, verifiers.NewSHA256WithRSAPubkeyVerifier(platformSerial, keys().platform.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	a := newApp(t, func(w http.ResponseWriter, r *http.Request) {
		content := new(map[string]any)
		parsed, err := handler.ParseNotifyRequest(r.Context(), r, content)
		if err != nil || parsed.Resource.Plaintext != paid {
			t.Errorf("the SDK refuses: %v", err)
			w.WriteHeader(500)
		}
	})
	n := notice{}
	newGate(t, a, bodyForm(proxy.BodyRaw)).post(n).acknowledged(t)
	d := a.only(t)
	if d.Body != n.envelope(t) || d.Header.Get("Request-Id") != "req-1" || d.Header.Get("Wechatpay-Signature-Type") == "" || d.Header.Get("Wxproxy-Event-Id") != "EV-1" {
		t.Errorf("got %s %v", d.Body, d.Header)
	}
}

func TestNotifyBodyCloudEvents(t *testing.T) {
	t.Parallel()
	for created, timed := range map[string]bool{"2026-11-23T10:34:56+08:00": true, "yesterday": false, "": false} {
		a := newApp(t, nil)
		newGate(t, a, bodyForm(proxy.BodyCloudEvents)).post(notice{form: func(e map[string]any) { e["create_time"] = created }}).acknowledged(t)
		d := a.only(t)
		var e map[string]json.RawMessage
		if err := json.Unmarshal([]byte(d.Body), &e); err != nil {
			t.Fatal(err)
		}
		fields := map[string]string{
			"specversion": `"1.0"`, "id": `"EV-1"`, "source": `"/wechatpay/merchants/1900000001"`, "type": `"cn.wechatpay.TRANSACTION.SUCCESS"`,
			"datacontenttype": `"application/json"`, "data": paid,
		}
		if timed {
			fields["time"] = `"` + created + `"`
		}
		for name, want := range fields {
			if string(e[name]) != want {
				t.Errorf("%s is %s, want %s", name, e[name], want)
			}
		}
		if len(e) != len(fields) || d.Header.Get("Content-Type") != "application/cloudevents+json; charset=utf-8" {
			t.Errorf("got %s as %s", d.Body, d.Header.Get("Content-Type"))
		}
	}
}

// The signature is that of Standard Webhooks, computed here anew.
func TestNotifyWebhookSignature(t *testing.T) {
	t.Parallel()
	key := []byte("0123456789abcdef01234567")
	for name, secret := range map[string]string{
		"with prefix": "whsec_" + base64.StdEncoding.EncodeToString(key),
		"without":     base64.StdEncoding.EncodeToString(key) + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t, nil)
			newGate(t, a, func(o *proxy.NotifyOptions) { o.Routes[0].Secret = token(secret) }).post(notice{}).acknowledged(t)
			d := a.only(t)
			mac := hmac.New(sha256.New, key)
			_, _ = fmt.Fprintf(mac, "%s.%s.%s", d.Header.Get("webhook-id"), d.Header.Get("webhook-timestamp"), d.Body)
			if want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)); d.Header.Get("webhook-signature") != want {
				t.Errorf("webhook-signature is %s, want %s", d.Header.Get("webhook-signature"), want)
			}
			at, err := time.ParseDuration(d.Header.Get("webhook-timestamp") + "s")
			if err != nil || time.Since(time.Unix(0, 0).Add(at)).Abs() > time.Minute || d.Header.Get("webhook-id") != "EV-1" {
				t.Errorf("webhook headers: %v", d.Header)
			}
		})
	}
}

func TestWebhookSecret(t *testing.T) {
	t.Parallel()
	for s, ok := range map[string]bool{
		"whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 24)): true,
		"whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 64)): true,
		"whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 23)): false,
		"whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 65)): false,
		"": false, "whsec_": false, "whsec_!": false,
	} {
		if err := proxy.CheckWebhookSecret(token(s)()); (err == nil) != ok {
			t.Errorf("%q: %v", s, err)
		}
	}
	// A secret that was broken while running delivers nothing unsigned.
	a := newApp(t, nil)
	newGate(t, a, func(o *proxy.NotifyOptions) { o.Routes[0].Secret = token("broken") }).post(notice{}).sentBack(t, 500)
	if len(a.seen()) != 0 {
		t.Error("delivered unsigned")
	}
}

// Ids that no header can hold never block a delivery, and never become one.
func TestOddIDs(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 100)
	a := newApp(t, nil)
	g := newGate(t, a)
	ids := []string{"a b", "a,b", "a\r\nX-Evil: 1", "中文", long, long + "y", "\u0000", "a\"b"}
	for _, id := range ids {
		g.post(notice{id: id}).acknowledged(t)
	}
	seen := make(map[string]bool)
	for i, d := range a.seen() {
		if key := d.Header.Get("Idempotency-Key"); key == "" || len(key) > 64 || seen[key] {
			t.Errorf("%q has the key %q", ids[i], key)
		}
		seen[d.Header.Get("Idempotency-Key")] = true
		if len(d.Header.Get("Wxproxy-Event-Id")) > 64 || d.Header.Get("X-Evil") != "" {
			t.Errorf("%q: %v", ids[i], d.Header)
		}
		var e struct{ ID string }
		if err := json.Unmarshal([]byte(d.Body), &e); err != nil || e.ID != ids[i] {
			t.Errorf("the body has %q, %v", e.ID, err)
		}
	}
	if len(seen) != len(ids) {
		t.Errorf("%d keys for %d ids", len(seen), len(ids))
	}
}

// What the app has not plainly taken is not acknowledged.
func TestAppDoesNotTakeIt(t *testing.T) {
	t.Parallel()
	elsewhere := newApp(t, nil)
	for name, test := range map[string]struct {
		reply  http.HandlerFunc
		status int
	}{
		"500":      {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }, 502},
		"404":      {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }, 502},
		"304":      {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(304) }, 502},
		"redirect": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, 307) }, 502},
		"see other": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL, 303)
		}, 502},
		"no answer": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 502},
		"cut": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10")
			_, _ = w.Write([]byte("x"))
		}, 502},
		"too much": {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 65<<10)) }, 502},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t, test.reply)
			g := newGate(t, a)
			g.post(notice{}).sentBack(t, test.status)
			before := len(a.seen())
			g.post(notice{}).sentBack(t, test.status) // and the next copy is tried again
			if len(a.seen()) <= before {
				t.Error("the next copy was not delivered")
			}
		})
	}
	t.Run("elsewhere", func(t *testing.T) {
		if len(elsewhere.seen()) != 0 {
			t.Error("a redirect was followed")
		}
	})
	t.Run("gone", func(t *testing.T) {
		t.Parallel()
		a := newApp(t, nil)
		a.Close()
		newGate(t, a).post(notice{}).sentBack(t, 502)
	})
	t.Run("taken with a body", func(t *testing.T) {
		t.Parallel()
		a := newApp(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(202)
			_, _ = w.Write([]byte(`{"secret":"of the app"}`))
		})
		newGate(t, a).post(notice{}).acknowledged(t)
	})
}
