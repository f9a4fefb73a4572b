package proxy_test

import (
	"crypto/rsa"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/wechatpay-apiv3/wechatpay-go/utils"

	"github.com/wxproxy/wxproxy/internal/endpoint"
	"github.com/wxproxy/wxproxy/proxy"
)

// fieldRow is a row of the source table.
type fieldRow struct{ method, template, path, direction, location string }

func fieldRows(t testing.TB) []fieldRow {
	t.Helper()
	text, err := os.ReadFile("../internal/endpoint/source/sensitive_fields.tsv")
	if err != nil {
		t.Fatal(err)
	}
	var rows []fieldRow
	for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n")[1:] {
		f := strings.Split(line, "\t")
		rows = append(rows, fieldRow{f[0], f[1], f[2], f[3], f[4]})
	}
	if len(rows) != 359 {
		t.Fatalf("%d rows, want 359", len(rows))
	}
	return rows
}

// document is a JSON text with a value at a path, twice in every array, and
// around it what must not change. Where the values stand, it has a \x00.
func document(path string) string {
	text := "\x00"
	for _, step := range slices.Backward(strings.Split(path, ".")) {
		for strings.HasSuffix(step, "[]") {
			step, text = strings.TrimSuffix(step, "[]"), "[ "+text+" ,\r\n"+text+"]"
		}
		text = "{ \"amount\":1.50e2,\t\"" + step + "\" : " + text + ", \"" + step + "_2\":[\"a\",null]}"
	}
	return text
}

// fill puts values in the places of a document.
func fill(document string, value func(i int) string) string {
	var b strings.Builder
	for i, part := range strings.Split(document, "\x00") {
		if i > 0 {
			b.WriteString(value(i - 1))
		}
		b.WriteString(part)
	}
	return b.String()
}

// opened checks that got is the document with a ciphertext in each place, and
// returns what the official SDK opens them to.
func opened(t testing.TB, got, document string, key *rsa.PrivateKey) []string {
	t.Helper()
	var values []string
	for i, part := range strings.Split(document, "\x00") {
		if i > 0 {
			if len(got) < 346 || got[0] != '"' || got[345] != '"' {
				t.Fatalf("no ciphertext at %q", got)
			}
			plain, err := utils.DecryptOAEP(got[1:345], key)
			if err != nil {
				t.Fatalf("the SDK does not open it: %v", err)
			}
			values, got = append(values, plain), got[346:]
		}
		if !strings.HasPrefix(got, part) {
			t.Fatalf("got %q, want %q to go on", got, part)
		}
		got = got[len(part):]
	}
	if got != "" {
		t.Fatalf("%q follows", got)
	}
	return values
}

