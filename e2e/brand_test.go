//go:build e2e

package e2e

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	brandID   = "123456789"
	brandKey  = "abcdefghijklmnopqrstuvwxyz012345"
	brandType = "WECHATPAY-BRAND-SHA256-RSA2048"
	brandPub  = "PUB_KEY_ID_0119000000012026010100000001"
)

// brandPay plays the part of WeChat Pay that serves one brand.
type brandPay struct {
	t      *testing.T
	key    *rsa.PrivateKey
	caller *rsa.PublicKey
	serial string
}

var brandAuthorization = regexp.MustCompile(`^WECHATPAY-BRAND-SHA256-RSA2048 brand_id="123456789",nonce_str="([^"]+)",signature="([^"]+)",timestamp="(\d+)",serial_no="([0-9A-F]+)"$`)

func (b *brandPay) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	m := brandAuthorization.FindStringSubmatch(r.Header.Get("Authorization"))
	if m == nil || m[4] != b.serial {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	signature, _ := base64.StdEncoding.DecodeString(m[2])
	digest := sha256.Sum256([]byte(r.Method + "\n" + r.RequestURI + "\n" + m[3] + "\n" + m[1] + "\n" + string(body) + "\n"))
	if rsa.VerifyPKCS1v15(b.caller, crypto.SHA256, digest[:], signature) != nil {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	answer := []byte(`{"coupon_code":"C1"}`)
	b.sign(w.Header(), answer)
	_, _ = w.Write(answer)
}

func (b *brandPay) sign(h http.Header, body []byte) {
	timestamp := strconv.FormatInt(time.Now().Unix(), 10)
	digest := sha256.Sum256([]byte(timestamp + "\n" + "nonce" + "\n" + string(body) + "\n"))
	signature, err := rsa.SignPKCS1v15(rand.Reader, b.key, crypto.SHA256, digest[:])
	if err != nil {
		b.t.Error(err)
	}
	for name, value := range map[string]string{
		"Timestamp": timestamp, "Nonce": "nonce", "Signature": base64.StdEncoding.EncodeToString(signature), "Serial": brandPub, "Signature-Type": brandType,
	} {
		h.Set("Wechatpay-"+name, value)
	}
}

// notice is a notify for the brand, encrypted with its key.
func (b *brandPay) notice(url string) *http.Request {
	block, err := aes.NewCipher([]byte(brandKey))
	if err != nil {
		b.t.Fatal(err)
	}
	gcm, _ := cipher.NewGCM(block)
	sealed := gcm.Seal(nil, []byte("nonce1234567"), []byte(`{"brand_id":"`+brandID+`","coupon_code":"C1"}`), nil)
	body, err := json.Marshal(map[string]any{
		"id": "EV-BRAND-1", "create_time": time.Now().Format(time.RFC3339), "event_type": "PRODUCT_COUPON.SEND", "resource_type": "encrypt-resource",
		"resource": map[string]string{
			"original_type": "product_coupon", "algorithm": "AEAD_AES_256_GCM", "nonce": "nonce1234567", "ciphertext": base64.StdEncoding.EncodeToString(sealed),
		},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, url, strings.NewReader(string(body)))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	b.sign(r.Header, body)
	return r
}

// A brand beside a merchant: its calls, and its notify on the merchant's path.
func TestBrand(t *testing.T) {
	t.Parallel()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	own, merchant, dir := newCredentials(t, "a brand"), newCredentials(t, mchID), shortDir(t)
	pay := &brandPay{t: t, key: key, caller: &own.key.PublicKey, serial: own.serial()}
	server := httptest.NewServer(pay)
	t.Cleanup(server.Close)
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	own.write(t, dir+"/cafe")
	merchant.write(t, dir+"/shop")
	writeFile(t, dir+"/pub_key.pem", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}))
	entry := `
  - name: %[1]s
    %[2]s
    certificate: file:%[3]s/%[1]s/apiclient_cert.pem
    private_key: file:%[3]s/%[1]s/apiclient_key.pem
    apiv3_key: env:%[4]s
    platform: {public_key: "file:%[3]s/pub_key.pem", public_key_id: ` + brandPub + `, certificates: off}`
	a := newApp(t)
	s := startReady(t, setup{
		merchants: fmt.Sprintf(entry, "shop", "mchid: \""+mchID+"\"", dir, "SHOP") + fmt.Sprintf(entry, "cafe", "brand_id: \""+brandID+"\"", dir, "CAFE"),
		upstream:  server.URL, routes: strings.ReplaceAll(route("/notify", "all", a.url), "merchant: all", "merchants: [shop, cafe]"),
		env: []string{"SHOP=0123456789abcdef0123456789ABCDEF", "CAFE=" + brandKey},
	})
	got := curl(t, nil, post(s.outbound+"/brand/marketing/product-coupons", `{"out_request_no":"1"}`)...)
	if got.verified(t, 200).field(t, "coupon_code") != "C1" || got.header.Get("Wxproxy-Merchant") != "cafe" {
		t.Errorf("got\n%s", got.raw)
	}
	curl(t, nil, s.outbound+"/brand/x", "-H", "Wxproxy-Merchant: shop").refused(t, 400, "unknown_merchant")
	curl(t, nil, s.outbound+"/v3/x", "-H", "Wxproxy-Merchant: cafe").refused(t, 400, "unknown_merchant")

	answered := make(chan int, 1)
	go func() {
		r, err := http.DefaultClient.Do(pay.notice(s.notify + "/notify"))
		if err != nil {
			t.Error(err)
			answered <- 0
			return
		}
		_ = r.Body.Close()
		answered <- r.StatusCode
	}()
	d := a.take(204)
	if d.resource(t)["coupon_code"] != "C1" || !strings.Contains(string(d.body), `"brand_id":"`+brandID+`"`) || d.header.Get("Wxproxy-Merchant") != "cafe" {
		t.Errorf("the app got %v %s", d.header, d.body)
	}
	if status := <-answered; status != 204 {
		t.Errorf("WeChat Pay got %d", status)
	}
}
