package proxy_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/wxproxy/wxproxy/proxy"
)

const userCard = "BRAND_MEMBER_CARD_SP.USER_CARD.CREATE" // phone_number, value, user_chosen_values

// cardText is the resource of a member card with values in the three places
// that are encrypted once more, and everything else as odd as it may be.
func cardText(value func(plain string) string) string {
	return "{ \"mchid\" : \"1900000001\",\t\"phone_number\":" + value("13800138000") + ", \"n\":1.50e2,\r\n" +
		`"user_information":{"common_field_list":[{"name":"USER_FORM_FLAG_NAME","value":` + value(`张"三`) + `},{"name":"USER_FORM_FLAG_SEX" , "value":""}],` +
		`"custom_field_list":[{"name":"喜欢的运动","user_chosen_values":[ ` + value("游泳") + `,` + value("跑步") + ` ]}]},"attach":"` + strings.Repeat("A", 342) + `=="}`
}

func plainValue(plain string) string {
	return `"` + strings.ReplaceAll(plain, `"`, `\"`) + `"`
}

func sealedValue(t testing.TB) func(string) string {
	t.Helper()
	return func(plain string) string { return `"` + sealAlone(t, &keys().merchant.PublicKey, plain) + `"` }
}

// Texts that are encrypted once more inside the resource reach the app in plain,
// in every form but the raw one; all else is as WeChat Pay wrote it.
func TestNotifyFields(t *testing.T) {
	t.Parallel()
	sealed := cardText(sealedValue(t))
	plain := cardText(plainValue)
	transit := func(o *proxy.NotifyOptions) { signsAlone(o.Merchants[0]) }
	for name, test := range map[string]struct {
		form  proxy.BodyForm
		alone bool
		event string
		plain string
		edit  func(*proxy.NotifyOptions)
		want  string // of the resource; empty: still encrypted
		says  string
	}{
		"envelope":            {proxy.BodyEnvelope, false, userCard, sealed, nil, plain, "decrypted"},
		"resource":            {proxy.BodyResource, false, userCard, sealed, nil, plain, "decrypted"},
		"cloudevents":         {proxy.BodyCloudEvents, false, userCard, sealed, nil, plain, "decrypted"},
		"raw":                 {proxy.BodyRaw, false, userCard, sealed, nil, "", ""},
		"off for the route":   {proxy.BodyResource, true, userCard, sealed, nil, sealed, ""},
		"another event":       {proxy.BodyResource, false, "TRANSACTION.SUCCESS", sealed, nil, sealed, ""},
		"an unknown event":    {proxy.BodyResource, false, "INVENTED.NOW", sealed, nil, sealed, ""},
		"plain already":       {proxy.BodyResource, false, userCard, plain, nil, plain, ""},
		"a key that stays":    {proxy.BodyResource, false, userCard, sealed, transit, sealed, "encrypted"},
		"values as an object": {proxy.BodyResource, false, userCard, `{"user_chosen_values":{"a":` + sealedValue(t)("x") + `}}`, nil, `{"user_chosen_values":{"a":"x"}}`, "decrypted"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t, nil)
			g := newGate(t, a, bodyForm(test.form), func(o *proxy.NotifyOptions) {
				o.Routes[0].FieldsAlone = test.alone
				if test.edit != nil {
					test.edit(o)
				}
			})
			g.post(notice{event: test.event, plain: test.plain}).acknowledged(t)
			d := a.only(t)
			resource := d.Body
			if test.form == proxy.BodyEnvelope || test.form == proxy.BodyCloudEvents {
				resource = strings.TrimSuffix(resource, "}")
			}
			if !strings.HasSuffix(resource, test.want) {
				t.Errorf("got %s, want the resource %s", d.Body, test.want)
			}
			if test.form == proxy.BodyRaw && strings.Contains(d.Body, "13800138000") {
				t.Errorf("the raw form was opened: %s", d.Body)
			}
			if got := d.Header.Get("Wxproxy-Sensitive"); got != test.says {
				t.Errorf("Wxproxy-Sensitive is %q, want %q", got, test.says)
			}
		})
	}
}