// Every row of the table, alone: what arrives is the document as it was, with
// ciphertexts that the official SDK opens.
func TestEveryFieldOfRequests(t *testing.T) {
	t.Parallel()
	w := newWechat(t, nil)
	r := newRig(t, w)
	done := 0
	for _, row := range fieldRows(t) {
		if row.direction != "request" {
			continue
		}
		done++
		target := strings.NewReplacer("{", "", "}", "").Replace(row.template)
		plain := []string{"张三 <&> " + row.path, "second"}
		values := plain
		switch row.location {
		case "query":
			r.do(row.method, target+"?a=%7e&"+row.path+"="+url.QueryEscape(plain[0])+"&b", "").passed(t, 200, "true")
			c := w.take()[0]
			sealed, ok := strings.CutPrefix(c.Target, target+"?a=%7e&"+row.path+"=")
			sealed, ok2 := strings.CutSuffix(sealed, "&b")
			text, err := url.QueryUnescape(sealed)
			if !ok || !ok2 || err != nil {
				t.Fatalf("sent %s", c.Target)
			}
			got, err := utils.DecryptOAEP(text, keys().platform)
			if err != nil || got != plain[0] {
				t.Errorf("%+v: got %q, %v", row, got, err)
			}
			sent(t, c, nil)
			continue
		default:
			d := document(row.path)
			if strings.Count(d, "\x00") == 1 {
				values = plain[:1]
			}
			body := fill(d, func(i int) string { return `"` + plain[i%2] + `"` })
			if row.location == "body" {
				r.do(row.method, target, body).passed(t, 200, "true")
				c := w.take()[0]
				got := opened(t, string(c.Body), d, keys().platform)
				if !slices.Equal(got[:len(values)], values) {
					t.Errorf("%+v: got %q", row, got)
				}
				sent(t, c, c.Body)
				continue
			}
			whole := part(metaHead, "\x00") + part(fileHead, strings.ReplaceAll(file, "\x00", "\x01")) + end
			r.do(row.method, target, fill(whole, func(int) string { return body }), "Content-Type", "multipart/form-data; boundary="+boundary).passed(t, 200, "true")
			c := w.take()[0]
			before, after, _ := strings.Cut(whole, "\x00")
			meta, ok := strings.CutPrefix(string(c.Body), before)
			meta, ok2 := strings.CutSuffix(meta, after)
			if !ok || !ok2 {
				t.Fatalf("sent %q", c.Body)
			}
			if got := opened(t, meta, d, keys().platform); !slices.Equal(got, values) {
				t.Errorf("%+v: got %q", row, got)
			}
			sent(t, c, []byte(meta))
		}
	}
	if done != 284 {
		t.Errorf("%d rows, want 284", done)
	}
}

// sent checks a request with encrypted fields: the key's name and the signature.
func sent(t testing.TB, c call, signed []byte) {
	t.Helper()
	if got := c.Header["Wechatpay-Serial"]; !slices.Equal(got, []string{platformSerial}) {
		t.Errorf("Wechatpay-Serial is %q", got)
	}
	if _, err := authorized(c, signed, &keys().merchant.PublicKey); err != nil {
		t.Error(err)
	}
}

const (
	addReceiver = "/v3/profitsharing/receivers/add" // name
	batches     = "/v3/transfer/batches"            // transfer_detail_list[].user_name
	guides      = "/v3/smartguide/guides"           // mobile, in the query of a GET
)

