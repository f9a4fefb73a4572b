package proxy_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

const tradeBill = "/v3/bill/tradebill?bill_date=2026-01-01"

// billing plays the calls that hand out links, and the downloads.
type billing struct {
	*wechat

	answer string // to the calls; {base} is where the downloads are
	file   http.HandlerFunc
}

func newBilling(t testing.TB, answer string, file http.HandlerFunc) *billing {
	t.Helper()
	b := &billing{answer: answer, file: file}
	b.wechat = newWechat(t, b.serve)
	return b
}

func (b *billing) serve(w http.ResponseWriter, r *http.Request) {
	if strings.Contains(r.URL.Path, "download") && !strings.HasSuffix(r.URL.Path, "bill-download-url") {
		b.file(w, r)
		return
	}
	answer{body: strings.ReplaceAll(b.answer, "{base}", b.URL)}.serve(w, r)
}

// sent are the targets of the downloads as they reached WeChat Pay.
func (b *billing) downloads() []string {
	var list []string
	for _, c := range b.seen() {
		if strings.Contains(c.Target, "token") {
			list = append(list, c.Target)
		}
	}
	return list
}

func content(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(text)) }
}

func linkOf(t testing.TB, g got) string {
	t.Helper()
	var a struct {
		URL  string `json:"download_url"`
		List []struct {
			URL string `json:"download_url"`
		} `json:"download_bill_list"`
	}
	if err := json.Unmarshal([]byte(g.body), &a); err != nil {
		t.Fatalf("%s: %v", g.body, err)
	}
	if len(a.List) > 0 {
		return a.List[0].URL
	}
	return a.URL
}

func targetOf(t testing.TB, link string) string {
	t.Helper()
	u, err := url.Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	return u.RequestURI()
}

const (
	helloSHA1   = "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d" // openssl dgst -sha1
	helloSHA256 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
)

// The whole way: the answer is verified, its link leads back to us, and WeChat
// Pay sees the link that it gave, byte for byte.
func TestLinkLeadsHere(t *testing.T) {
	t.Parallel()
	// Odd white space, an unknown member and an escape: only the link changes.
	const before = `{ "hash_type":"SHA1",` + "\n" + `"download_url" : "{base}\/v3\/billdownload\/file?token=a%2fB~*'x&tartype=gzip", "new":1.50e2, "hash_value":"` + helloSHA1 + `"}`
	b := newBilling(t, before, content("hello"))
	r := newRig(t, b.wechat)
	g := r.do("GET", tradeBill, "")
	g.passed(t, 200, "true")
	if g.header.Get("Wxproxy-Rewritten") != "true" || g.header.Get("Wechatpay-Signature") != "" {
		t.Errorf("headers %v", g.header)
	}
	link := linkOf(t, g)
	want := strings.Replace(before, `{base}\/v3\/billdownload\/file?token=a%2fB~*'x&tartype=gzip`, link, 1)
	if g.body != want {
		t.Errorf("got  %s\nwant %s", g.body, want)
	}
	if !strings.HasPrefix(link, r.front.URL+"/v3/billdownload/file?token=a%2fB~*'x&tartype=gzip&wxproxy_merchant="+mchID+"&wxproxy_sha1="+helloSHA1+"&wxproxy_mac=") {
		t.Errorf("the link is %s", link)
	}
	file := r.do("GET", strings.TrimPrefix(link, r.front.URL), "")
	file.passed(t, 200, "unsigned")
	if file.body != "hello" || file.header.Get("Wxproxy-Checked") != "sha1" {
		t.Errorf("got %q, %v", file.body, file.header)
	}
	if sent := b.downloads(); len(sent) != 1 || sent[0] != "/v3/billdownload/file?token=a%2fB~*'x&tartype=gzip" {
		t.Errorf("WeChat Pay saw %q", sent)
	}
	if _, err := authorized(b.seen()[1], nil, &keys().merchant.PublicKey); err != nil {
		t.Error(err)
	}
	// The app may also change the host by itself, as it did before wxproxy.
	bare := r.do("GET", "/v3/billdownload/file?token=a", "")
	bare.passed(t, 200, "unsigned")
	if bare.body != "hello" || bare.header.Get("Wxproxy-Checked") != "" {
		t.Errorf("got %q, %v", bare.body, bare.header)
	}
}

