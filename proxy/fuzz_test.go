package proxy_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/wxproxy/wxproxy/proxy"
)

func newRecorder() *httptest.ResponseRecorder { return httptest.NewRecorder() }

// No request makes the outbound face panic, or send anything outside APIv3's
// paths or to another host.
func FuzzOutbound(f *testing.F) {
	w := newWechat(f, nil)
	g := newRig(f, w)
	handler := g.out.Handler(proxy.Listener{})
	f.Add("GET", "/v3/certificates", "localhost", "", "application/json", []byte(nil))
	f.Add("POST", "http://api.mch.weixin.qq.com/v3/x?a=b", "localhost", "shop", "multipart/form-data; boundary=x", []byte("--x\r\n"))
	f.Add("GET", "/v3/%2e%2e/x", "evil", "", "", []byte("{"))
	f.Fuzz(func(t *testing.T, method, target, host, merchant, contentType string, body []byte) {
		r, err := http.NewRequest("POST", "http://x/", bytes.NewReader(body))
		if err != nil {
			return
		}
		r.Method, r.RequestURI, r.Host, r.URL = method, target, host, &url.URL{Path: "/"}
		r.Header = http.Header{"Content-Type": {contentType}}
		if merchant != "" {
			r.Header["Wxproxy-Merchant"] = []string{merchant}
		}
		handler.ServeHTTP(newRecorder(), r)
		for _, c := range w.take() {
			if !strings.HasPrefix(c.Target, "/v3/") && !strings.HasPrefix(c.Target, "/hk/v3/") {
				t.Errorf("%q was sent as %q", target, c.Target)
			}
		}
	})
}

// No bytes make the notify face panic, or reach the app.
func FuzzNotify(f *testing.F) {
	a := newApp(f, nil)
	g := newGate(f, a)
	f.Add("POST", "/notify/shop", "1700000000", "nonce", "c2ln", platformSerial, []byte(`{"id":"1"}`))
	f.Add("GET", "/x", "", "", "WECHATPAY/SIGNTEST/x", "ABC", []byte(nil))
	f.Fuzz(func(t *testing.T, method, path, timestamp, nonce, signature, serial string, body []byte) {
		r, err := http.NewRequest(method, "http://x/", bytes.NewReader(body))
		if err != nil {
			return
		}
		r.URL.Path, r.RemoteAddr = path, "127.0.0.1:1"
		r.Header = http.Header{"Wechatpay-Timestamp": {timestamp}, "Wechatpay-Nonce": {nonce}, "Wechatpay-Signature": {signature}, "Wechatpay-Serial": {serial}}
		w := newRecorder()
		g.notify.ServeHTTP(w, r)
		if w.Code < 400 || len(a.seen()) != 0 {
			t.Errorf("status %d, %d deliveries", w.Code, len(a.seen()))
		}
	})
}