// sealedBy is a value that the caller encrypted with the SDK.
func sealedBy(t testing.TB, key *rsa.PublicKey, plain string) string {
	t.Helper()
	s, err := utils.EncryptOAEPWithPublicKey(plain, key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// What stays as it came, to the last byte.
func TestFieldsThatStay(t *testing.T) {
	t.Parallel()
	sealed := sealedBy(t, &keys().rotated.PublicKey, "李四")
	for name, test := range map[string]struct {
		method, target, body string
		headers              []string
		serial               string
	}{
		"encrypted by the caller":         {"POST", addReceiver, `{"name":"` + sealed + `"}`, []string{"Wechatpay-Serial", rotatedSerial}, rotatedSerial},
		"encrypted, with escaped slashes": {"POST", addReceiver, `{"name":"` + strings.ReplaceAll(sealed, "/", `\/`) + `"}`, []string{"Wechatpay-Serial", rotatedSerial}, rotatedSerial},
		"encrypted, beside an empty one":  {"POST", batches, `{"transfer_detail_list":[{"user_name":""},{"user_name":"` + sealed + `"}]}`, []string{"Wechatpay-Serial", rotatedSerial}, rotatedSerial},
		"encrypted, in the query":         {"GET", guides + "?mobile=" + url.QueryEscape(sealed), "", []string{"Wechatpay-Serial", rotatedSerial}, rotatedSerial},
		"empty":                           {"POST", addReceiver, `{ "name" : "" }`, nil, platformSerial},
		"empty, in the query":             {"GET", guides + "?mobile=", "", nil, platformSerial},
		"without a value, in the query":   {"GET", guides + "?mobile", "", nil, platformSerial},
		"absent":                          {"POST", addReceiver, "{\t}", []string{"Wechatpay-Serial", rotatedSerial}, rotatedSerial},
		"elsewhere":                       {"POST", addReceiver, `{"a":{"name":"x"},"Name":"x","receivers":[{"name":"x"}]}`, nil, platformSerial},
		"another shape":                   {"POST", batches, `{"transfer_detail_list":{"user_name":"x"}}`, nil, platformSerial},
		"no body":                         {"POST", addReceiver, "", nil, platformSerial},
		"another endpoint":                {"POST", "/v3/x", `{"name":"x"}`, nil, platformSerial},
		"another method":                  {"PUT", addReceiver, `{"name":"x"}`, nil, platformSerial},
		"another parameter":               {"GET", guides + "?Mobile=1&mobile2=2&%zz=1&x=mobile", "", nil, platformSerial},
		"off":                             {"POST", addReceiver, `{"name":"x"}`, []string{"Wxproxy-Sensitive", "off"}, platformSerial},
		"off, in capitals":                {"POST", addReceiver, `{"name":null}`, []string{"Wxproxy-Sensitive", " OFF"}, platformSerial},
		"off, in the query":               {"GET", guides + "?mobile=1", "", []string{"Wxproxy-Sensitive", "off"}, platformSerial},
		"off by the config":               {"POST", "/v3/smartguide/guides", `{"name":"x","mobile":1}`, nil, platformSerial},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWechat(t, nil)
			r := newRig(t, w, func(s *setup) {
				off := endpoint.Override{Method: "POST", Template: "/v3/smartguide/guides", SensitiveOff: true}
				s.Table, _ = endpoint.New([]endpoint.Override{off})
			})
			r.do(test.method, test.target, test.body, test.headers...).passed(t, 200, "true")
			c := w.only(t)
			if c.Target != test.target || string(c.Body) != test.body || c.Header.Get("Wechatpay-Serial") != test.serial {
				t.Errorf("sent %s %q with %q", c.Target, c.Body, c.Header.Get("Wechatpay-Serial"))
			}
			if _, there := c.Header["Wxproxy-Sensitive"]; there {
				t.Error("Wxproxy-Sensitive went to WeChat Pay")
			}
		})
	}
}