// The link leads to where the caller reached us.
func TestLinkBase(t *testing.T) {
	t.Parallel()
	b := newBilling(t, `{"hash_type":"SHA1","hash_value":"`+helloSHA1+`","download_url":"{base}/v3/billdownload/file?token=a"}`, content("hello"))
	const target = "GET /v3/bill/tradebill HTTP/1.1\r\nHost: "
	for name, row := range map[string]struct{ request, base string }{
		"address":           {target + "127.0.0.1:8080", "http://127.0.0.1:8080"},
		"localhost":         {target + "localhost:8080", "http://localhost:8080"},
		"without port":      {target + "localhost", "http://localhost"},
		"IPv6":              {target + "[::1]:8080", "http://[::1]:8080"},
		"a name of ours":    {target + "wxproxy.internal:80", "http://wxproxy.internal:80"},
		"as a proxy":        {"GET http://api.mch.weixin.qq.com/v3/bill/tradebill HTTP/1.1\r\nHost: x", "http://api.mch.weixin.qq.com"},
		"as an https proxy": {"GET https://api.mch.weixin.qq.com/v3/bill/tradebill HTTP/1.1\r\nHost: x", "http://api.mch.weixin.qq.com"},
		"broken port":       {target + "localhost:x", "http://{address}"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, b.wechat, func(s *setup) { s.Hosts = []string{"api.mch.weixin.qq.com", "wxproxy.internal"} })
			g := raw(t, r.address(), row.request+"\r\n\r\n")
			g.passed(t, 200, "true")
			if want := strings.ReplaceAll(row.base, "{address}", r.address()); !strings.HasPrefix(linkOf(t, g), want+"/v3/billdownload/file?token=a&") {
				t.Errorf("got %s, want it to begin with %s", linkOf(t, g), want)
			}
		})
	}
	t.Run("Unix socket", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, b.wechat, func(s *setup) { s.listener.Unix = true })
		for host, want := range map[string]string{"any.name": "http://any.name/", "a:b": "http://127.0.0.1:", "": "http://127.0.0.1:"} {
			g := raw(t, r.address(), "GET /v3/bill/tradebill HTTP/1.1\r\nHost: "+host+"\r\n\r\n")
			u, err := url.Parse(linkOf(t, g))
			if err != nil || u.Host == "" || u.User != nil || u.Path != "/v3/billdownload/file" || !strings.HasPrefix(linkOf(t, g), want) {
				t.Errorf("%q: got %s, %v", host, linkOf(t, g), err)
			}
		}
	})
}

// What cannot be followed through here stays as it is, and so does every byte
// for a caller that verifies by itself.
func TestLinkStaysAsItIs(t *testing.T) {
	t.Parallel()
	const promised = `"hash_type":"SHA1","hash_value":"` + helloSHA1 + `",`
	for name, body := range map[string]string{
		"another host":   `{` + promised + `"download_url":"http://127.0.0.1.evil.example/v3/billdownload/file?token=a"}`,
		"another port":   `{` + promised + `"download_url":"http://127.0.0.1:1/v3/billdownload/file?token=a"}`,
		"another scheme": `{` + promised + `"download_url":"` + `https` + `{base}/v3/billdownload/file?token=a"}`,
		"user":           `{` + promised + `"download_url":"http://u@{host}/v3/billdownload/file?token=a"}`,
		"not a download": `{` + promised + `"download_url":"{base}/v3/pay/transactions/id/1"}`,
		"not the API":    `{` + promised + `"download_url":"{base}/download?token=a"}`,
		"dot segments":   `{` + promised + `"download_url":"{base}/v3/x/../billdownload/file?token=a"}`,
		"fragment":       `{` + promised + `"download_url":"{base}/v3/billdownload/file?token=a#b"}`,
		"empty query":    `{` + promised + `"download_url":"{base}/v3/billdownload/file?"}`,
		"our parameters": `{` + promised + `"download_url":"{base}/v3/billdownload/file?token=a&wxproxy_sha1=x"}`,
		"no URL":         `{` + promised + `"download_url":"download://example.csv"}`,
		"relative":       `{` + promised + `"download_url":"/v3/billdownload/file?token=a"}`,
		"no text":        `{` + promised + `"download_url":["{base}/v3/billdownload/file?token=a"]}`,
		"twice":          `{` + promised + `"download_url":"{base}/v3/billdownload/file?token=a","download_url":"{base}/v3/billdownload/file?token=b"}`,
		"two promises":   `{` + promised + promised + `"download_url":"{base}/v3/billdownload/file?token=a"}`,
		"broken promise": `{"hash_type":"SHA1","hash_value":"12","download_url":"{base}/v3/billdownload/file?token=a"}`,
		"null":           `{"download_url":null}`,
		"none yet":       `{"download_url":""}`,
		"elsewhere":      `{"x":{"download_url":"{base}/v3/billdownload/file?token=a"}}`,
		"a list":         `[{"download_url":"{base}/v3/billdownload/file?token=a"}]`,
		"no JSON":        `download_url`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBilling(t, body, nil)
			b.answer = strings.ReplaceAll(b.answer, "{host}", strings.TrimPrefix(b.URL, "http://"))
			b.answer = strings.ReplaceAll(b.answer, "https{base}", "https"+strings.TrimPrefix(b.URL, "http"))
			g := newRig(t, b.wechat).do("GET", tradeBill, "")
			g.passed(t, 200, "true")
			if want := strings.ReplaceAll(b.answer, "{base}", b.URL); g.body != want || g.header.Get("Wxproxy-Rewritten") != "" || g.header.Get("Wechatpay-Signature") == "" {
				t.Errorf("got  %s %v\nwant %s", g.body, g.header, want)
			}
		})
	}
	b := newBilling(t, `{`+promised+`"download_url":"{base}/v3/billdownload/file?token=a"}`, nil)
	r := newRig(t, b.wechat)
	for name, header := range map[string][]string{
		"a caller that verifies": {"Authorization", `WECHATPAY2-SHA256-RSA2048 mchid="1"`},
		"switched off":           {"Wxproxy-Rewrite", "off"},
	} {
		g := r.do("GET", tradeBill, "", header...)
		if g.passed(t, 200, "true"); linkOf(t, g) != b.URL+"/v3/billdownload/file?token=a" || g.header.Get("Wechatpay-Signature") == "" {
			t.Errorf("%s: got %s", name, g.body)
		}
	}
}

