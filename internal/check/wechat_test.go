package check_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"time"

	"github.com/wxproxy/wxproxy/internal/check"
)

// wechat is a WeChat Pay for one merchant, made with the standard library
// alone. Its fields are what tests break.
type wechat struct {
	certificates bool   // whether the merchant has any
	sealKey      string // the APIv3 key as WeChat Pay has it
	listed       pair   // the platform certificate
	signer       pair   // who signs
	signerID     string // … and its serial number
	public       pair   // the public key of pubKeyID
	encryptFor   pair   // for whom it encrypts

	clock  func() time.Time
	before func(w http.ResponseWriter, r *http.Request) bool // true: it has answered
	spoil  func(h http.Header, body []byte) []byte           // after signing
	fail   error                                             // of the connection
}

func newWechat() *wechat {
	k := made()
	return &wechat{
		certificates: true, sealKey: apiv3Key, listed: k.platform,
		signer: k.platform, signerID: serial(k.platform), public: k.public, encryptFor: k.shop, clock: time.Now,
	}
}

func serial(p pair) string { return fmt.Sprintf("%X", p.cert.SerialNumber) }

// send is check.Options.Send. It signs as the caller's signer does and takes no
// network.
func (w *wechat) send(ctx context.Context, c check.Call) (*http.Response, error) {
	if w.fail != nil {
		return nil, w.fail
	}
	r := httptest.NewRequestWithContext(ctx, c.Method, c.Path, bytes.NewReader(c.Body))
	r.Header = c.Header.Clone()
	authorization, err := c.Signer.Authorization(c.Method, c.Path, c.Body)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", authorization)
	recorder := httptest.NewRecorder()
	w.ServeHTTP(recorder, r)
	return recorder.Result(), ctx.Err()
}

func (w *wechat) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	out.Header().Set("Date", w.clock().UTC().Format(http.TimeFormat))
	out.Header().Set("Request-Id", "08DEADBEEF-0")
	switch body, _ := io.ReadAll(r.Body); {
	case r.URL.Path == "/": // the probe of the network
		http.NotFound(out, r)
	case w.before != nil && w.before(out, r):
	case r.Header.Get("User-Agent") == "" || r.Header.Get("Accept") == "":
		refuse(out, 400, "INVALID_REQUEST", "Http头缺少Accept或User-Agent")
	case !authorized(r, body):
		refuse(out, 401, "SIGN_ERROR", "错误的签名，验签失败")
	case r.Method+r.URL.Path == "GET/v3/certificates":
		w.list(out)
	case r.Method+r.URL.Path == "POST/v3/security/echo":
		w.echo(out, r, body)
	default:
		refuse(out, 404, "NOT_FOUND", "")
	}
}

func refuse(out http.ResponseWriter, status int, code, message string) {
	body, err := json.Marshal(map[string]string{"code": code, "message": message})
	if err != nil {
		panic(err)
	}
	out.WriteHeader(status)
	_, _ = out.Write(body)
}

func answering(status int, code, message string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		refuse(w, status, code, message)
		return true
	}
}

var authorizationPattern = regexp.MustCompile(`^WECHATPAY2-SHA256-RSA2048 mchid="(.*)",nonce_str="(.*)",signature="(.*)",timestamp="(.*)",serial_no="(.*)"$`)

func authorized(r *http.Request, body []byte) bool {
	m := authorizationPattern.FindStringSubmatch(r.Header.Get("Authorization"))
	if m == nil || m[1] != mchid || m[5] != serial(made().shop) {
		return false
	}
	signature, err := base64.StdEncoding.DecodeString(m[3])
	digest := sha256.Sum256([]byte(r.Method + "\n" + r.URL.RequestURI() + "\n" + m[4] + "\n" + m[2] + "\n" + string(body) + "\n"))
	return err == nil && rsa.VerifyPKCS1v15(&made().shop.key.PublicKey, crypto.SHA256, digest[:], signature) == nil
}

func (w *wechat) list(out http.ResponseWriter) {
	if !w.certificates {
		refuse(out, 404, "RESOURCE_NOT_EXISTS", "无可用的平台证书，请在商户平台-API安全申请使用微信支付公钥")
		return
	}
	aesBlock, err := aes.NewCipher([]byte(w.sealKey))
	if err != nil {
		panic(err)
	}
	gcm, err := cipher.NewGCM(aesBlock)
	if err != nil {
		panic(err)
	}
	const nonce, associated = "abcdefghijkl", "certificate"
	w.answer(out, map[string]any{"data": []any{map[string]any{
		"serial_no":      serial(w.listed),
		"effective_time": w.listed.cert.NotBefore.Format(time.RFC3339), "expire_time": w.listed.cert.NotAfter.Format(time.RFC3339),
		"encrypt_certificate": map[string]string{
			"algorithm": "AEAD_AES_256_GCM", "nonce": nonce, "associated_data": associated,
			"ciphertext": base64.StdEncoding.EncodeToString(gcm.Seal(nil, []byte(nonce), []byte(w.listed.certificate()), []byte(associated))),
		},
	}}})
}

func (w *wechat) echo(out http.ResponseWriter, r *http.Request, body []byte) {
	var m struct {
		Plain     string `json:"echo_message"`
		Encrypted string `json:"encrypted_echo_message"`
	}
	if json.Unmarshal(body, &m) != nil || r.Header.Get("Content-Type") != "application/json" {
		refuse(out, 400, "PARAM_ERROR", "body")
		return
	}
	if r.Header.Get("Wechatpay-Serial") != pubKeyID {
		refuse(out, 400, "PARAM_ERROR", "平台证书序列号Wechatpay-Serial错误")
		return
	}
	sealed, _ := base64.StdEncoding.DecodeString(m.Encrypted)
	text, err := rsa.DecryptOAEP(sha1.New(), nil, w.public.key, sealed, nil)
	if err != nil {
		refuse(out, 400, "PARAM_ERROR", "加密字段解密失败")
		return
	}
	sealed, err = rsa.EncryptOAEP(sha1.New(), rand.Reader, &w.encryptFor.key.PublicKey, text, nil)
	if err != nil {
		panic(err)
	}
	w.answer(out, map[string]string{"echo_message": m.Plain, "encrypted_echo_message": base64.StdEncoding.EncodeToString(sealed)})
}

func (w *wechat) answer(out http.ResponseWriter, value any) {
	body, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	timestamp, nonce := strconv.FormatInt(w.clock().Unix(), 10), rand.Text()
	digest := sha256.Sum256([]byte(timestamp + "\n" + nonce + "\n" + string(body) + "\n"))
	signature, err := rsa.SignPKCS1v15(rand.Reader, w.signer.key, crypto.SHA256, digest[:])
	if err != nil {
		panic(err)
	}
	h := out.Header()
	h.Set("Wechatpay-Timestamp", timestamp)
	h.Set("Wechatpay-Nonce", nonce)
	h.Set("Wechatpay-Signature", base64.StdEncoding.EncodeToString(signature))
	h.Set("Wechatpay-Serial", w.signerID)
	if w.spoil != nil {
		body = w.spoil(h, body)
	}
	_, _ = out.Write(body)
}