// Each is one thing wrong; nothing is sent, and the answer names the place.
func TestBadFields(t *testing.T) {
	t.Parallel()
	sealed := sealedBy(t, &keys().platform.PublicKey, "李四")
	list := func(items ...string) string {
		return `{"transfer_detail_list":[` + strings.Join(items, ",") + `]}`
	}
	for name, test := range map[string]struct{ target, body, serial, field, location, says string }{
		"null":                             {addReceiver, `{"name":null}`, "", "/name", "body", "must be a text"},
		"number":                           {batches, list(`{"user_name":"x"}`, `{"user_name":1}`), "", "/transfer_detail_list/1/user_name", "body", "must be a text"},
		"true":                             {addReceiver, `{"name":true}`, "", "/name", "body", "must be a text"},
		"object":                           {addReceiver, `{"name":{"x":"y"}}`, "", "/name", "body", "must be a text"},
		"array":                            {addReceiver, `{"name":["x"]}`, "", "/name", "body", "must be a text"},
		"not UTF-8":                        {addReceiver, "{\"name\":\"\xd5\xc5\"}", "", "/name", "body", "must be a text"},
		"half a pair":                      {addReceiver, `{"name":"\ud83d"}`, "", "/name", "body", "must be a text"},
		"too long":                         {addReceiver, `{"name":"` + strings.Repeat("x", 215) + `"}`, "", "/name", "body", "215 bytes"},
		"too long in Han":                  {addReceiver, `{"name":"` + strings.Repeat("中", 72) + `"}`, "", "/name", "body", "216 bytes"},
		"nearly sealed":                    {addReceiver, `{"name":"` + sealed[:343] + `"}`, platformSerial, "/name", "body", "343 bytes"},
		"base64url":                        {addReceiver, `{"name":"` + strings.Repeat("_", 342) + `=="}`, platformSerial, "/name", "body", "344 bytes"},
		"the second of a name":             {addReceiver, `{"name":"x","name":2}`, "", "/name", "body", "must be a text"},
		"mixed":                            {batches, list(`{"user_name":"`+sealed+`"}`, `{"user_name":"x"}`), rotatedSerial, "/transfer_detail_list/1/user_name", "body", "/transfer_detail_list/0/user_name is encrypted already"},
		"mixed, our own key":               {batches, list(`{"user_name":"x"}`, `{"user_name":"`+sealed+`"}`), platformSerial, "/transfer_detail_list/0/user_name", "body", "encrypt all of them or none"},
		"no serial":                        {addReceiver, `{"name":"` + sealed + `"}`, "", "/name", "body", "no Wechatpay-Serial"},
		"not JSON":                         {addReceiver, `{"name":"x"`, "", "", "body", "not well-formed"},
		"more than JSON":                   {addReceiver, `{"name":"x"}{}`, "", "", "body", "not well-formed"},
		"twice":                            {guides + "?mobile=1&a=b&%6dobile=2", "", "", "mobile", "query", "stands twice"},
		"broken escape":                    {guides + "?mobile=%zz", "", "", "mobile", "query", "percent-encoding"},
		"long parameter":                   {guides + "?mobile=" + strings.Repeat("1", 215), "", "", "mobile", "query", "215 bytes"},
		"sealed, and its plus not escaped": {guides + "?mobile=" + strings.Repeat("+", 342) + "==", "", platformSerial, "mobile", "query", "344 bytes"},
		"sealed parameter, no serial":      {guides + "?mobile=" + url.QueryEscape(sealed), "", "", "mobile", "query", "no Wechatpay-Serial"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWechat(t, nil)
			method, headers := "POST", []string{}
			if test.body == "" {
				method = "GET"
			}
			if test.serial != "" {
				headers = append(headers, "Wechatpay-Serial", test.serial)
			}
			g := newRig(t, w).do(method, test.target, test.body, headers...)
			g.refused(t, 400, proxy.ReasonBadField)
			for _, want := range []string{`"field":"` + test.field + `"`, `"location":"` + test.location + `"`, test.says, `"code":"PARAM_ERROR"`} {
				if !strings.Contains(g.body, want) {
					t.Errorf("got %s, want it to say %s", g.body, want)
				}
			}
			if len(w.seen()) != 0 {
				t.Error("it was sent")
			}
		})
	}
}

func TestLongestField(t *testing.T) {
	t.Parallel()
	w := newWechat(t, nil)
	r := newRig(t, w)
	for _, plain := range []string{strings.Repeat("x", 214), strings.Repeat("中", 71), strings.Repeat("A", 213) + "=", " ", "\t"} {
		r.do("POST", addReceiver, `{"name":"`+strings.ReplaceAll(plain, "\t", `\t`)+`"}`).passed(t, 200, "true")
		c := w.take()[0]
		if got := opened(t, string(c.Body), "{\"name\":\x00}", keys().platform); got[0] != plain {
			t.Errorf("got %q, want %q", got, plain)
		}
	}
}

// The caller's Wechatpay-Serial names no key of ours, so it does not survive.
func TestEncryptionReplacesTheSerial(t *testing.T) {
	t.Parallel()
	w := newWechat(t, nil)
	newRig(t, w).do("POST", addReceiver, `{"name":"x"}`, "Wechatpay-Serial", rotatedSerial).passed(t, 200, "true")
	c := w.only(t)
	sent(t, c, c.Body)
}

// Without a platform key nothing is encrypted with a wrong one: plaintext is
// refused, and what needs no key passes.
func TestFieldsWithoutPlatformKey(t *testing.T) {
	t.Parallel()
	w := newWechat(t, nil)
	r := newRig(t, w, func(s *setup) {
		s.Merchants[0].Preferred = func() (string, *rsa.PublicKey, bool) { return "", nil, false }
	})
	g := r.do("POST", addReceiver, `{"name":"x"}`)
	g.refused(t, 503, proxy.ReasonKeyUnavailable)
	if !strings.Contains(g.body, "/name") || !strings.Contains(g.body, "merchant shop") || len(w.seen()) != 0 {
		t.Errorf("got %s", g.body)
	}
	r.do("GET", guides+"?mobile=1", "").refused(t, 503, proxy.ReasonKeyUnavailable)
	r.do("POST", addReceiver, `{"name":""}`).passed(t, 200, "true")
	sealed := sealedBy(t, &keys().rotated.PublicKey, "x")
	r.do("POST", addReceiver, `{"name":"`+sealed+`"}`, "Wechatpay-Serial", rotatedSerial).passed(t, 200, "true")
	r.do("POST", addReceiver, `{"name":1}`).refused(t, 400, proxy.ReasonBadField)
}

