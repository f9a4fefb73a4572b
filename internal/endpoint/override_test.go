package endpoint_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/wxproxy/wxproxy/internal/endpoint"
)

func TestOverride(t *testing.T) {
	t.Parallel()
	yes, no := true, false
	table := newTable(t,
		endpoint.Override{Method: "GET", Template: "/v3/new-thing/{id}/file", Unsigned: &yes},
		endpoint.Override{Method: "GET", Template: "/v3/billdownload/file", Unsigned: &no},
		endpoint.Override{Method: "GET", Template: "/v3/statements", Unsigned: &yes},
		endpoint.Override{Method: "POST", Template: "/v3/new-thing/", IdempotencyKey: "out_thing_no"},
		endpoint.Override{Method: "POST", Template: "/v3/refund/domestic/refunds", Label: "refund"},
		endpoint.Override{Method: "GET", Template: "/v3/merchant-service/images/{any_name}", Unsigned: &no},
		endpoint.Override{Method: "PATCH", Template: "/brand/only-a-label"},
		endpoint.Override{Method: "GET", Template: "/v3/new-thing/files", Download: "lists[].files[].link"},
	)

	added := table.Lookup("GET", "/v3/new-thing/7/file")
	if !added.Unsigned || added.Label() != "/v3/new-thing/{id}/file" || !added.Repeatable {
		t.Errorf("got added row %+v", added)
	}
	if table.Lookup("GET", "/v3/billdownload/file").Unsigned {
		t.Error("the bill download is still unsigned")
	}
	if e := table.Lookup("GET", "/v3/statements"); !e.Unsigned || e.Statement {
		t.Errorf("got statement row %+v", e)
	}
	if got := table.Lookup("POST", "/v3/new-thing/").IdempotencyKey; got != "out_thing_no" {
		t.Errorf("got key %q", got)
	}
	if got := table.Lookup("POST", "/v3/refund/domestic/refunds"); got.IdempotencyKey != "out_refund_no" || got.Label() != "refund" {
		t.Errorf("got refund row %+v", got)
	}
	images := table.Lookup("GET", "/v3/merchant-service/images/7")
	if images.Unsigned || images.Label() != "/v3/merchant-service/images/{media_id}" {
		t.Errorf("got images row %+v", images)
	}
	if got := table.Lookup("PATCH", "/brand/only-a-label").Label(); got != "/brand/only-a-label" {
		t.Errorf("got label %q", got)
	}
	if d := table.Lookup("GET", "/v3/new-thing/files").Download; d == nil || d.Path != "lists[].files[].link" || d.Link != "link" || d.Objects == nil {
		t.Errorf("got download %+v", d)
	}
	if e := newTable(t).Lookup("GET", "/v3/billdownload/file"); !e.Unsigned {
		t.Error("an override of one table changed another")
	}
}

func TestOverrideRefused(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		over endpoint.Override
		want string
	}{
		{"no method", endpoint.Override{Template: "/v3/a"}, "method must be"},
		{"lower case method", endpoint.Override{Method: "get", Template: "/v3/a"}, "method must be"},
		{"no template", endpoint.Override{Method: "GET"}, "path must begin with"},
		{"foreign template", endpoint.Override{Method: "GET", Template: "/v2/a"}, "path must begin with"},
		{"empty segment", endpoint.Override{Method: "GET", Template: "/v3//a"}, "path segment"},
		{"dot segment", endpoint.Override{Method: "GET", Template: "/v3/../a"}, "path segment"},
		{"escaped dot segment", endpoint.Override{Method: "GET", Template: "/v3/%2E%2E/a"}, "path segment"},
		{"half a variable", endpoint.Override{Method: "GET", Template: "/v3/a{b}"}, "path segment"},
		{"unnamed variable", endpoint.Override{Method: "GET", Template: "/v3/{}"}, "path segment"},
		{"pattern", endpoint.Override{Method: "GET", Template: "/v3/a/**?"}, "path segment"},
		{"query", endpoint.Override{Method: "GET", Template: "/v3/a?b=c"}, "path segment"},
		{"white space", endpoint.Override{Method: "GET", Template: "/v3/a b"}, "path segment"},
		{"label with white space", endpoint.Override{Method: "GET", Template: "/v3/a", Label: "a b"}, "label"},
		{"key of a GET", endpoint.Override{Method: "GET", Template: "/v3/a", IdempotencyKey: "out_trade_no"}, "needs no idempotency key"},
		{"key that is no field", endpoint.Override{Method: "POST", Template: "/v3/a", IdempotencyKey: "a.b"}, "name of a body field"},
		{"download that is a list", endpoint.Override{Method: "GET", Template: "/v3/a", Download: "files[]"}, "path of a link"},
		{"download anywhere", endpoint.Override{Method: "GET", Template: "/v3/a", Download: "**.url"}, "path of a link"},
		{"download with a gap", endpoint.Override{Method: "GET", Template: "/v3/a", Download: "a..url"}, "path of a link"},
		{"download with a pointer", endpoint.Override{Method: "GET", Template: "/v3/a", Download: "/a/url"}, "path of a link"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			table, err := endpoint.New([]endpoint.Override{tt.over})
			if table != nil || !errors.Is(err, endpoint.ErrBadOverride) {
				t.Fatalf("got %v, %v", table, err)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %q, want it to say %q", err, tt.want)
			}
		})
	}
}

func TestOverrideReportsAll(t *testing.T) {
	t.Parallel()
	_, err := endpoint.New([]endpoint.Override{
		{Method: "FETCH", Template: "/v3/a"},
		{Method: "GET", Template: "/v3/b/{x}"},
		{Method: "GET", Template: "/v3/b/{y}"},
	})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{`"FETCH" "/v3/a"`, `"/v3/b/{y}": given twice`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %q, want it to say %s", err, want)
		}
	}
}
