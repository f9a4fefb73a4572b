package wire_test

import (
	"errors"
	"testing"

	"github.com/wxproxy/wxproxy/internal/wire"
)

func TestParseTarget(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]wire.Target{
		"/v3/certificates":                          {Path: "/v3/certificates"},
		"/v3/bill/tradebill?bill_date=2026-01-02":   {Path: "/v3/bill/tradebill", Query: "?bill_date=2026-01-02"},
		"/v3/certificates?":                         {Path: "/v3/certificates", Query: "?"},
		"/v3/a?a=1&b=%E4":                           {Path: "/v3/a", Query: "?a=1&b=%E4"},
		"/v3/a?b=%zz&c=/../":                        {Path: "/v3/a", Query: "?b=%zz&c=/../"},
		"/v3/a?b?c":                                 {Path: "/v3/a", Query: "?b?c"},
		"/v3/applyment4sub/applyment/":              {Path: "/v3/applyment4sub/applyment/"},
		"/v3/pay/transactions/out-trade-no/a|b*@_-": {Path: "/v3/pay/transactions/out-trade-no/a|b*@_-"},
		"/v3/pay/transactions/out-trade-no/a%7Cb":   {Path: "/v3/pay/transactions/out-trade-no/a%7Cb"},
		"/v3/pay/transactions/out-trade-no/a%7cb":   {Path: "/v3/pay/transactions/out-trade-no/a%7cb"},
		"/v3/a%2Fb":                                 {Path: "/v3/a%2Fb"},
		"/v3/a..b/...":                              {Path: "/v3/a..b/..."},
		"/v3/.well/a.":                              {Path: "/v3/.well/a."},
		"/v3/a%20b":                                 {Path: "/v3/a%20b"},
		"/v3/a;b=c":                                 {Path: "/v3/a;b=c"},
		"/v3/%E4%B8%AD":                             {Path: "/v3/%E4%B8%AD"},
		"/v3/":                                      {Path: "/v3/"},
		"/hk/v3/transactions/app":                   {Path: "/hk/v3/transactions/app"},
		"/brand/card-member/cards":                  {Path: "/brand/card-member/cards"},
	} {
		t.Run(raw, func(t *testing.T) {
			t.Parallel()
			got, err := wire.ParseTarget(raw)
			if err != nil || got != want || got.String() != raw {
				t.Errorf("got %+v, %v, want %+v", got, err, want)
			}
		})
	}
}

func TestParseTargetRefuses(t *testing.T) {
	t.Parallel()
	for name, raw := range map[string]string{
		"empty":                          "",
		"star":                           "*",
		"absolute":                       "https://api.mch.weixin.qq.com/v3/certificates",
		"authority":                      "//evil.example/v3/certificates",
		"another family":                 "/pay/unifiedorder",
		"family in upper case":           "/V3/certificates",
		"family escaped":                 "/%763/certificates",
		"family without slash":           "/v3",
		"family and query":               "/v3?/v3/",
		"prefix of a name":               "/v3x/certificates",
		"empty segment":                  "/v3/pay//transactions",
		"empty first segment":            "/v3//certificates",
		"empty last segment":             "/v3/certificates//",
		"dot":                            "/v3/./certificates",
		"dots":                           "/v3/../certificates",
		"dots at the end":                "/v3/certificates/..",
		"dots escaped":                   "/v3/%2e%2E/certificates",
		"dots half escaped":              "/v3/.%2e/certificates",
		"dot escaped":                    "/v3/%2e/certificates",
		"dots before an escaped slash":   "/v3/..%2Fcertificates",
		"dots after an escaped slash":    "/v3/a%2f..",
		"dots between escaped slashes":   "/v3/a%2F%2e%2e%2fb",
		"dots and an escaped backslash":  "/v3/a%5c..%5Cb",
		"dots with a parameter":          "/v3/a/..;/b",
		"dots with an escaped parameter": "/v3/a/..%3Bx=1/b",
		"NUL escaped":                    "/v3/a%00",
		"line feed escaped":              "/v3/a%0Ab",
		"carriage return escaped":        "/v3/a%0db",
		"last control escaped":           "/v3/a%1f",
		"DEL escaped":                    "/v3/a%7F",
		"escape cut":                     "/v3/a%",
		"escape cut after a digit":       "/v3/a%4",
		"escape cut by a slash":          "/v3/a%4/b",
		"escape not hexadecimal":         "/v3/a%zz",
		"escape signed":                  "/v3/a%+1",
		"space":                          "/v3/a b",
		"tab":                            "/v3/a\tb",
		"line feed":                      "/v3/a\nb",
		"carriage return":                "/v3/a\rb",
		"NUL":                            "/v3/a\x00b",
		"DEL":                            "/v3/a\x7fb",
		"not ASCII":                      "/v3/中",
		"fragment":                       "/v3/a#b",
		"backslash":                      `/v3/a\b`,
		"quote":                          `/v3/a"b`,
		"angle brackets":                 "/v3/<a>",
		"space in the query":             "/v3/a?b c",
		"line feed in the query":         "/v3/a?b\nc",
		"fragment in the query":          "/v3/a?b#c",
		"not ASCII in the query":         "/v3/a?b=\xe4",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got, err := wire.ParseTarget(raw); !errors.Is(err, wire.ErrTarget) || got != (wire.Target{}) {
				t.Errorf("%q: got %+v, %v, want ErrTarget", raw, got, err)
			}
		})
	}
}
