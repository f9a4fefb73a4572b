package proxy_test

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/wxproxy/wxproxy/proxy"
	"github.com/wxproxy/wxproxy/signer"
)

const (
	brandID   = "123456789"
	brandType = "WECHATPAY-BRAND-SHA256-RSA2048"
)

// cafe is a brand with keys of its own.
func cafe(t testing.TB, k *trust) *proxy.Merchant {
	t.Helper()
	m := newMerchant(t, "cafe", brandID, otherSerial, keys().other, k, otherAPIv3)
	s, err := signer.New(signer.Credential{Scheme: signer.SchemeBrand, ID: brandID, Serial: otherSerial, Key: keys().other}, nil)
	if err != nil {
		t.Fatal(err)
	}
	m.Scheme, m.PrivateKey = signer.SchemeBrand, func() proxy.PrivateKey { return proxy.PrivateKey{Signer: s} }
	return m
}

func withBrand(t testing.TB, k *trust) func(*setup) {
	t.Helper()
	return func(s *setup) { s.Merchants = []*proxy.Merchant{shop(t, k), cafe(t, k)} }
}

func signedAs(kind string) func(http.Header) {
	return func(h http.Header) { h.Set("Wechatpay-Signature-Type", kind) }
}

var brandAuthorization = regexp.MustCompile(`^WECHATPAY-BRAND-SHA256-RSA2048 brand_id="123456789",nonce_str="([0-9A-Za-z]{16,64})",signature="([^"]+)",timestamp="(\d{10})",serial_no="` + otherSerial + `"$`)

// The path says who signs: a merchant and a brand side by side need no header.
func TestBrandSignsBrandPaths(t *testing.T) {
	t.Parallel()
	w := newWechat(t, func(rw http.ResponseWriter, r *http.Request) {
		kind := "WECHATPAY2-SHA256-RSA2048"
		if strings.HasPrefix(r.URL.Path, "/brand/") {
			kind = brandType
		}
		answer{body: "{}", edit: signedAs(kind)}.serve(rw, r)
	})
	r := newRig(t, w, withBrand(t, newTrust()))
	const body = `{"mchid":"1900000009","brand_id":"123456789"}` // whom else a brand's body names is not judged
	g := r.do("POST", "/brand/marketing/x?a=b", body)
	g.passed(t, 200, "true")
	if g.header.Get("Wxproxy-Merchant") != "cafe" {
		t.Errorf("signed by %s", g.header.Get("Wxproxy-Merchant"))
	}
	c := w.only(t)
	m := brandAuthorization.FindStringSubmatch(c.Header.Get("Authorization"))
	if m == nil {
		t.Fatalf("Authorization is %q", c.Header.Get("Authorization"))
	}
	digest := sha256.Sum256([]byte("POST\n/brand/marketing/x?a=b\n" + m[3] + "\n" + m[1] + "\n" + body + "\n"))
	signature, err := base64.StdEncoding.DecodeString(m[2])
	if err != nil || rsa.VerifyPKCS1v15(&keys().other.PublicKey, crypto.SHA256, digest[:], signature) != nil {
		t.Error("the brand's signature does not hold")
	}
	if g := r.do("GET", "/v3/x", ""); g.status != 200 || g.header.Get("Wxproxy-Merchant") != "shop" {
		t.Errorf("/v3/ got %d by %s", g.status, g.header.Get("Wxproxy-Merchant"))
	}
	r.do("POST", "/brand/x", `{"brand_id":"1"}`).refused(t, 400, proxy.ReasonMerchantMismatch)
}

func TestBrandRefusals(t *testing.T) {
	t.Parallel()
	k := newTrust()
	both := newRig(t, newWechat(t, nil), withBrand(t, k))
	alone := newRig(t, newWechat(t, nil))
	atShop := newRig(t, newWechat(t, nil), withBrand(t, k), func(s *setup) { s.listener.Merchant = "shop" })
	for name, g := range map[string]got{
		"brand for /v3/":       both.do("GET", "/v3/x", "", "Wxproxy-Merchant", "cafe"),
		"brand's number":       both.do("GET", "/v3/x", "", "Wxproxy-Merchant", brandID),
		"merchant for /brand/": both.do("GET", "/brand/x", "", "Wxproxy-Merchant", "shop"),
		"listener's merchant":  atShop.do("GET", "/brand/x", ""),
		"no brand":             alone.do("GET", "/brand/x", ""),
		"pay-params":           both.do("POST", "/_wxproxy/v1/pay-params/jsapi", `{}`, "Wxproxy-Merchant", "cafe"),
	} {
		if g.status != 400 || g.header.Get("Wxproxy-Error") != string(proxy.ReasonUnknownMerchant) || !strings.Contains(g.body, "brand") {
			t.Errorf("%s: got %d %s", name, g.status, g.body)
		}
	}
	if g := both.do("POST", "/_wxproxy/v1/pay-params/jsapi", `{"appid":"wx1234567890abcdef","prepay_id":"wx2014"}`); g.status != 200 {
		t.Errorf("the only merchant beside a brand: got %d %s", g.status, g.body)
	}
}

