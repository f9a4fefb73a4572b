package proxy_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/wxproxy/wxproxy/internal/secret"
	"github.com/wxproxy/wxproxy/proxy"
)

// The admission of calls holds for the endpoints of ours.
func TestLocalAdmission(t *testing.T) {
	t.Parallel()
	w := newWechat(t, nil)
	g := newRig(t, w, withDecrypt)
	for name, tt := range map[string]struct {
		method, target string
		headers        []string
		status         int
		reason         proxy.Reason
	}{
		"no token":             {"POST", local("pay-params/jsapi"), nil, http.StatusForbidden, proxy.ReasonForbidden},
		"a wrong token":        {"POST", local("pay-params/jsapi"), []string{"Wxproxy-Token", "x"}, http.StatusForbidden, proxy.ReasonForbidden},
		"the document, too":    {"GET", "/_wxproxy/openapi.json", nil, http.StatusForbidden, proxy.ReasonForbidden},
		"a page":               {"POST", local("pay-params/jsapi"), []string{"Wxproxy-Token", "token", "Origin", "http://localhost"}, http.StatusForbidden, proxy.ReasonForbidden},
		"a browser":            {"GET", "/_wxproxy/openapi.json", []string{"Wxproxy-Token", "token", "Sec-Fetch-Site", "none"}, http.StatusForbidden, proxy.ReasonForbidden},
		"another method":       {"GET", local("pay-params/jsapi"), []string{"Wxproxy-Token", "token"}, http.StatusMethodNotAllowed, proxy.ReasonMethodNotAllowed},
		"the document by POST": {"POST", "/_wxproxy/openapi.json", []string{"Wxproxy-Token", "token"}, http.StatusMethodNotAllowed, proxy.ReasonMethodNotAllowed},
		"no such endpoint":     {"POST", local("pay-params/native"), []string{"Wxproxy-Token", "token"}, http.StatusNotFound, proxy.ReasonNotFound},
		"sign alone":           {"POST", local("sign"), []string{"Wxproxy-Token", "token"}, http.StatusNotFound, proxy.ReasonNotFound},
		"a slash too many":     {"POST", local("pay-params/jsapi/"), []string{"Wxproxy-Token", "token"}, http.StatusNotFound, proxy.ReasonNotFound},
		"escaped":              {"POST", local("pay%2Dparams/jsapi"), []string{"Wxproxy-Token", "token"}, http.StatusNotFound, proxy.ReasonNotFound},
		"dots":                 {"POST", local("../v1/verify"), []string{"Wxproxy-Token", "token"}, http.StatusNotFound, proxy.ReasonNotFound},
		"a query":              {"POST", local("verify?x=1"), []string{"Wxproxy-Token", "token"}, http.StatusNotFound, proxy.ReasonNotFound},
		"another merchant":     {"POST", local("verify"), []string{"Wxproxy-Token", "token", "Wxproxy-Merchant", "other"}, http.StatusBadRequest, proxy.ReasonUnknownMerchant},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer := g.do(tt.method, tt.target, "", tt.headers...)
			answer.refused(t, tt.status, tt.reason)
			if allow := answer.header.Get("Allow"); tt.status == http.StatusMethodNotAllowed && (allow == "" || strings.Contains(allow, tt.method)) {
				t.Errorf("Allow: %q after %s", allow, tt.method)
			}
		})
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, g.front.URL+"/_wxproxy/openapi.json", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "evil.example"
	g.send(req).refused(t, http.StatusForbidden, proxy.ReasonForbidden)
	if got := g.do("GET", "/_wxproxy/openapi.json", "", "Authorization", "Bearer token"); got.status != http.StatusOK {
		t.Errorf("%d %s", got.status, got.body)
	}
	if len(w.seen()) != 0 {
		t.Error("something was sent to WeChat Pay")
	}
}

// everyEndpoint has a body that each endpoint takes, by grant.
var everyEndpoint = map[string][]string{
	"pay-params": {"pay-params/jsapi", "pay-params/miniprogram", "pay-params/app"},
	"sign":       {"sign/wxpayScoreUse", "sign/wxpayScoreEnable", "sign/wxpayScoreDetail", "sign/couponPlugin", "sign/couponH5", "sign/discountCard"},
	"encrypt":    {"encrypt"},
	"decrypt":    {"decrypt", "decrypt/notify"},
	"verify":     {"verify"},
}

