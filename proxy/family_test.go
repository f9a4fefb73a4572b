package proxy_test

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wxproxy/wxproxy/proxy"
)

// For these events WeChat Pay reads the app's answer: status and body go back,
// each time anew.
func TestAnswerOfTheApp(t *testing.T) {
	t.Parallel()
	for _, event := range []string{"PARKING_FEE.QUERY_TRANS_INFO", "ENTRUST.TERMINATE_RETENTION"} {
		for _, status := range []int{200, 201, 400, 500} {
			var calls atomic.Int32
			a := newApp(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("X-Of-The-App", "1")
				w.Header().Set("Authorization", "of the app")
				w.WriteHeader(status)
				_, _ = w.Write([]byte(`{"code":"SUCCESS", "n": ` + strconv.Itoa(int(calls.Add(1))) + "}\n"))
			})
			g := newGate(t, a)
			for i := 1; i <= 2; i++ {
				answer := g.post(notice{event: event})
				if answer.status != status || answer.body != `{"code":"SUCCESS", "n": `+strconv.Itoa(i)+"}\n" {
					t.Errorf("%s: got %d %q", event, answer.status, answer.body)
				}
				if answer.header.Get("X-Of-The-App") != "" || answer.header.Get("Authorization") != "" || answer.header.Get("Content-Type") != "application/json; charset=utf-8" {
					t.Errorf("%s: headers %v", event, answer.header)
				}
			}
			if n := len(a.seen()); n != 2 {
				t.Errorf("%s: %d deliveries, want 2", event, n)
			}
		}
	}
}

func TestSignedAnswerOfTheApp(t *testing.T) {
	t.Parallel()
	const text = "{\"code\":\"SUCCESS\",\n \"data\":{\"name\":\"中\"}}\n"
	for _, event := range []string{"CROSS_BORDER_PAY.GET_MCH_INFO", "CROSS_BORDER_PAY.PUSH_ORDER_INFO"} {
		a := newApp(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(text)) })
		answer := newGate(t, a).post(notice{event: event})
		if answer.status != 200 || answer.body != text {
			t.Fatalf("%s: got %d %q", event, answer.status, answer.body)
		}
		credential, err := parseCredential(answer.header)
		if err != nil {
			t.Fatal(err)
		}
		signature, err := base64.StdEncoding.DecodeString(credential.Signature)
		if err != nil {
			t.Fatal(err)
		}
		digest := sha256.Sum256([]byte(credential.Timestamp + "\n" + credential.Nonce + "\n" + text + "\n"))
		if err := rsa.VerifyPKCS1v15(&keys().merchant.PublicKey, crypto.SHA256, digest[:], signature); err != nil {
			t.Errorf("%s: %v", event, err)
		}
		at, err := strconv.ParseInt(credential.Timestamp, 10, 64)
		if err != nil || time.Since(time.Unix(at, 0)).Abs() > time.Minute || credential.MchID != mchID || credential.Serial != merchantSerial {
			t.Errorf("%s: signed as %+v", event, credential)
		}
	}
}

// An answer that did not come whole is no answer: it must never go back, and
// least of all signed.
func TestBrokenAnswerOfTheApp(t *testing.T) {
	t.Parallel()
	for name, reply := range map[string]http.HandlerFunc{
		"cut": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte(`{"code":"SUCCESS"`))
		},
		"cut error": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			w.WriteHeader(400)
			_, _ = w.Write([]byte(`{"code":"FAIL"`))
		},
		"too large": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(strings.Repeat("x", 65<<10)))
		},
		"too large an error": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(400)
			_, _ = w.Write([]byte(strings.Repeat("x", 65<<10)))
		},
		"redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/", 302) },
		"none":     func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		for _, event := range []string{"PARKING_FEE.QUERY_TRANS_INFO", "CROSS_BORDER_PAY.GET_MCH_INFO"} {
			t.Run(name+" "+event, func(t *testing.T) {
				t.Parallel()
				newGate(t, newApp(t, reply)).post(notice{event: event}).sentBack(t, 502)
			})
		}
	}
	t.Run("no key to sign with", func(t *testing.T) {
		t.Parallel()
		a := newApp(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("{}")) })
		g := newGate(t, a, func(o *proxy.NotifyOptions) { o.Merchants[0].PrivateKey = noKey })
		g.post(notice{event: "CROSS_BORDER_PAY.GET_MCH_INFO"}).sentBack(t, 503)
		g.post(notice{event: "PARKING_FEE.QUERY_TRANS_INFO"})
	})
}
