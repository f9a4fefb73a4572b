package proxy_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/wxproxy/wxproxy/internal/secret"
	"github.com/wxproxy/wxproxy/proxy"
)

// Any replica of the merchant checks a link, also after its APIv3 key was
// changed; nobody else's link holds, and no link with one thing changed.
func TestLinkWithOneThingWrong(t *testing.T) {
	t.Parallel()
	b := newBilling(t, `{"hash_type":"SHA1","hash_value":"`+helloSHA1+`","download_url":"{base}/v3/billdownload/file?token=abc&tartype=gzip"}`, content("hello"))
	link := targetOf(t, linkOf(t, newRig(t, b.wechat).do("GET", tradeBill, "")))
	replica := func(apiv3 ...string) *rig {
		return newRig(t, b.wechat, func(s *setup) {
			m := newMerchant(t, "shop", mchID, merchantSerial, keys().merchant, newTrust(), apiv3...)
			other := otherShop(t, newTrust())
			other.APIv3Keys = func() []secret.Value { return []secret.Value{secret.NewValue([]byte(apiv3Key))} } // the same key, even
			s.Merchants = []*proxy.Merchant{m, other}
			s.listener.Merchant = "shop"
		})
	}
	same, rotated, changed := replica(apiv3Key), replica(otherAPIv3, apiv3Key), replica(otherAPIv3)
	same.do("GET", link, "").passed(t, 200, "unsigned")
	rotated.do("GET", link, "").passed(t, 200, "unsigned")
	changed.do("GET", link, "").refused(t, 400, proxy.ReasonBadRequest)
	same.do("GET", link, "", "Wxproxy-Merchant", "other").refused(t, 400, proxy.ReasonBadRequest)

	_, after, _ := strings.Cut(link, "wxproxy_mac=")
	rows := map[string]string{
		"a byte of the token":      strings.Replace(link, "token=abc", "token=abd", 1),
		"letter case of the token": strings.Replace(link, "token=abc", "token=Abc", 1),
		"escaped token":            strings.Replace(link, "token=abc", "token=%61bc", 1),
		"a parameter more":         link + "&x=y",
		"a parameter less":         strings.Replace(link, "&tartype=gzip", "", 1),
		"another path":             strings.Replace(link, "/v3/billdownload/file", "/v3/bill/downloadurl", 1),
		"a byte of the hash":       strings.Replace(link, helloSHA1, "b"+helloSHA1[1:], 1),
		"hash in capitals":         strings.Replace(link, helloSHA1, strings.ToUpper(helloSHA1), 1),
		"another kind of hash":     strings.Replace(link, "wxproxy_sha1="+helloSHA1, "wxproxy_sha256="+helloSHA256, 1),
		"two hashes":               link + "&wxproxy_sha256=" + helloSHA256,
		"no hash":                  strings.Replace(link, "&wxproxy_sha1="+helloSHA1, "", 1),
		"another merchant":         strings.Replace(link, "wxproxy_merchant="+mchID, "wxproxy_merchant="+otherMchID, 1),
		"a merchant's alias":       strings.Replace(link, "wxproxy_merchant="+mchID, "wxproxy_merchant=shop", 1),
		"no merchant":              strings.Replace(link, "&wxproxy_merchant="+mchID, "", 1),
		"two merchants":            link + "&wxproxy_merchant=" + mchID,
		"no mac":                   strings.Replace(link, "&wxproxy_mac="+after, "", 1),
		"two macs":                 link + "&wxproxy_mac=" + after,
		"empty mac":                strings.TrimSuffix(link, after),
		"mac with padding":         link + "=",
		"mac shortened":            link[:len(link)-1],
		"unknown parameter":        link + "&wxproxy_x=1",
		"a key without nonce":      link + "&wxproxy_key=AAAA",
		"a key":                    link + "&wxproxy_key=AAAA&wxproxy_nonce=AAAA",
		"an empty key":             link + "&wxproxy_key=&wxproxy_nonce=",
	}
	for i := range after[:42] { // of the last character four bits do not count, and must be zero
		rows[fmt.Sprintf("mac, character %d", i)] = strings.TrimSuffix(link, after) + flip(after, i)
	}
	before := len(b.downloads())
	for name, target := range rows {
		t.Run(name, func(t *testing.T) { same.do("GET", target, "").refused(t, 400, proxy.ReasonBadRequest) })
	}
	if n := len(b.downloads()); n != before {
		t.Errorf("%d downloads with a bad link", n-before)
	}
	// Only their order among WeChat Pay's own parameters does not matter.
	moved := "/v3/billdownload/file?wxproxy_mac=" + after + "&wxproxy_merchant=" + mchID + "&token=abc&wxproxy_sha1=" + helloSHA1 + "&tartype=gzip"
	same.do("GET", moved, "").passed(t, 200, "unsigned")
	if sent := b.downloads(); sent[len(sent)-1] != "/v3/billdownload/file?token=abc&tartype=gzip" {
		t.Errorf("sent %s", sent[len(sent)-1])
	}
}