// An answer that says it is signed for another kind of caller is refused; one
// that does not say is judged by its key.
func TestAnswerSignedForAnotherKind(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		path, kind string
		good       bool
	}{
		{"/brand/x", brandType, true},
		{"/brand/x", "WECHATPAY2-SHA256-RSA2048", false},
		{"/brand/x", "WECHATPAY2-SM2-WITH-SM3", false},
		{"/v3/x", "WECHATPAY2-SHA256-RSA2048", true},
		{"/v3/x", brandType, false},
	} {
		r := newRig(t, newWechat(t, answer{body: "{}", edit: signedAs(test.kind)}.serve), withBrand(t, newTrust()))
		g := r.do("GET", test.path, "")
		if test.good {
			g.passed(t, 200, "true")
			continue
		}
		g.refused(t, 502, proxy.ReasonSignature)
		if !strings.Contains(g.body, test.kind) {
			t.Errorf("%s signed as %s: got %s", test.path, test.kind, g.body)
		}
	}
	unnamed := answer{body: "{}", edit: func(h http.Header) { h.Del("Wechatpay-Signature-Type") }}
	newRig(t, newWechat(t, unnamed.serve), withBrand(t, newTrust())).do("GET", "/brand/x", "").passed(t, 200, "true")
}

// A merchant and a brand share a notify path: the type of the signature and the
// key that opens tell them apart.
func TestBrandNotify(t *testing.T) {
	t.Parallel()
	a := newApp(t, nil)
	k := newTrust()
	g := newGate(t, a, func(o *proxy.NotifyOptions) { o.Merchants = []*proxy.Merchant{shop(t, k), cafe(t, k)} })
	as := func(kind string) func(*http.Request) { return func(r *http.Request) { signedAs(kind)(r.Header) } }
	g.post(notice{id: "1"}).acknowledged(t)
	g.post(notice{id: "2", apiv3: otherAPIv3, plain: `{"brand_id":"` + brandID + `","mchid":"1"}`, edit: as(brandType)}).acknowledged(t)
	got := a.seen()
	if len(got) != 2 {
		t.Fatalf("%d deliveries", len(got))
	}
	var envelope map[string]any
	if err := json.Unmarshal([]byte(got[1].Body), &envelope); err != nil {
		t.Fatal(err)
	}
	if envelope["brand_id"] != brandID || envelope["merchant"] != "cafe" || envelope["mchid"] != nil {
		t.Errorf("the app got %s", got[1].Body)
	}
	for name, test := range map[string]struct {
		n      notice
		status int
	}{
		"brand's, signed as merchant's": {notice{apiv3: otherAPIv3, plain: "{}"}, 500},
		"merchant's, signed as brand's": {notice{edit: as(brandType)}, 500},
		"another brand's":               {notice{apiv3: otherAPIv3, plain: `{"brand_id":"1"}`, edit: as(brandType)}, 500},
		"of SM2":                        {notice{edit: as("WECHATPAY2-SM2-WITH-SM3")}, 401},
	} {
		if g := g.post(test.n); g.status != test.status {
			t.Errorf("%s: got %d", name, g.status)
		}
	}
	if n := len(a.seen()); n != 2 {
		t.Errorf("%d deliveries", n)
	}
	alone := newGate(t, a) // a path that serves no brand
	alone.post(notice{edit: as(brandType)}).sentBack(t, 401)
}

// What this build cannot verify or open has an outcome of its own, which says
// so in the log.
func TestUnsupportedNotify(t *testing.T) {
	t.Parallel()
	for want, n := range map[string]notice{
		"signature_type":     {edit: func(r *http.Request) { signedAs("WECHATPAY2-SM2-WITH-SM3")(r.Header) }},
		"cipher_unsupported": {form: func(e map[string]any) { e["resource"].(map[string]any)["algorithm"] = "AEAD_SM4_GCM" }},
	} {
		j, log, _, _ := recorded(t)
		g := newGate(t, newApp(t, nil), func(o *proxy.NotifyOptions) { o.Log = log })
		g.post(n)
		if text := j.String(); !strings.Contains(text, "outcome="+want) || !strings.Contains(text, "SM") {
			t.Errorf("want %s, the log says %s", want, text)
		}
	}
}