// A hash of a kind that this build cannot make, or none: the link leads here
// all the same, and nothing is said to be checked.
func TestLinkWithoutPromise(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct{ call, answer, link string }{
		"SM3":     {"/v3/fund-app/mch-transfer/partner/electronic-receipts/1", `{"hash_type":"SM3","hash_value":"12","download_url":"{base}/v3/billdownload/file?token=a"}`, "/v3/billdownload/file?token=a"},
		"no hash": {"/v3/global/profit-sharing/bill-download-url", `{"download_url":"{base}/v3/bill/downloadurl?token=a"}`, "/v3/bill/downloadurl?token=a"},
		"encrypted": {"/v3/bill/sub-merchant-fundflowbill?algorithm=AEAD_AES_256_GCM",
			`{"download_bill_list":[{"hash_type":"SHA1","hash_value":"` + helloSHA1 + `","encrypt_key":"AAAA","nonce":"a8607ef79034c49c","download_url":"{base}/v3/bill/downloadurl?token=a"}]}`,
			"/v3/bill/downloadurl?token=a"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBilling(t, row.answer, content("hello"))
			r := newRig(t, b.wechat)
			link := linkOf(t, r.do("GET", row.call, ""))
			if !strings.HasPrefix(link, r.front.URL+row.link+"&wxproxy_merchant="+mchID+"&wxproxy_mac=") {
				t.Errorf("got %s", link)
			}
			for _, target := range []string{targetOf(t, link), row.link} {
				g := r.do("GET", target, "", "Range", "bytes=0-")
				if g.passed(t, 200, "unsigned"); g.body != "hello" || g.header.Get("Wxproxy-Checked") != "" {
					t.Errorf("got %q %v", g.body, g.header)
				}
			}
			for _, c := range b.seen()[1:] { // of a file that nothing is promised of, a part will do
				if c.Target != row.link || c.Header.Get("Range") == "" {
					t.Errorf("WeChat Pay saw %s %v", c.Target, c.Header)
				}
			}
		})
	}
	t.Run("SHA256", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, newBilling(t, `{"hash_type":"SHA256","hash_value":"`+strings.ToUpper(helloSHA256)+`","download_url":"{base}/v3/transferdownload/signfile?token=a"}`, content("hello")).wechat)
		g := r.do("GET", targetOf(t, linkOf(t, r.do("GET", "/v3/transfer/bill-receipt/1", ""))), "")
		if g.passed(t, 200, "unsigned"); g.body != "hello" || g.header.Get("Wxproxy-Checked") != "sha256" {
			t.Errorf("got %q %v", g.body, g.header)
		}
	})
}
