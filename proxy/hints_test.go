package proxy_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/wxproxy/wxproxy/internal/endpoint"
	"github.com/wxproxy/wxproxy/proxy"
)

const (
	jsapi     = "/v3/pay/transactions/jsapi"
	plain     = "/v3/refund/domestic/refunds" // without sensitive fields
	goodOrder = `{"appid":"wx1","mchid":"1900000001","amount":{"total":100},"notify_url":"https://pay.example.com/n"}`
)

// hinted is a face that gives hints and knows the shop's notify URL.
func hinted(h proxy.Hints) func(*setup) {
	return func(s *setup) {
		s.Hints, s.NotifyURLs = h, map[string]string{"shop": "https://pay.example.com/notify/shop"}
		s.NotifyAddresses = map[string][]string{"shop": {"https://pay.example.com/notify/shop", "https://pay.example.com/n"}}
	}
}

// Each row flips one thing in an order that gives no hint.
func TestHints(t *testing.T) {
	t.Parallel()
	change := func(old, with string) string { return strings.Replace(goodOrder, old, with, 1) }
	rows := map[string]struct{ path, body, contentType, want string }{
		"nothing":                      {jsapi, goodOrder, "", ""},
		"another media type parameter": {jsapi, goodOrder, "application/json; charset=utf-8", ""},
		"a text with null in it":       {jsapi, change("wx1", "null"), "", ""},
		"three bytes":                  {jsapi, change("wx1", "张"), "", ""},
		"curl's own media type":        {jsapi, goodOrder, "application/x-www-form-urlencoded", "content_type"},
		"not JSON":                     {plain, goodOrder[1:], "", "body_not_json"},
		"cut short":                    {plain, goodOrder[:50], "", "body_not_json"},
		"no mchid":                     {jsapi, change(`"mchid":"1900000001",`, ""), "", "missing /mchid"},
		"neither":                      {jsapi, change(`"appid":"wx1","mchid":"1900000001",`, ""), "", "missing /appid, missing /mchid"},
		"a fraction":                   {jsapi, change("100", "1.5"), "", "amount_not_integer /amount/total"},
		"an exponent":                  {jsapi, change("100", "1e2"), "", "amount_not_integer /amount/total"},
		"a text as amount":             {jsapi, change("100", `"100"`), "", "amount_not_integer /amount/total"},
		"null as amount":               {jsapi, change("100", "null"), "", "null /amount/total"},
		"null elsewhere":               {jsapi, change(`{"appid"`, `{"x":{"y":[null]},"appid"`), "", "null /x/y/0"},
		"an emoji":                     {jsapi, change("wx1", "😀"), "", "four_byte_utf8 /appid"},
		"an escaped emoji":             {jsapi, change("wx1", `\ud83d\ude00`), "", "four_byte_utf8 /appid"},
		"a query":                      {jsapi, change("/n\"", "/n?a=b\""), "", "notify_url_query /notify_url"},
		"another host":                 {jsapi, change("pay.example.com", "old.example.com"), "", "notify_url_foreign /notify_url"},
		"another letter case":          {jsapi, change("pay.example.com", "PAY.example.com"), "", ""},
		"in a list": {
			"/v3/combine-transactions/jsapi", `{"combine_appid":"a","combine_mchid":"1900000001","notify_url":"https://pay.example.com/n","sub_orders":[{"mchid":"1","amount":{"total_amount":1}},{"amount":{"total_amount":"1"}}]}`,
			"", "missing /sub_orders/1/mchid, amount_not_integer /sub_orders/1/amount/total_amount",
		},
		"a call the table does not know": {"/v3/brand-new", `{"amount":{"total":"1"},"x":null}`, "", "null /x"},
		"a name that is no header's":     {"/v3/brand-new", `{"a,b\n张":null}`, "", "null /a?b??"},
		"nine nulls":                     {"/v3/brand-new", "[" + strings.Repeat("null,", 8) + "null]", "", "null /0, null /1, null /2, null /3, null /4, null /5, null /6, null /7"},
		"an upload":                      {"/v3/merchant/media/upload", "--x\r\nContent-Disposition: form-data; name=\"meta\"\r\n\r\nnull\r\n--x--\r\n", "multipart/form-data; boundary=x", ""},
	}
	for name, tt := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			headers := []string{}
			if tt.contentType != "" {
				headers = []string{"Content-Type", tt.contentType}
			}
			w := newWechat(t, nil)
			answer := newRig(t, w, hinted(proxy.HintsWarn)).do("POST", tt.path, tt.body, headers...)
			answer.passed(t, http.StatusOK, "true")
			if got := answer.header.Get("Wxproxy-Hint"); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if tt.path == jsapi && strings.Contains(tt.body, "notify_url") && string(w.only(t).Body) != tt.body {
				t.Errorf("the body was changed: %s", w.only(t).Body)
			}
			if answer := newRig(t, newWechat(t, nil), hinted(proxy.HintsOff)).do("POST", tt.path, tt.body, headers...); answer.header.Get("Wxproxy-Hint") != "" {
				t.Error("a hint, though they are off")
			}
			w = newWechat(t, nil)
			answer = newRig(t, w, hinted(proxy.HintsRefuse)).do("POST", tt.path, tt.body, headers...)
			if tt.want == "" || strings.HasPrefix(tt.want, "notify_url_foreign") || tt.path == "/v3/brand-new" {
				answer.passed(t, http.StatusOK, "true")
				return
			}
			answer.refused(t, http.StatusBadRequest, proxy.ReasonBadParameter)
			if answer.header.Get("Wxproxy-Hint") != tt.want || len(w.seen()) != 0 {
				t.Errorf("hints %q, %d requests", answer.header.Get("Wxproxy-Hint"), len(w.seen()))
			}
			_, pointer, _ := strings.Cut(strings.Split(tt.want, ",")[0], " ")
			if !strings.Contains(answer.body, `"field":"`+pointer+`"`) {
				t.Errorf("got %s, want field %s", answer.body, pointer)
			}
		})
	}
}