// The key of the moment encrypts, under its own name.
func TestEncryptionFollowsTheRotation(t *testing.T) {
	t.Parallel()
	w := newWechat(t, nil)
	serial, key := platformSerial, &keys().platform.PublicKey
	r := newRig(t, w, func(s *setup) {
		s.Merchants[0].Preferred = func() (string, *rsa.PublicKey, bool) { return serial, key, true }
	})
	for _, next := range []struct {
		serial string
		key    *rsa.PrivateKey
	}{{platformSerial, keys().platform}, {rotatedSerial, keys().rotated}} {
		serial, key = next.serial, &next.key.PublicKey
		r.do("POST", addReceiver, `{"name":"x"}`).passed(t, 200, "true")
		c := w.take()[0]
		if got := c.Header.Get("Wechatpay-Serial"); got != next.serial {
			t.Errorf("named %s, want %s", got, next.serial)
		}
		opened(t, string(c.Body), "{\"name\":\x00}", next.key)
	}
}

// What ciphertexts add counts against the same limits as what the app sent.
func TestEncryptionStaysWithinTheLimits(t *testing.T) {
	t.Parallel()
	names := func(n int) string {
		return `{"transfer_detail_list":[` + strings.TrimSuffix(strings.Repeat(`{"user_name":"x"},`, n), ",") + `]}`
	}
	w := newWechat(t, nil)
	r := newRig(t, w, func(s *setup) { s.Limits.Request = 64 << 10 })
	r.do("POST", batches, names(180)).passed(t, 200, "true")
	r.do("POST", batches, names(200)).refused(t, 413, proxy.ReasonBodyTooLarge)
	r = newRig(t, w, func(s *setup) { s.Limits.InFlight = 100 << 10 })
	r.do("POST", batches, names(300)).refused(t, 503, proxy.ReasonBusy)
	if held := r.out.HeldBytes(); held != 0 {
		t.Errorf("%d bytes are still held", held)
	}
}

// A part meta whose text stands elsewhere too is the one that changes.
func TestUploadWithTheSameTextTwice(t *testing.T) {
	t.Parallel()
	const target = "/v3/marketing/shopping-receipt/shoppingreceipts"
	meta := `{"merchant_contact_information":{"consultation_phone_number":"0755"}}`
	other := "Content-Disposition: form-data; name=\"other\""
	for name, whole := range map[string]string{
		"before": part(other, meta) + part(metaHead, "\x00") + end,
		"after":  part(metaHead, "\x00") + part(other, meta) + end,
		"alone":  meta + "\r\n" + part(metaHead, "\x00") + end + meta,
	} {
		w := newWechat(t, nil)
		body := fill(whole, func(int) string { return meta })
		newRig(t, w).do("POST", target, body, "Content-Type", "multipart/form-data; boundary="+boundary).passed(t, 200, "true")
		c := w.only(t)
		before, after, _ := strings.Cut(whole, "\x00")
		got, ok := strings.CutPrefix(string(c.Body), before)
		got, ok2 := strings.CutSuffix(got, after)
		if !ok || !ok2 {
			t.Fatalf("%s: sent %q", name, c.Body)
		}
		if v := opened(t, got, strings.Replace(meta, `"0755"`, "\x00", 1), keys().platform); v[0] != "0755" {
			t.Errorf("%s: got %q", name, v)
		}
		sent(t, c, []byte(got))
	}
}
