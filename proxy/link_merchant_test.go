package proxy_test

import (
	"strings"
	"testing"

	"github.com/wxproxy/wxproxy/proxy"
)

// With several merchants a link works as it came: it names the one whose answer
// it was. That chooses no merchant whom the caller may not use, and none for
// anything but this download.
func TestLinkNamesItsMerchant(t *testing.T) {
	t.Parallel()
	b := newBilling(t, `{"hash_type":"SHA1","hash_value":"`+helloSHA1+`","download_url":"{base}/v3/billdownload/file?token=abc"}`, content("hello"))
	several := func(listener string) *rig {
		return newRig(t, b.wechat, func(s *setup) {
			k := newTrust()
			s.Merchants = []*proxy.Merchant{shop(t, k), otherShop(t, k), newMerchant(t, "third", "1900000003", "3C", keys().other, k, otherAPIv3)}
			s.listener.Merchant = listener
			for name, merchants := range map[string][]string{"all": nil, "two": {"shop", "other"}, "others": {"other", "third"}, "third": {"third"}} {
				s.Callers = append(s.Callers, &proxy.Caller{Name: name, Token: token(name), Merchants: merchants})
			}
		})
	}
	r := several("")
	link := targetOf(t, linkOf(t, r.do("GET", tradeBill, "", "Wxproxy-Token", "all", "Wxproxy-Merchant", "shop")))
	forged := strings.Replace(link, mchID, otherMchID, 1)
	for name, test := range map[string]struct {
		rig           *rig
		caller, named string
		target        string
		merchant      string       // who signs
		refused       proxy.Reason // where nobody does
	}{
		"as it came":                  {r, "all", "", link, "shop", ""},
		"by another caller":           {r, "two", "", link, "shop", ""},
		"with the header":             {r, "two", "shop", link, "shop", ""},
		"preset":                      {several("shop"), "two", "", link, "shop", ""},
		"another in the header":       {r, "two", "other", link, "", proxy.ReasonBadRequest},
		"another preset":              {several("other"), "two", "", link, "", proxy.ReasonBadRequest},
		"not this caller's":           {r, "others", "", link, "", proxy.ReasonUnknownMerchant},
		"not its only one":            {r, "third", "", link, "", proxy.ReasonBadRequest},
		"forged":                      {r, "two", "", forged, "", proxy.ReasonBadRequest},
		"nobody's":                    {r, "two", "", strings.Replace(link, mchID, "1900000009", 1), "", proxy.ReasonUnknownMerchant},
		"an alias":                    {r, "two", "", strings.Replace(link, mchID, "shop", 1), "", proxy.ReasonUnknownMerchant},
		"the name alone":              {r, "two", "", "/v3/billdownload/file?token=abc&wxproxy_merchant=" + mchID, "", proxy.ReasonUnknownMerchant},
		"a call that is no download":  {r, "two", "", "/v3/x?" + strings.SplitAfter(link, "?")[1], "", proxy.ReasonUnknownMerchant},
		"a link that was not changed": {r, "two", "", "/v3/billdownload/file?token=abc", "", proxy.ReasonUnknownMerchant},
	} {
		t.Run(name, func(t *testing.T) {
			header := []string{"Wxproxy-Token", test.caller}
			if test.named != "" {
				header = append(header, "Wxproxy-Merchant", test.named)
			}
			before := len(b.seen())
			g := test.rig.do("GET", test.target, "", header...)
			if test.refused != "" {
				g.refused(t, 400, test.refused)
				if len(b.seen()) != before {
					t.Error("it was sent")
				}
				return
			}
			g.passed(t, 200, "unsigned")
			if got := g.header.Get("Wxproxy-Merchant"); got != test.merchant || g.body != "hello" || g.header.Get("Wxproxy-Checked") != "sha1" {
				t.Errorf("merchant %q, %q %v", got, g.body, g.header)
			}
		})
	}
}
