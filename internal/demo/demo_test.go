package demo_test

import (
	"bytes"
	"context"
	"errors"
	"go/parser"
	"go/token"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/wxproxy/wxproxy/internal/demo"
)

// The shop is the claim of the whole project: an app without cryptography.
func TestShopKnowsNothingOfCryptography(t *testing.T) {
	t.Parallel()
	file, err := parser.ParseFile(token.NewFileSet(), "shop.go", nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	allowed := []string{"bytes", "context", "encoding/json", "maps", "net/http", "sync"}
	for _, i := range file.Imports {
		if path, _ := strconv.Unquote(i.Path.Value); !slices.Contains(allowed, path) {
			t.Errorf("the shop imports %s", path)
		}
	}
}

func post(t *testing.T, h http.Handler, body string) int {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/notify", strings.NewReader(body)))
	return w.Code
}

// newShop has made order TEA1 with an API that takes everything.
func newShop(t *testing.T) *demo.Shop {
	t.Helper()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"prepay_id":"wx1"}`)
	}))
	t.Cleanup(api.Close)
	s := &demo.Shop{MchID: "1900000001", Client: api.Client()}
	if _, err := s.Prepay(t.Context(), api.URL, "TEA1", 880); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestShopCountsByID(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	h := s.Handler()
	paid := `{"id":"1","event_type":"TRANSACTION.SUCCESS","resource":{"out_trade_no":"TEA1","trade_state":"SUCCESS"}}`
	for _, tt := range []struct {
		body   string
		status int
		state  string
		ones   int
	}{
		{`not json`, 400, demo.Unpaid, 0},
		{`{"id":"0","event_type":"TRANSACTION.SUCCESS","resource":{"out_trade_no":"TEA2","trade_state":"SUCCESS"}}`, 204, demo.Unpaid, 0},
		{`{"id":"0","event_type":"TRANSACTION.SUCCESS","resource":{"out_trade_no":"TEA1","trade_state":"NOTPAY"}}`, 204, demo.Unpaid, 0},
		{paid, 204, demo.Paid, 1},
		{paid, 204, demo.Paid, 2},
		{`{"id":"2","event_type":"REFUND.SUCCESS","resource":{"out_trade_no":"TEA1","refund_status":"SUCCESS"}}`, 204, demo.Refunded, 2},
	} {
		if got := post(t, h, tt.body); got != tt.status {
			t.Errorf("%s: status %d, want %d", tt.body, got, tt.status)
		}
		if got := s.State("TEA1"); got != tt.state {
			t.Errorf("%s: order is %s, want %s", tt.body, got, tt.state)
		}
		if got := s.Arrivals("1"); got != tt.ones {
			t.Errorf("%s: %d arrivals of 1, want %d", tt.body, got, tt.ones)
		}
	}
}

func TestShopTellsOfEvents(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	_, news := s.Events(0)
	post(t, s.Handler(), `{"id":"1"}`)
	<-news
	if got, _ := s.Events(0); len(got) != 1 || got[0].ID != "1" {
		t.Errorf("got %v", got)
	}
	if got, _ := s.Events(1); len(got) != 0 {
		t.Errorf("got %v after the first", got)
	}
}

func TestWiretapReplaysByteForByte(t *testing.T) {
	t.Parallel()
	type seen struct{ nonce, body string }
	var got []seen
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = append(got, seen{r.Header.Get("Wechatpay-Nonce"), string(body)})
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(server.Close)
	tap := &demo.Wiretap{Base: server.Client().Transport}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, strings.NewReader("notify"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Wechatpay-Nonce", "n")
	resp, err := tap.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	status, err := tap.Replay(t.Context())
	if err != nil || status != http.StatusNoContent {
		t.Fatalf("replay: %d, %v", status, err)
	}
	if want := (seen{"n", "notify"}); !slices.Equal(got, []seen{want, want}) {
		t.Errorf("got %v", got)
	}
}

func steps(last error) []demo.Step {
	return []demo.Step{
		{Name: "first", Why: "because", Run: func(_ context.Context, say demo.Say) error { say("a → %d", 1); return nil }},
		{Name: "second", Why: "therefore", Run: func(context.Context, demo.Say) error { return last }},
		{Name: "third", Run: func(context.Context, demo.Say) error { return nil }},
	}
}

func TestTellNamesTheStepThatFailed(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	cause := errors.New("expected 1, recorded 2")
	err := demo.NewTeller(&out, false).Tell(t.Context(), steps(cause))
	failed, ok := errors.AsType[*demo.StepError](err)
	if !ok || failed.Number != 2 || failed.Name != "second" || !errors.Is(err, cause) {
		t.Errorf("got %v", err)
	}
	if want := "step 2 (second) failed: expected 1, recorded 2"; err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
	if s := out.String(); !strings.Contains(s, "✗ expected 1, recorded 2") || strings.Contains(s, "third") {
		t.Errorf("got\n%s", s)
	}
}

func TestTellInColourAndPlain(t *testing.T) {
	t.Parallel()
	for _, colour := range []bool{true, false} {
		var out bytes.Buffer
		if err := demo.NewTeller(&out, colour).Tell(t.Context(), steps(nil)); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(out.String(), "\x1b["); got != colour {
			t.Errorf("colour %v: escapes %v", colour, got)
		}
		if got := strings.Count(out.String(), "✓"); got != 4 {
			t.Errorf("colour %v: %d ✓, want 4", colour, got)
		}
	}
}

func TestTellEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := demo.NewTeller(io.Discard, false).Tell(ctx, steps(nil)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestColourOnlyOnATerminal(t *testing.T) {
	t.Parallel()
	none := func(string) (string, bool) { return "", false }
	file, err := os.Create(t.TempDir() + "/out")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	for name, w := range map[string]io.Writer{"buffer": &bytes.Buffer{}, "file": file} {
		if demo.Colour(w, none) {
			t.Errorf("%s: coloured", name)
		}
	}
}
