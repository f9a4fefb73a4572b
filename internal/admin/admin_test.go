package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/wxproxy/wxproxy/internal/admin"
	"github.com/wxproxy/wxproxy/internal/secret"
)

func get(h http.Handler, method, path string, header http.Header) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(method, path, nil)
	maps.Copy(r.Header, header)
	h.ServeHTTP(w, r)
	return w
}

func TestReadyNamesWhoIsNot(t *testing.T) {
	t.Parallel()
	states := []admin.Status{{Merchant: "a", Ready: true}}
	h := admin.Health(func() []admin.Status { return states }, http.NotFoundHandler())
	if got := get(h, "GET", "/healthz", nil).Code; got != 200 {
		t.Errorf("healthz: %d", got)
	}
	if got := get(h, "GET", "/readyz", nil).Code; got != 200 {
		t.Errorf("readyz with all ready: %d", got)
	}
	states = append(states, admin.Status{Merchant: "b", Problem: "no key"})
	w := get(h, "GET", "/readyz", nil)
	var answer struct {
		Ready     bool
		Merchants []admin.Status
	}
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		t.Fatal(err)
	}
	if w.Code != 503 || answer.Ready || len(answer.Merchants) != 2 || answer.Merchants[1].Problem != "no key" {
		t.Errorf("readyz with one not ready: %d %+v", w.Code, answer)
	}
	states = []admin.Status{{Merchant: "a", Ready: true}, {Certificate: "pay.example.com", Problem: "expired"}}
	if w = get(h, "GET", "/readyz", nil); w.Code != 200 || !strings.Contains(w.Body.String(), `"certificate": "pay.example.com"`) || !strings.Contains(w.Body.String(), `"problem": "expired"`) {
		t.Errorf("readyz with a certificate at its end: %d %s", w.Code, w.Body)
	}
	states[1] = admin.Status{Secret: "vault:secret/shop#token", Problem: "gone"}
	if w = get(h, "GET", "/readyz", nil); w.Code != 200 || !strings.Contains(w.Body.String(), `"secret": "vault:secret/shop#token"`) || !strings.Contains(w.Body.String(), `"total": 1`) {
		t.Errorf("readyz with a secret that is gone: %d %s", w.Code, w.Body)
	}
	if got := get(h, "POST", "/readyz", nil).Code; got != 405 {
		t.Errorf("POST readyz: %d", got)
	}
}

// Of many merchants those are listed that need a look, the worst first.
func TestReadyOfManyIsReadable(t *testing.T) {
	t.Parallel()
	var states []admin.Status
	for i := range 1000 {
		states = append(states, admin.Status{Merchant: fmt.Sprintf("shop-%d", i), Ready: true})
	}
	states[3].Warning = "expires soon"
	states[5].Problem = "does not sign"
	states[777] = admin.Status{Merchant: "shop-777", Problem: "no key"}
	h := admin.Health(func() []admin.Status { return slices.Clone(states) }, http.NotFoundHandler())
	type answer struct {
		Ready     bool
		Total     int
		NotReady  int `json:"not_ready"`
		Problems  int
		Warnings  int
		Merchants []admin.Status
		Omitted   int
	}
	read := func(path string, status int) (a answer) {
		t.Helper()
		w := get(h, "GET", path, nil)
		if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil || w.Code != status {
			t.Fatalf("%s: %d %s %v", path, w.Code, w.Body, err)
		}
		return a
	}
	want := answer{Total: 1000, NotReady: 1, Problems: 1, Warnings: 1, Merchants: []admin.Status{states[777], states[5], states[3]}, Omitted: 997}
	if got := read("/readyz", 503); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
	if got := read("/readyz?all", 503); len(got.Merchants) != 1000 || got.Omitted != 0 {
		t.Errorf("all: %d, and %d left out", len(got.Merchants), got.Omitted)
	}
	if got := read("/readyz/shop-3", 200); !got.Ready || got.Total != 1 {
		t.Errorf("got %+v", got)
	}
	if got := read("/readyz/shop-777", 503); got.Ready || got.Merchants[0].Problem != "no key" {
		t.Errorf("got %+v", got)
	}
	if got := get(h, "GET", "/readyz/nobody", nil).Code; got != 404 {
		t.Errorf("nobody: %d", got)
	}
	for i := range states {
		states[i].Ready, states[i].Problem = false, "no key"
	}
	if got := read("/readyz", 503); got.NotReady != 1000 || len(got.Merchants) != 50 || got.Omitted != 950 {
		t.Errorf("%d not ready, %d listed, %d left out", got.NotReady, len(got.Merchants), got.Omitted)
	}
}

func TestControl(t *testing.T) {
	t.Parallel()
	var reloads, quits int
	var failure error
	h := admin.Control(admin.ControlOptions{
		Token:    func() secret.Value { return secret.NewValue([]byte("s3cret-token")) },
		Reload:   func(context.Context) error { reloads++; return failure },
		Quit:     func() { quits++ },
		Statuses: func() []admin.Status { return nil },
		Details:  func() any { return nil },
	})
	right := http.Header{"Authorization": {"Bearer s3cret-token"}}
	for name, header := range map[string]http.Header{
		"no token":     nil,
		"wrong token":  {"Authorization": {"Bearer s3cret-tokeN"}},
		"empty token":  {"Authorization": {"Bearer "}},
		"other scheme": {"Authorization": {"Basic s3cret-token"}},
		"browser":      {"Authorization": right["Authorization"], "Sec-Fetch-Site": {"none"}},
		"page":         {"Authorization": right["Authorization"], "Origin": {"http://evil.example"}},
	} {
		if got := get(h, "POST", "/v1/reload", header).Code; got != 403 {
			t.Errorf("%s: %d", name, got)
		}
		if got := get(h, "POST", "/v1/quit", header).Code; got != 403 {
			t.Errorf("%s: quit: %d", name, got)
		}
	}
	if reloads != 0 || quits != 0 {
		t.Errorf("refused requests reloaded %d and quit %d times", reloads, quits)
	}
	if got := get(h, "GET", "/v1/quit", right).Code; got != 405 || quits != 0 {
		t.Errorf("GET quit: %d, %d times", got, quits)
	}
	if got := get(h, "POST", "/v1/quit", right).Code; got != 200 || quits != 1 {
		t.Errorf("quit: %d, %d times", got, quits)
	}
	if got := get(h, "POST", "/v1/reload", right).Code; got != 200 || reloads != 1 {
		t.Errorf("reload: %d, %d times", got, reloads)
	}
	failure = errors.New("key does not fit its certificate")
	if w := get(h, "POST", "/v1/reload", right); w.Code != 409 || !strings.Contains(w.Body.String(), "does not fit") {
		t.Errorf("failed reload: %d %s", w.Code, w.Body)
	}
	if got := get(h, "GET", "/v1/status", right).Code; got != 200 {
		t.Errorf("status: %d", got)
	}
}

func TestControlWithEmptyTokenIsClosed(t *testing.T) {
	t.Parallel()
	h := admin.Control(admin.ControlOptions{Token: func() secret.Value { return secret.Value{} }})
	if got := get(h, "GET", "/v1/status", http.Header{"Authorization": {"Bearer "}}).Code; got != 403 {
		t.Errorf("got %d", got)
	}
}