// A notify URL is foreign unless it is that of a route of the merchant's.
func TestForeignNotifyURL(t *testing.T) {
	t.Parallel()
	const foreign = "notify_url_foreign /notify_url"
	known := []string{"https://pay.example.com/notify/shop", "https://[2001:db8::1]:8443/n"}
	for u, want := range map[string]string{
		"https://pay.example.com/notify/shop":      "",
		"https://pay.example.com:443/notify/shop":  "",
		"HTTPS://Pay.Example.com/notify/shop":      "",
		"https://[2001:DB8::1]:8443/n":             "",
		"https://pay.example.com/notify/shop?a=b":  "notify_url_query /notify_url",
		"https://pay.example.com:8443/notify/shop": foreign,
		"https://pay.example.com/typo":             foreign,
		"https://pay.example.com/notify/shop/":     foreign,
		"https://pay.example.com/notify/%73hop":    foreign,
		"https://pay.example.com":                  foreign,
		"http://pay.example.com/notify/shop":       foreign,
		"http://pay.example.com:443/notify/shop":   foreign,
		"ftp://pay.example.com/notify/shop":        foreign,
		"https://a@pay.example.com/notify/shop":    foreign,
		"https://[2001:db8::1]/n":                  foreign,
		"//pay.example.com/notify/shop":            foreign,
		"/notify/shop":                             foreign,
		"https:/notify/shop":                       foreign,
		"https:pay.example.com":                    foreign,
		"%zz":                                      foreign,
		"":                                         foreign,
	} {
		body := strings.Replace(goodOrder, "https://pay.example.com/n", u, 1)
		for alias, want := range map[string]string{"shop": want, "other": strings.TrimSuffix(want, foreign)} {
			answer := newRig(t, newWechat(t, nil), hinted(proxy.HintsWarn), func(s *setup) {
				s.NotifyURLs, s.NotifyAddresses = nil, map[string][]string{alias: known} // no single default
			}).do("POST", jsapi, body)
			if got := answer.header.Get("Wxproxy-Hint"); got != want {
				t.Errorf("%s, known of %s: got %q, want %q", u, alias, got, want)
			}
		}
	}
}

func TestHintsAreLogged(t *testing.T) {
	t.Parallel()
	j, log, _, _ := recorded(t)
	g := newRig(t, newWechat(t, nil), hinted(proxy.HintsWarn), func(s *setup) { s.Log = log })
	g.do("POST", jsapi, `{"appid":null}`)
	g.front.Close()
	if !strings.Contains(j.String(), `hints="missing /mchid, null /appid"`) {
		t.Errorf("got %s", j)
	}
}