// A value that does not open holds no notify up: the app gets it encrypted and
// is told, the log and the metric tell the operator.
func TestNotifyFieldDoesNotOpen(t *testing.T) {
	t.Parallel()
	bad := sealAlone(t, &keys().other.PublicKey, "13900139000")
	text := cardText(func(plain string) string {
		if plain == "13800138000" {
			return `"` + bad + `"`
		}
		return sealedValue(t)(plain)
	})
	want := cardText(func(plain string) string {
		if plain == "13800138000" {
			return `"` + bad + `"`
		}
		return plainValue(plain)
	})
	j, log, metrics, reg := recorded(t)
	a := newApp(t, nil)
	g := newGate(t, a, bodyForm(proxy.BodyResource), func(o *proxy.NotifyOptions) { o.Log, o.Metrics = log, metrics })
	g.post(notice{event: userCard, plain: text}).acknowledged(t)
	if d := a.only(t); d.Body != want || d.Header.Get("Wxproxy-Sensitive") != "failed" {
		t.Errorf("got %s with %q", d.Body, d.Header.Get("Wxproxy-Sensitive"))
	}
	if got := counted(t, reg, "wxproxy_sensitive_fields_total", "outcome"); !maps.Equal(got, map[string]int{"decrypted": 3, "failed": 1}) {
		t.Errorf("counted %v", got)
	}
	if !strings.Contains(j.String(), "do not open") || !strings.Contains(j.String(), "event_id=EV-1") {
		t.Errorf("the log says nothing of it: %s", j)
	}
	keepsSecrets(t, j.String(), "13900139000", "游泳", bad[:20])
}

// Who opens the notify opens its fields: the key of another merchant on the
// same path is not asked.
func TestNotifyFieldsOfTheRightMerchant(t *testing.T) {
	t.Parallel()
	a := newApp(t, nil)
	g := newGate(t, a, bodyForm(proxy.BodyResource), func(o *proxy.NotifyOptions) {
		k := newTrust()
		o.Merchants = []*proxy.Merchant{shop(t, k), otherShop(t, k)}
		o.Merchants[0].PrivateKey = func() proxy.PrivateKey { t.Error("the shop's key was asked"); return proxy.PrivateKey{} }
	})
	text := `{"mchid":"` + otherMchID + `","phone_number":"` + sealAlone(t, &keys().other.PublicKey, "13800138000") + `"}`
	g.post(notice{event: userCard, plain: text, apiv3: otherAPIv3}).acknowledged(t)
	if d := a.only(t); !strings.Contains(d.Body, `"phone_number":"13800138000"`) || d.Header.Get("Wxproxy-Merchant") != "other" {
		t.Errorf("got %s for %s", d.Body, d.Header.Get("Wxproxy-Merchant"))
	}
}

// The local endpoint opens what a route would, and says so in the same words.
func TestDecryptNotifyOpensFields(t *testing.T) {
	t.Parallel()
	sealed, plain := cardText(sealedValue(t)), cardText(plainValue)
	for name, row := range map[string]struct {
		edit       func(*setup)
		off        bool
		want, says string
	}{
		"opened":           {func(*setup) {}, false, plain, "decrypted"},
		"off":              {func(*setup) {}, true, sealed, ""},
		"a key that stays": {func(s *setup) { signsAlone(s.Merchants[0]) }, false, sealed, "encrypted"},
		"another key":      {func(s *setup) { decryptsWith(s.Merchants[0], keys().other) }, false, sealed, "failed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, newWechat(t, nil), withDecrypt, row.edit)
			req := notice{event: userCard, plain: sealed}.request(t, r.front.URL)
			req.URL.Path = local("decrypt/notify")
			req.Header.Set("Wxproxy-Token", "token")
			if row.off {
				req.Header.Set("Wxproxy-Sensitive", "off")
			}
			g := r.send(req)
			if g.status != 200 || !strings.Contains(g.body, row.want) || g.header.Get("Wxproxy-Sensitive") != row.says {
				t.Errorf("got %d %s with %q", g.status, g.body, g.header.Get("Wxproxy-Sensitive"))
			}
		})
	}
}
