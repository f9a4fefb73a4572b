package proxy_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"
)

// wechat plays WeChat Pay's API.
type wechat struct {
	*httptest.Server

	mu    sync.Mutex
	calls []call
	reply http.HandlerFunc
}

// call is one request as it came over the wire.
type call struct {
	Method, Target string
	Header         http.Header
	Body           []byte
	ContentLength  int64
	Chunked        bool
}

// newWechat starts one; a nil reply answers 200 and a signed {"ok":true}.
func newWechat(t testing.TB, reply http.HandlerFunc) *wechat {
	t.Helper()
	if reply == nil {
		reply = answer{body: `{"ok":true}`}.serve
	}
	w := &wechat{reply: reply}
	w.Server = httptest.NewServer(http.HandlerFunc(w.serve))
	t.Cleanup(w.Close)
	return w
}

func (w *wechat) serve(rw http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the other side broke off
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	w.mu.Lock()
	w.calls = append(w.calls, call{r.Method, r.RequestURI, r.Header.Clone(), body, r.ContentLength, len(r.TransferEncoding) > 0})
	w.mu.Unlock()
	w.reply(rw, r)
}

// seen are the requests so far.
func (w *wechat) seen() []call {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]call(nil), w.calls...)
}

// take hands over the requests so far and forgets them: fuzzing makes many.
func (w *wechat) take() []call {
	w.mu.Lock()
	defer w.mu.Unlock()
	calls := w.calls
	w.calls = nil
	return calls
}

// only is the one request that came.
func (w *wechat) only(t testing.TB) call {
	t.Helper()
	calls := w.seen()
	if len(calls) != 1 {
		t.Fatalf("WeChat Pay saw %d requests, want 1", len(calls))
	}
	return calls[0]
}

// answer is what the played WeChat Pay says; the zero value is a signed 200.
type answer struct {
	status  int
	body    string
	signed  string          // what the signature covers, where that is not the body
	key     *rsa.PrivateKey // nil: the platform's
	serial  string          // empty: the platform's
	skew    time.Duration   // of the timestamp
	now     func() time.Time
	bare    bool // without signature headers
	headers map[string]string
	edit    func(http.Header)
}

func (a answer) serve(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Request-Id", "08F7E2D2B806101F18C8D2CA6020-0")
	if !a.bare {
		text := a.body
		if a.signed != "" {
			text = a.signed
		}
		key, serial, now := keys().platform, platformSerial, time.Now
		if a.key != nil {
			key = a.key
		}
		if a.serial != "" {
			serial = a.serial
		}
		if a.now != nil {
			now = a.now
		}
		stamp(w.Header(), key, serial, now().Add(a.skew), []byte(text))
	}
	for name, value := range a.headers {
		w.Header().Set(name, value)
	}
	if a.edit != nil {
		a.edit(w.Header())
	}
	if a.status == 0 {
		a.status = http.StatusOK
	}
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.body)
}

// stamp signs as WeChat Pay signs answers and notifies.
func stamp(h http.Header, key *rsa.PrivateKey, serial string, now time.Time, body []byte) {
	timestamp, nonce := strconv.FormatInt(now.Unix(), 10), rand.Text()
	h.Set("Wechatpay-Timestamp", timestamp)
	h.Set("Wechatpay-Nonce", nonce)
	h.Set("Wechatpay-Serial", serial)
	h.Set("Wechatpay-Signature", sign(key, timestamp+"\n"+nonce+"\n"+string(body)+"\n"))
	h.Set("Wechatpay-Signature-Type", "WECHATPAY2-SHA256-RSA2048")
}

func sign(key *rsa.PrivateKey, message string) string {
	digest := sha256.Sum256([]byte(message))
	signature, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest[:])
	if err != nil {
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(signature)
}

var authorizationForm = regexp.MustCompile(`^WECHATPAY2-SHA256-RSA2048 mchid="(\d+)",nonce_str="([0-9A-Za-z]{16,64})",signature="([^"]+)",timestamp="(\d{10})",serial_no="([0-9A-F]{40})"$`)

// credential is a request's Authorization, taken apart.
type credential struct{ MchID, Nonce, Signature, Timestamp, Serial string }

func parseCredential(h http.Header) (credential, error) {
	if len(h["Authorization"]) != 1 {
		return credential{}, fmt.Errorf("%d Authorization headers", len(h["Authorization"]))
	}
	m := authorizationForm.FindStringSubmatch(h.Get("Authorization"))
	if m == nil {
		return credential{}, errors.New("Authorization does not have its form")
	}
	return credential{m[1], m[2], m[3], m[4], m[5]}, nil
}

func (c credential) message(method, target string, signed []byte) string {
	return method + "\n" + target + "\n" + c.Timestamp + "\n" + c.Nonce + "\n" + string(signed) + "\n"
}

// authorized checks a request as WeChat Pay does; signed is the body, or the
// meta part of an upload.
func authorized(c call, signed []byte, key *rsa.PublicKey) (credential, error) {
	cr, err := parseCredential(c.Header)
	if err != nil {
		return cr, err
	}
	signature, err := base64.StdEncoding.DecodeString(cr.Signature)
	if err != nil {
		return cr, err
	}
	digest := sha256.Sum256([]byte(cr.message(c.Method, c.Target, signed)))
	return cr, rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], signature)
}