// A download is read with GET. Any other method would be signed and sent with
// what the link carries.
func TestLinkByOtherMethods(t *testing.T) {
	t.Parallel()
	b := newBilling(t, `{"hash_type":"SHA1","hash_value":"`+helloSHA1+`","download_url":"{base}/v3/billdownload/file?token=abc"}`, content("hello"))
	r := newRig(t, b.wechat)
	link := targetOf(t, linkOf(t, r.do("GET", tradeBill, "")))
	for _, method := range []string{"HEAD", "POST", "PUT", "PATCH", "DELETE"} {
		g := r.do(method, link, "")
		if g.status != 405 || g.header.Get("Wxproxy-Error") != string(proxy.ReasonMethodNotAllowed) || g.header.Get("Allow") != "GET" {
			t.Errorf("%s: got %d %v", method, g.status, g.header)
		}
	}
	if sent := b.downloads(); len(sent) != 0 {
		t.Errorf("sent %q", sent)
	}
	r.do("GET", link, "").passed(t, 200, "unsigned")
	r.do("POST", "/v3/x", "{}").passed(t, 200, "true")
}

// No target makes the reader of links panic, and one without our parameters
// goes out as it came. Only a link that we made holds.
func FuzzLink(f *testing.F) {
	b := newBilling(f, `{"hash_type":"SHA1","hash_value":"`+helloSHA1+`","download_url":"{base}/v3/billdownload/file?token=a"}`, content("hello"))
	r := newRig(f, b.wechat)
	link := targetOf(f, linkOf(f, r.do("GET", tradeBill, "")))
	_, query, _ := strings.Cut(link, "?")
	_, genuine, _ := strings.Cut(query, "&")
	handler := r.out.Handler(proxy.Listener{})
	for _, seed := range []string{"token=a", query, "", "&", "wxproxy_mac=", "a=b&wxproxy_key=" + base64.RawURLEncoding.EncodeToString([]byte("k")) + "&wxproxy_nonce=eA"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		b.take()
		req, err := http.NewRequest("GET", "http://localhost/", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.RequestURI = "/v3/billdownload/file?" + query
		w := newRecorder()
		handler.ServeHTTP(w, req)
		ours := false
		var theirs []string
		for part := range strings.SplitSeq(query, "&") {
			if strings.HasPrefix(part, "wxproxy_") {
				ours = true
			} else {
				theirs = append(theirs, part)
			}
		}
		calls := b.take()
		switch {
		case ours && len(calls) > 0 && (strings.Join(theirs, "&") != "token=a" || !sameParts(query, genuine+"&token=a")):
			t.Errorf("%q was taken for a link of ours", query)
		case !ours && len(calls) > 0 && calls[0].Target != "/v3/billdownload/file?"+query:
			t.Errorf("%q was sent as %q", query, calls[0].Target)
		case ours && len(calls) > 0 && w.Header().Get("Wxproxy-Checked") != "sha1":
			t.Errorf("%q: %v", query, w.Header())
		}
	})
}

func sameParts(a, b string) bool {
	count := make(map[string]int)
	for part := range strings.SplitSeq(a, "&") {
		count[part]++
	}
	for part := range strings.SplitSeq(b, "&") {
		count[part]--
	}
	for _, n := range count {
		if n != 0 {
			return false
		}
	}
	return true
}
