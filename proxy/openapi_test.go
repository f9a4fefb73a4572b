package proxy_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/wxproxy/wxproxy/proxy"
)

// apiSchema is as much of JSON Schema as the document needs.
type apiSchema struct {
	Ref        string               `json:"$ref"`
	Type       string               `json:"type"`
	Pattern    string               `json:"pattern"`
	Required   []string             `json:"required"`
	Properties map[string]apiSchema `json:"properties"`
	Additional json.RawMessage      `json:"additionalProperties"`
	Items      *apiSchema           `json:"items"`
	MinItems   int                  `json:"minItems"`
	MaxItems   int                  `json:"maxItems"`
}

type apiContent map[string]struct {
	Schema apiSchema `json:"schema"`
}

type apiOperation struct {
	Tags        []string `json:"tags"`
	RequestBody struct {
		Content apiContent `json:"content"`
	} `json:"requestBody"`
	Responses map[string]struct {
		Content apiContent `json:"content"`
	} `json:"responses"`
}

type apiDocument struct {
	OpenAPI    string                             `json:"openapi"`
	Paths      map[string]map[string]apiOperation `json:"paths"`
	Components struct {
		Schemas map[string]apiSchema `json:"schemas"`
	} `json:"components"`
}

// served is the document as callers get it.
func served(t *testing.T, g *rig) apiDocument {
	t.Helper()
	answer := g.do("GET", "/_wxproxy/openapi.json", "")
	if answer.status != http.StatusOK || answer.header.Get("Content-Type") != "application/json; charset=utf-8" {
		t.Fatalf("%d %v", answer.status, answer.header)
	}
	var d apiDocument
	if err := json.Unmarshal([]byte(answer.body), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// Every endpoint of the code is in the document and every one of the document
// in the code, with the same members, patterns, bounds and grants. That it is
// OpenAPI 3.1 is for a validator of others to say, in e2e.
func TestOpenAPIIsTheCode(t *testing.T) {
	t.Parallel()
	d := served(t, newRig(t, newWechat(t, nil)))
	forms, grants := proxy.LocalForms(), proxy.LocalGrants()
	if d.OpenAPI != "3.1.0" || len(d.Paths["/_wxproxy/openapi.json"]) != 1 {
		t.Errorf("openapi %s, %v", d.OpenAPI, d.Paths["/_wxproxy/openapi.json"])
	}
	delete(d.Paths, "/_wxproxy/openapi.json")
	if got, want := slices.Sorted(maps.Keys(d.Paths)), slices.Sorted(maps.Keys(forms)); !slices.Equal(got, want) {
		t.Fatalf("the document has %v, the code %v", got, want)
	}
	for path, methods := range d.Paths {
		op, ok := methods["post"]
		if !ok || len(methods) != 1 || !slices.Equal(op.Tags, []string{grants[path]}) {
			t.Errorf("%s: methods %v, tags %v", path, slices.Collect(maps.Keys(methods)), op.Tags)
		}
		body := op.RequestBody.Content["application/json"].Schema
		if forms[path] == nil {
			if body.Ref != "#/components/schemas/Notify" {
				t.Errorf("%s does not take a notify", path)
			}
			continue
		}
		compareForm(t, path, body, forms[path])
	}
}

func compareForm(t *testing.T, at string, s apiSchema, form []proxy.Param) {
	t.Helper()
	if s.Type != "object" || string(s.Additional) != "false" || len(s.Properties) != len(form) {
		t.Errorf("%s: %d members of an %s, additional %s; the code has %d", at, len(s.Properties), s.Type, s.Additional, len(form))
	}
	for _, p := range form {
		got, at := s.Properties[p.Name], at+"/"+p.Name
		if slices.Contains(s.Required, p.Name) == p.Optional {
			t.Errorf("%s: required and optional", at)
		}
		switch {
		case p.List == nil && !p.Texts:
			if got.Type != "string" || got.Pattern != p.Pattern {
				t.Errorf("%s: %s %q, the code has %q", at, got.Type, got.Pattern, p.Pattern)
			}
		case got.Type != "array" || got.Items == nil || got.MinItems != 1 || got.MaxItems != p.Most:
			t.Errorf("%s: %+v, the code has at most %d", at, got, p.Most)
		case p.Texts:
			if got.Items.Type != "string" || got.Items.Pattern != p.Pattern {
				t.Errorf("%s: %+v", at, got.Items)
			}
		default:
			compareForm(t, at, *got.Items, p.List)
		}
	}
}

// What the endpoints answer has the members that the document says.
func TestOpenAPIAnswers(t *testing.T) {
	t.Parallel()
	g := newRig(t, newWechat(t, nil), withAPIv2, withDecrypt)
	g.front.Client().Transport = asCaller{g.front.Client().Transport}
	d := served(t, g)
	own := sealOAEP(t, &keys().merchant.PublicKey, "x")
	bodies := map[string]string{
		"pay-params/jsapi": payBody, "pay-params/miniprogram": payBody, "pay-params/app": payBody,
		"sign/wxpayScoreUse":    `{"package":"x"}`,
		"sign/wxpayScoreEnable": `{"service_id":"1","out_request_no":"2"}`,
		"sign/wxpayScoreDetail": `{"service_id":"1","out_order_no":"2"}`,
		"sign/couponPlugin":     `{"coupons":[{"stock_id":"1","out_request_no":"2","coupon_code":"3","create_coupon_merchant":"10016226","customize_send_time":"2026-01-02T13:29:35+08:00"}]}`,
		"sign/couponH5":         `{"stock_id":"1","out_request_no":"2","open_id":"3","coupon_code":"4"}`,
		"sign/discountCard":     `{"appid":"` + appID + `","discount_card_id":"1","out_trade_no":"2"}`,
		"encrypt":               `{"values":["x"]}`, "decrypt": `{"values":["` + own + `"]}`,
		"verify": "", "decrypt/notify": "",
	}
	for path, methods := range d.Paths {
		name, ok := strings.CutPrefix(path, "/_wxproxy/v1/")
		if !ok {
			continue
		}
		body, ok := bodies[name]
		if !ok {
			t.Errorf("%s has no example", path)
			continue
		}
		answer := g.do("POST", path, body)
		if body == "" {
			answer = g.hand(notice{}, name)
		}
		var got map[string]json.RawMessage
		if err := json.Unmarshal([]byte(answer.body), &got); err != nil || answer.status != http.StatusOK {
			t.Errorf("%s: %d %s", path, answer.status, answer.body)
			continue
		}
		s := methods["post"].Responses["200"].Content["application/json"].Schema
		if s.Ref != "" {
			s = d.Components.Schemas[strings.TrimPrefix(s.Ref, "#/components/schemas/")]
		}
		if name == "verify" {
			delete(s.Properties, "reason") // stands where it is not valid
		}
		if got, want := slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(s.Properties)); !slices.Equal(got, want) {
			t.Errorf("%s answers %v, the document says %v", path, got, want)
		}
	}
}

// asCaller adds the token of withDecrypt.
type asCaller struct{ next http.RoundTripper }

func (a asCaller) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Wxproxy-Token", "token")
	return a.next.RoundTrip(r)
}