// Without callers all is open but decrypting; a caller has what it is granted,
// and by default nothing.
func TestLocalGrants(t *testing.T) {
	t.Parallel()
	token := func() secret.Value { return secret.NewValue([]byte("token")) }
	for name, tt := range map[string]struct {
		callers []*proxy.Caller
		granted []string
	}{
		"no callers":            {nil, []string{"pay-params", "sign", "encrypt", "verify"}},
		"nothing granted":       {[]*proxy.Caller{{Name: "a", Token: token}}, nil},
		"allow grants nothing":  {[]*proxy.Caller{{Name: "a", Token: token, Allow: []proxy.Pattern{mustPattern(t, "* /**")}}}, nil},
		"one granted":           {[]*proxy.Caller{{Name: "a", Token: token, Endpoints: []string{"sign"}}}, []string{"sign"}},
		"decrypt granted":       {[]*proxy.Caller{{Name: "a", Token: token, Endpoints: []string{"decrypt"}}}, []string{"decrypt"}},
		"allow does not forbid": {[]*proxy.Caller{{Name: "a", Token: token, Allow: []proxy.Pattern{mustPattern(t, "GET /v3/x")}, Endpoints: []string{"verify"}}}, []string{"verify"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newRig(t, newWechat(t, nil), func(s *setup) { s.Callers = tt.callers })
			for grant, endpoints := range everyEndpoint {
				for _, e := range endpoints {
					answer := g.do("POST", local(e), "{}", "Wxproxy-Token", "token")
					refused := answer.header.Get("Wxproxy-Error") == "forbidden"
					if refused == slices.Contains(tt.granted, grant) {
						t.Errorf("%s: %d %s", e, answer.status, answer.body)
					}
				}
			}
		})
	}
}

func mustPattern(t *testing.T, s string) proxy.Pattern {
	t.Helper()
	p, err := proxy.ParsePattern(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestUnknownGrantIsRefused(t *testing.T) {
	t.Parallel()
	o := proxy.OutboundOptions{
		Merchants: []*proxy.Merchant{shop(t, newTrust())}, Table: table(t), Upstream: &proxy.Upstream{},
		Limits: proxy.Limits{Request: 1, Response: 1, InFlight: 1}, Callers: []*proxy.Caller{{Name: "a", Endpoints: []string{"everything"}}},
	}
	if _, err := proxy.NewOutbound(o); err == nil || !strings.Contains(err.Error(), `granted "everything"`) {
		t.Errorf("got %v", err)
	}
}

// Who signs is chosen as for calls, and among the caller's merchants only.
func TestLocalMerchant(t *testing.T) {
	t.Parallel()
	both := func(s *setup) { s.Merchants = append(s.Merchants, otherShop(t, newTrust())) }
	g := newRig(t, newWechat(t, nil), both)
	g.do("POST", local("pay-params/app"), payBody).refused(t, http.StatusBadRequest, proxy.ReasonUnknownMerchant)
	for named, want := range map[string]string{"shop": mchID, "other": otherMchID, otherMchID: otherMchID} {
		if m := g.do("POST", local("pay-params/app"), payBody, "Wxproxy-Merchant", named).members(t); m["partnerid"] != want {
			t.Errorf("%s: %v", named, m)
		}
	}
	preset := newRig(t, newWechat(t, nil), both, func(s *setup) { s.listener.Merchant = "other" })
	if m := preset.do("POST", local("pay-params/app"), payBody).members(t); m["partnerid"] != otherMchID {
		t.Errorf("the listener's merchant: %v", m)
	}
}

// Clients that take wxproxy for a proxy reach the endpoints too.
func TestLocalInAbsoluteForm(t *testing.T) {
	t.Parallel()
	g := newRig(t, newWechat(t, nil))
	const request = "GET http://localhost/_wxproxy/openapi.json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
	if answer := raw(t, g.address(), request); answer.status != http.StatusOK || !strings.Contains(answer.body, `"openapi"`) {
		t.Errorf("got %d %.200s", answer.status, answer.body)
	}
}
