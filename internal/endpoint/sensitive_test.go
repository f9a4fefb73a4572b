package endpoint_test

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/wxproxy/wxproxy/internal/endpoint"
	"github.com/wxproxy/wxproxy/internal/jsonedit"
)

// document is the smallest JSON text that has a value at a path.
func document(path, value string) string {
	text := value
	steps := strings.Split(path, ".")
	for _, step := range slices.Backward(steps) {
		for strings.HasSuffix(step, "[]") {
			step, text = strings.TrimSuffix(step, "[]"), "["+text+"]"
		}
		text = `{"` + step + `":` + text + `}`
	}
	return text
}

func finds(p *jsonedit.Paths, path string) bool {
	found, err := p.Find([]byte(document(path, `"x"`)))
	return err == nil && len(found) == 1 && found[0].Path == path && string(found[0].Raw) == `"x"`
}

// The rows are read from their source here, not from what the generator made.
func TestEverySensitiveField(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("source/sensitive_fields.tsv")
	if err != nil {
		t.Fatal(err)
	}
	rows := strings.Split(strings.TrimSpace(string(text)), "\n")[1:]
	if len(rows) != 359 {
		t.Errorf("%d rows, want 359", len(rows))
	}
	table := newTable(t)
	for _, line := range rows {
		row := strings.Split(line, "\t")
		e := table.Lookup(row[0], row[1])
		var there bool
		if s := e.Sensitive; s != nil {
			switch row[3] + " " + row[4] {
			case "request body", "request multipart:meta":
				there = finds(s.Request, row[2])
			case "request query":
				there = slices.Contains(s.Query, row[2])
			case "response body":
				there = finds(s.Response, row[2])
			}
		}
		if !there {
			t.Errorf("the table lacks %s", line)
		}
	}
}

func TestSensitiveFieldsByHand(t *testing.T) {
	t.Parallel()
	table := newTable(t)
	chosen := "user_information.custom_field_list[].user_chosen_values[]"
	card := table.Lookup("PATCH", "/v3/brand/partner/card-member/user-cards/1").Sensitive
	if !finds(card.Request, chosen) || !finds(card.Response, chosen) {
		t.Error("the chosen values of member cards are missing")
	}
	if s := table.Lookup("PUT", "/hk/v3/merchants").Sensitive; s == nil || !finds(s.Request, "contact.email") {
		t.Error("the fields of WeChat Pay HK are missing under /hk")
	}
	for _, call := range []string{"POST /v3/refund/domestic/refunds", "GET /v3/pay/transactions/id/1", "POST /v3/nowhere", "GET /v3/nowhere"} {
		method, path, _ := strings.Cut(call, " ")
		if table.Lookup(method, path).Sensitive != nil {
			t.Errorf("%s has sensitive fields", call)
		}
	}
}

func TestOverrideSensitive(t *testing.T) {
	t.Parallel()
	table := newTable(t,
		endpoint.Override{Method: "POST", Template: "/v3/profitsharing/receivers/add", SensitiveOff: true},
		endpoint.Override{
			Method: "POST", Template: "/v3/transfer/batches",
			SensitiveRequest:  []string{"-transfer_detail_list[].user_id_card", "remark", "transfer_detail_list[].user_name"},
			SensitiveResponse: []string{"**.name"},
		},
		endpoint.Override{Method: "GET", Template: "/v3/smartguide/guides", SensitiveQuery: []string{"-mobile"}, SensitiveResponse: []string{"-data[].mobile", "-data[].name"}},
		endpoint.Override{Method: "POST", Template: "/v3/new/{id}", SensitiveRequest: []string{"a.b[].c"}, SensitiveQuery: []string{"card_no"}},
		endpoint.Override{Method: "POST", Template: "/v3/profitsharing/orders", Label: "sharing"},
	)
	for _, off := range []string{"POST /v3/profitsharing/receivers/add", "GET /v3/smartguide/guides"} {
		method, path, _ := strings.Cut(off, " ")
		if s := table.Lookup(method, path).Sensitive; s != nil {
			t.Errorf("%s still has %+v", off, s)
		}
	}
	s := table.Lookup("POST", "/v3/transfer/batches").Sensitive
	if finds(s.Request, "transfer_detail_list[].user_id_card") || !finds(s.Request, "remark") || !finds(s.Request, "transfer_detail_list[].user_name") {
		t.Errorf("got %+v", s)
	}
	if found, err := s.Response.Find([]byte(`{"a":[{"name":"x"}]}`)); err != nil || len(found) != 1 {
		t.Errorf("got %v, %v", found, err)
	}
	if s := table.Lookup("POST", "/v3/new/1").Sensitive; !finds(s.Request, "a.b[].c") || !slices.Equal(s.Query, []string{"card_no"}) {
		t.Errorf("got %+v", s)
	}
	if s := table.Lookup("POST", "/v3/profitsharing/orders").Sensitive; !finds(s.Request, "receivers[].name") {
		t.Errorf("got %+v", s)
	}
	if newTable(t).Lookup("POST", "/v3/profitsharing/receivers/add").Sensitive == nil {
		t.Error("an override of one table changed another")
	}
}

func TestOverrideSensitiveRefused(t *testing.T) {
	t.Parallel()
	const path = "/v3/transfer/batches"
	for name, tt := range map[string]struct {
		over endpoint.Override
		want string
	}{
		"not there":       {endpoint.Override{Method: "POST", Template: path, SensitiveRequest: []string{"-user_name"}}, "not in the table"},
		"no answer field": {endpoint.Override{Method: "POST", Template: path, SensitiveResponse: []string{"-user_name"}}, "not in the table"},
		"no parameter":    {endpoint.Override{Method: "POST", Template: path, SensitiveQuery: []string{"-user_name"}}, "not in the table"},
		"bad path":        {endpoint.Override{Method: "POST", Template: path, SensitiveRequest: []string{"a..b"}}, "must be a path"},
		"empty path":      {endpoint.Override{Method: "POST", Template: path, SensitiveResponse: []string{"-"}}, "must be a path"},
		"bad parameter":   {endpoint.Override{Method: "POST", Template: path, SensitiveQuery: []string{"a.b"}}, "must be a name"},
		"body of a GET":   {endpoint.Override{Method: "GET", Template: path, SensitiveRequest: []string{"a"}}, "GET has no body"},
		"off and fields":  {endpoint.Override{Method: "POST", Template: path, SensitiveOff: true, SensitiveRequest: []string{"a"}}, "sensitive is off"},
	} {
		_, err := endpoint.New([]endpoint.Override{tt.over})
		if !errors.Is(err, endpoint.ErrBadOverride) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want it to say %q", name, err, tt.want)
		}
	}
}

// The fields of notifies are found wherever they stand in the resource.
func TestSensitiveFieldsOfEvents(t *testing.T) {
	t.Parallel()
	for _, e := range newTable(t).Events() {
		if (e.Sensitive == nil) != (len(e.RSAFields) == 0) {
			t.Errorf("%s: fields %q, paths %v", e.Type, e.RSAFields, e.Sensitive)
		}
		for _, name := range e.RSAFields {
			found, err := e.Sensitive.Find([]byte(`{"a":{"b":[{"` + name + `":"x"}]}}`))
			if err != nil || len(found) != 1 {
				t.Errorf("%s: %s is not found: %v, %v", e.Type, name, found, err)
			}
		}
	}
}