func TestNotifyURLIsFilledIn(t *testing.T) {
	t.Parallel()
	const ours, refunds = "https://pay.example.com/notify/shop", "/v3/refund/domestic/refunds"
	withdrawn, err := endpoint.New([]endpoint.Override{{Method: "POST", Template: refunds, Notify: "none"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		path, body, want string // empty: as it was
		edit             func(*setup)
	}{
		"an order":                {jsapi, "{\n \"amount\" : {\"total\":1.50e2} , \"a\":[ 1 ]}\n", "{\"notify_url\":\"" + ours + "\",\n \"amount\" : {\"total\":1.50e2} , \"a\":[ 1 ]}\n", nil},
		"an empty order":          {jsapi, "{ }", `{"notify_url":"` + ours + `" }`, nil},
		"a refund":                {refunds, `{"out_trade_no":"1"}`, `{"notify_url":"` + ours + `","out_trade_no":"1"}`, nil},
		"a complaint callback":    {"/v3/merchant-service/complaint-notifications", `{"x":1}`, `{"url":"` + ours + `","x":1}`, nil},
		"there is one":            {jsapi, `{"notify_url":"http://x/"}`, "", nil},
		"there is an empty one":   {jsapi, `{"notify_url":""}`, "", nil},
		"there is null":           {jsapi, `{"notify_url":null}`, "", nil},
		"escaped":                 {jsapi, `{"notify\u005furl":"http://x/"}`, "", nil},
		"deeper does not count":   {jsapi, `{"a":{"notify_url":"http://x/"}}`, `{"notify_url":"` + ours + `","a":{"notify_url":"http://x/"}}`, nil},
		"a list":                  {jsapi, `[{}]`, "", nil},
		"not JSON":                {plain, `{"a":1`, "", nil},
		"more than one value":     {plain, `{} {}`, "", nil},
		"the call has none":       {"/v3/profitsharing/orders", `{"a":1}`, "", nil},
		"an unknown call":         {"/v3/brand-new", `{"a":1}`, "", nil},
		"no URL for the merchant": {jsapi, `{"a":1}`, "", func(s *setup) { s.NotifyURLs = map[string]string{"other": ours} }},
		"withdrawn by override":   {refunds, `{"a":1}`, "", func(s *setup) { s.Table = withdrawn }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWechat(t, nil)
			edits := []func(*setup){hinted(proxy.HintsOff)}
			if tt.edit != nil {
				edits = append(edits, tt.edit)
			}
			g := newRig(t, w, edits...)
			g.do("POST", tt.path, tt.body).passed(t, http.StatusOK, "true")
			c := w.only(t)
			if got, want := string(c.Body), or(tt.want, tt.body); got != want {
				t.Errorf("sent %s, want %s", got, want)
			}
			if _, err := authorized(c, c.Body, &keys().merchant.PublicKey); err != nil {
				t.Errorf("what was sent is not what was signed: %v", err)
			}
			if g.out.HeldBytes() != 0 {
				t.Errorf("%d bytes are held", g.out.HeldBytes())
			}
		})
	}
}

// A body that the URL makes too large is refused before it is sent.
func TestNotifyURLWithinTheLimits(t *testing.T) {
	t.Parallel()
	w := newWechat(t, nil)
	g := newRig(t, w, hinted(proxy.HintsOff), func(s *setup) { s.Limits.Request = 100 })
	g.do("POST", jsapi, `{"a":"`+strings.Repeat("x", 80)+`"}`).refused(t, http.StatusRequestEntityTooLarge, proxy.ReasonBodyTooLarge)
	if len(w.seen()) != 0 {
		t.Error("it was sent")
	}
}

// FuzzHints: whatever the body, the header is one of ours, and nothing of the
// body changes but for a notify URL.
func FuzzHints(f *testing.F) {
	f.Add([]byte(goodOrder))
	f.Add([]byte(`{"amount":{"total":1.5},"a~/b":null,"x":"😀"}`))
	f.Add([]byte(`{"sub_orders":[{}],"notify_url":"http://x/?a"}`))
	w := newWechat(f, nil)
	g := newRig(f, w, hinted(proxy.HintsWarn))
	f.Fuzz(func(t *testing.T, body []byte) {
		hints, after := g.out.Prepare("POST", jsapi, body)
		if strings.ContainsFunc(hints, func(r rune) bool { return r < ' ' || r > '~' }) || strings.Count(hints, ",") > 7 {
			t.Errorf("hints %q", hints)
		}
		if without := strings.Replace(string(after), `"notify_url":"https://pay.example.com/notify/shop",`, "", 1); without != string(body) &&
			strings.Replace(string(after), `"notify_url":"https://pay.example.com/notify/shop"`, "", 1) != string(body) {
			t.Errorf("%q became %q", body, after)
		}
	})
}

// What hints and the notify URL cost a call.
func BenchmarkHints(b *testing.B) {
	body := []byte(`{"appid":"wxd678efh567hg6787","mchid":"1900000001","description":"一本书","out_trade_no":"ORDER0001",` +
		`"amount":{"total":100,"currency":"CNY"},"payer":{"openid":"oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"}}`)
	for _, h := range []proxy.Hints{proxy.HintsOff, proxy.HintsWarn} {
		b.Run("hints="+string(h), func(b *testing.B) {
			g := newRig(b, newWechat(b, nil), hinted(h))
			b.ReportAllocs()
			for b.Loop() {
				g.out.Prepare("POST", jsapi, body)
			}
		})
	}
}
