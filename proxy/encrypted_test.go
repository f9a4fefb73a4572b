package proxy_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/wxproxy/wxproxy/proxy"
)

const (
	subMerchantBill = "/v3/bill/sub-merchant-fundflowbill?sub_mchid=1900000109&bill_date=2026-01-01&account_type=BASIC&algorithm="
	aesGCM          = "AEAD_AES_256_GCM"
	fileKey         = "Ywxi45ki1UJ8HKkYLRb1rjXA0qFNHyLt"
)

// sealedBill is an encrypted bill in the making; the zero value is genuine.
type sealedBill struct {
	plain string // empty: hello
	sum   string // empty: that of plain
	key   string // that opens the file; empty: fileKey
	told  string // the key in encrypt_key; empty: key
	nonce string // empty: as in the documents, 16 characters
	to    *rsa.PublicKey
	file  func([]byte) []byte // changes the encrypted file
	call  string              // empty: the bill of one sub-merchant
}

func (s sealedBill) billing(t testing.TB) *billing {
	t.Helper()
	plain, key, nonce, to := or(s.plain, "hello"), or(s.key, fileKey), or(s.nonce, "a8607ef79034c49c"), s.to
	if to == nil {
		to = &keys().merchant.PublicKey
	}
	block, err := aes.NewCipher([]byte(key))
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCMWithNonceSize(block, len(nonce))
	if err != nil {
		t.Fatal(err)
	}
	file := gcm.Seal(nil, []byte(nonce), []byte(plain), nil)
	if s.file != nil {
		file = s.file(file)
	}
	sealed, err := rsa.EncryptOAEP(sha1.New(), rand.Reader, to, []byte(or(s.told, key)), nil)
	if err != nil {
		t.Fatal(err)
	}
	return newBilling(t, fmt.Sprintf(`{"download_bill_count":1,"download_bill_list":[{"bill_sequence":1,"hash_type":"SHA1","hash_value":%q,`+
		`"download_url":"{base}/v3/bill/downloadurl?token=a","encrypt_key":%q,"nonce":%q}]}`,
		or(s.sum, sha1Hex([]byte(plain))), base64.StdEncoding.EncodeToString(sealed), nonce), content(string(file)))
}

// fetch asks for the bill and downloads it through its link.
func (s sealedBill) fetch(t testing.TB, edits ...func(*setup)) (got, *billing) {
	t.Helper()
	b := s.billing(t)
	r := newRig(t, b.wechat, edits...)
	g := r.do("GET", or(s.call, subMerchantBill+aesGCM), "", "Wxproxy-Decrypt", "on")
	g.passed(t, 200, "true")
	link := linkOf(t, g)
	for _, secret := range []string{fileKey, base64.StdEncoding.EncodeToString([]byte(fileKey)), base64.RawURLEncoding.EncodeToString([]byte(fileKey))} {
		if strings.Contains(link, secret) {
			t.Error("the file's key stands in the link in clear")
		}
	}
	return r.do("GET", targetOf(t, link), ""), b
}

// On request an encrypted bill reaches the app in clear, whatever the form of
// its nonce, compressed or not.
func TestDecryptedBill(t *testing.T) {
	t.Parallel()
	large := string(noise(300_000))
	for name, s := range map[string]sealedBill{
		"small":              {},
		"large":              {plain: large},
		"GZIP":               {plain: string(zip(t, []byte(large))), sum: sha1Hex([]byte(large))},
		"nonce of 12":        {nonce: "a8607ef79034"},
		"nonce of 32":        {nonce: "5K8264ILTKCH16CQ2502SI8ZNMTM67VS"},
		"ecommerce":          {call: "/v3/ecommerce/bill/fundflowbill?bill_date=2026-01-01&account_type=ALL&algorithm=" + aesGCM},
		"pay score":          {call: "/v3/payscore/merchant-bill?bill_date=2026-01-01&service_id=1&encryption_algorithm=" + aesGCM},
		"algorithm not said": {call: strings.TrimSuffix(subMerchantBill, "&algorithm=")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g, b := s.fetch(t)
			g.passed(t, 200, "unsigned")
			if g.body != or(s.plain, "hello") || g.header.Get("Wxproxy-Checked") != "sha1" || g.header.Get("Wxproxy-Rewritten") != "true" {
				t.Errorf("got %d bytes, %v", len(g.body), g.header)
			}
			if sent := b.downloads(); len(sent) != 1 || sent[0] != "/v3/bill/downloadurl?token=a" {
				t.Errorf("WeChat Pay saw %q", sent)
			}
		})
	}
}

