package proxy_test

import (
	"strings"
	"testing"

	"github.com/wxproxy/wxproxy/proxy"
)

func TestChooseMerchant(t *testing.T) {
	t.Parallel()
	type want = string // alias, or "" for a refusal
	for _, test := range []struct {
		name     string
		listener string
		callers  []string // merchants of the caller; nil: no callers configured
		header   []string
		want     want
	}{
		{"alias", "", nil, []string{"other"}, "other"},
		{"mchid", "", nil, []string{mchID}, "shop"},
		{"alias over the listener", "shop", nil, []string{"other"}, "other"},
		{"listener", "other", nil, nil, "other"},
		{"the caller's only one", "", []string{"other"}, nil, "other"},
		{"named and the caller's", "", []string{"other"}, []string{"other"}, "other"},
		{"one of the caller's two", "", []string{"shop", "other"}, []string{otherMchID}, "other"},

		{"ambiguous", "", nil, nil, ""},
		{"ambiguous for the caller", "", []string{"shop", "other"}, nil, ""},
		{"unknown", "", nil, []string{"nobody"}, ""},
		{"empty", "", nil, []string{""}, ""},
		{"case of the alias", "", nil, []string{"Shop"}, ""},
		{"twice", "", nil, []string{"shop", "shop"}, ""},
		{"two", "", nil, []string{"shop", "other"}, ""},
		{"not the caller's", "", []string{"other"}, []string{"shop"}, ""},
		{"not the caller's, by mchid", "", []string{"other"}, []string{mchID}, ""},
		{"not the caller's, by listener", "shop", []string{"other"}, nil, ""},
		{"the caller has none", "", []string{"gone"}, nil, ""},
		{"unknown to the listener", "nobody", nil, nil, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWechat(t, nil)
			r := newRig(t, w, func(s *setup) {
				k := newTrust()
				s.Merchants = []*proxy.Merchant{shop(t, k), otherShop(t, k)}
				s.listener.Merchant = test.listener
				if test.callers != nil {
					s.Callers = []*proxy.Caller{{Name: "c", Token: token("t"), Merchants: test.callers}}
				}
			})
			headers := []string{"Wxproxy-Token", "t"}
			for _, v := range test.header {
				headers = append(headers, "Wxproxy-Merchant", v)
			}
			g := r.do("GET", "/v3/x", "", headers...)
			if test.want == "" {
				g.refused(t, 400, proxy.ReasonUnknownMerchant)
				if len(w.seen()) != 0 {
					t.Error("a refused request was sent")
				}
				return
			}
			g.passed(t, 200, "true")
			key, id := &keys().merchant.PublicKey, mchID
			if test.want == "other" {
				key, id = &keys().other.PublicKey, otherMchID
			}
			credential, err := authorized(w.only(t), nil, key)
			if err != nil || credential.MchID != id || g.header.Get("Wxproxy-Merchant") != test.want {
				t.Errorf("signed as %s (%v), answered as %s", credential.MchID, err, g.header.Get("Wxproxy-Merchant"))
			}
		})
	}
}

func TestBodyOfAnotherMerchant(t *testing.T) {
	t.Parallel()
	w := newWechat(t, nil)
	r := newRig(t, w)
	for _, body := range []string{
		`{"mchid":"1900000001"}`,
		`{"sp_mchid":"1900000001","sub_mchid":"1900000002"}`,
		`{"combine_mchid":"1900000001","sub_orders":[{"mchid":"1900000002"}]}`,
		`{"scene":{"mchid":"1900000002"}}`,
		`{"Mchid":"1900000002"}`,
		`[{"mchid":"1900000002"}]`,
		`mchid=1900000002`,
		`{`,
		`"mchid"`,
	} {
		if g := r.do("POST", "/v3/x", body); g.status != 200 {
			t.Errorf("%s refused: %s", body, g.body)
		}
	}
	sent := len(w.seen())
	for _, body := range []string{
		`{"mchid":"1900000002"}`,
		`{"sp_mchid":"1900000002"}`,
		`{"combine_mchid":"1900000002"}`,
		`{"mchid":"1900000001","mchid":"1900000002"}`,
		`{"mchid":"1900000002","mchid":"1900000001"}`,
		`{"mchid":"1900000001","sp_mchid":"1900000002"}`,
		`{"a":[{}],"\u006dchid":"1900000002"}`,
		`{"mchid":"1900000001 "}`,
		`{"mchid":""}`,
		`  {"mchid":"1900000002"`,
	} {
		g := r.do("POST", "/v3/x", body)
		g.refused(t, 400, proxy.ReasonMerchantMismatch)
		if strings.Contains(g.body, "1900000002") {
			t.Errorf("the answer repeats the body: %s", g.body)
		}
	}
	if n := len(w.seen()); n != sent {
		t.Errorf("%d refused requests were sent", n-sent)
	}
}

func TestMerchantWithoutKey(t *testing.T) {
	t.Parallel()
	w := newWechat(t, nil)
	r := newRig(t, w, func(s *setup) { s.Merchants[0].PrivateKey = noKey })
	r.do("GET", "/v3/x", "").refused(t, 503, proxy.ReasonKeyUnavailable)
	r.do("POST", "/v3/x", "{}").refused(t, 503, proxy.ReasonKeyUnavailable)
	if len(w.seen()) != 0 {
		t.Error("sent without a key")
	}
}