// An answer whose link cannot lead to the file in clear says so.
func TestBillThatStaysEncrypted(t *testing.T) {
	t.Parallel()
	const whole = `{"download_bill_list":[{"download_url":"{base}/v3/bill/downloadurl?token=a","encrypt_key":"AAAA","nonce":"a8607ef79034c49c"}]}`
	for name, tt := range map[string]struct{ answer, header string }{
		"whole":          {whole, ""},
		"no encrypt_key": {strings.Replace(whole, `,"encrypt_key":"AAAA"`, "", 1), "failed"},
		"no nonce":       {strings.Replace(whole, `,"nonce":"a8607ef79034c49c"`, "", 1), "failed"},
		"other host":     {strings.Replace(whole, "{base}", "https://files.example", 1), "failed"},
		"no link yet":    {`{"download_bill_list":[]}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, newBilling(t, tt.answer, content("")).wechat)
			g := r.do("GET", subMerchantBill+aesGCM, "", "Wxproxy-Decrypt", "on")
			g.passed(t, 200, "true")
			if says := g.header.Get("Wxproxy-Decrypt"); says != tt.header {
				t.Errorf("Wxproxy-Decrypt is %q, want %q", says, tt.header)
			}
			if says := r.do("GET", subMerchantBill+aesGCM, "").header.Get("Wxproxy-Decrypt"); says != "" {
				t.Errorf("unasked for, Wxproxy-Decrypt is %q", says)
			}
		})
	}
}

// Of an encrypted bill that is not whole not a byte comes out.
func TestDecryptedBillWithOneThingWrong(t *testing.T) {
	t.Parallel()
	at := func(i int) func([]byte) []byte { return func(b []byte) []byte { b[(i+len(b))%len(b)] ^= 1; return b } }
	large := string(noise(300_000))
	for name, s := range map[string]sealedBill{
		"first byte":           {plain: large, file: at(0)},
		"last byte of the tag": {plain: large, file: at(-1)},
		"a byte less":          {plain: large, file: func(b []byte) []byte { return b[:len(b)-1] }},
		"a byte more":          {plain: large, file: func(b []byte) []byte { return append(b, 0) }},
		"nothing":              {file: func([]byte) []byte { return nil }},
		"shorter than a tag":   {file: func(b []byte) []byte { return b[:15] }},
		"another key":          {told: "x" + fileKey[1:]},
		"a short key":          {told: fileKey[1:]},
		"a key for another":    {to: &keys().other.PublicKey},
		"another hash":         {sum: helloSHA1, plain: large},
		"broken GZIP":          {plain: string(zip(t, []byte(large))[:1000]), sum: sha1Hex([]byte(large))},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g, _ := s.fetch(t)
			g.refused(t, 502, proxy.ReasonDownload)
		})
	}
	t.Run("too large", func(t *testing.T) {
		t.Parallel()
		fits, _ := sealedBill{plain: large}.fetch(t, func(s *setup) { s.Limits.EncryptedBill = 300_016 })
		fits.passed(t, 200, "unsigned")
		g, _ := sealedBill{plain: large}.fetch(t, func(s *setup) { s.Limits.EncryptedBill = 300_015 })
		g.refused(t, 502, proxy.ReasonTooLarge)
	})
}

// What could not be decrypted afterwards is refused before anything is sent.
func TestDecryptRefused(t *testing.T) {
	t.Parallel()
	b := sealedBill{}.billing(t)
	r := newRig(t, b.wechat)
	for name, row := range map[string]struct {
		target string
		header []string
	}{
		"SM4":             {subMerchantBill + "SM4_GCM", nil},
		"SM4, pay score":  {"/v3/payscore/merchant-bill?encryption_algorithm=SM4_GCM", nil},
		"untouched":       {subMerchantBill + aesGCM, []string{"Wxproxy-Rewrite", "off"}},
		"verifies itself": {subMerchantBill + aesGCM, []string{"Authorization", "WECHATPAY2-SHA256-RSA2048 x"}},
	} {
		t.Run(name, func(t *testing.T) {
			r.do("GET", row.target, "", append(row.header, "Wxproxy-Decrypt", "on")...).refused(t, 400, proxy.ReasonBadRequest)
		})
	}
	r.do("GET", tradeBill, "", "Wxproxy-Decrypt", "yes").refused(t, 400, proxy.ReasonBadRequest)
	transit := newRig(t, b.wechat, func(s *setup) { signsAlone(s.Merchants[0]) })
	transit.do("GET", subMerchantBill+aesGCM, "", "Wxproxy-Decrypt", "on").refused(t, 400, proxy.ReasonBadRequest)
	if n := len(b.seen()); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
	// Everywhere else the header changes nothing, and off is off.
	r.do("GET", "/v3/certificates", "", "Wxproxy-Decrypt", "on").passed(t, 200, "true")
	if link := linkOf(t, r.do("GET", subMerchantBill+"SM4_GCM", "", "Wxproxy-Decrypt", "off")); strings.Contains(link, "wxproxy_key") || strings.Contains(link, "wxproxy_sha") {
		t.Errorf("got %s", link)
	}
}

// The encrypted key rides in the link under our mac: nobody can have keys of
// their own choice opened.
func TestDecryptLinkHolds(t *testing.T) {
	t.Parallel()
	b := sealedBill{}.billing(t)
	r := newRig(t, b.wechat)
	link := targetOf(t, linkOf(t, r.do("GET", subMerchantBill+aesGCM, "", "Wxproxy-Decrypt", "on")))
	_, key, _ := strings.Cut(link, "wxproxy_key=")
	_, nonce, _ := strings.Cut(link, "wxproxy_nonce=")
	key, _, _ = strings.Cut(key, "&")
	nonce, _, _ = strings.Cut(nonce, "&")
	for name, target := range map[string]string{
		"another key":    strings.Replace(link, key, flip(key, 7), 1),
		"another nonce":  strings.Replace(link, nonce, flip(nonce, 0), 1),
		"no key":         strings.Replace(link, "&wxproxy_key="+key+"&wxproxy_nonce="+nonce, "", 1),
		"a huge key":     strings.Replace(link, key, strings.Repeat("A", 4096), 1),
		"not base64":     strings.Replace(link, key, "%"+key[1:], 1),
		"a moved border": strings.Replace(link, key+"&wxproxy_nonce=", key[:len(key)-4]+"&wxproxy_nonce="+key[len(key)-4:], 1),
	} {
		t.Run(name, func(t *testing.T) { r.do("GET", target, "").refused(t, 400, proxy.ReasonBadRequest) })
	}
	r.do("GET", link, "").passed(t, 200, "unsigned")
	// A certificate that changed between: the file's key does not open.
	changed := newRig(t, b.wechat, func(s *setup) {
		decryptsWith(s.Merchants[0], keys().other)
	})
	changed.do("GET", link, "").refused(t, 502, proxy.ReasonDownload)
	gone := newRig(t, b.wechat, func(s *setup) { signsAlone(s.Merchants[0]) })
	gone.do("GET", link, "").refused(t, 503, proxy.ReasonKeyUnavailable)
	if held := r.out.HeldBytes(); held != 0 {
		t.Errorf("%d bytes of the budget are still held", held)
	}
}

// One bill in several files: each has a link, a key and a hash of its own.
func TestBillInSeveralFiles(t *testing.T) {
	t.Parallel()
	one, two := sealedBill{plain: "one"}.billing(t), sealedBill{plain: "two", key: strings.Repeat("k", 32), nonce: "b8607ef79034c49d"}.billing(t)
	list := strings.TrimSuffix(one.answer, "]}")
	_, second, _ := strings.Cut(two.answer, "[")
	b := newBilling(t, list+","+strings.Replace(second, "token=a", "token=b", 1), func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("token") == "b" {
			two.file(w, r)
			return
		}
		one.file(w, r)
	})
	r := newRig(t, b.wechat)
	g := r.do("GET", subMerchantBill+aesGCM, "", "Wxproxy-Decrypt", "on")
	_, rest, _ := strings.Cut(g.body, `},{`)
	first := targetOf(t, linkOf(t, g))
	last := targetOf(t, linkOf(t, got{body: "{" + strings.TrimSuffix(rest, "]}")}))
	if a, b := r.do("GET", first, ""), r.do("GET", last, ""); a.body != "one" || b.body != "two" {
		t.Errorf("got %q and %q", a.body, b.body)
	}
	r.do("GET", strings.Replace(first, "token=a", "token=b", 1), "").refused(t, 400, proxy.ReasonBadRequest)
}
