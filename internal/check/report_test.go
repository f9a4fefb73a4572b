package check_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/wxproxy/wxproxy/internal/check"
)

func sample() check.Report {
	return check.NewReport([]check.Check{
		{Group: "Config", Name: "file", OK: true, Detail: "wxproxy.yaml: 1 merchant"},
		{Group: "Config", Name: "admin.listen", OK: true, Warn: true, Detail: "127.0.0.1:9090: in use", Fix: "stop <it>"},
		{Group: "merchant shop", Name: "pair", Detail: "does not\nfit\x1b", Fix: "replace both"},
		{Group: "merchant shop", Name: "mchid", OK: true},
	})
}

func TestText(t *testing.T) {
	t.Parallel()
	want := `Config
  ✓ file  wxproxy.yaml: 1 merchant
  ! admin.listen  127.0.0.1:9090: in use
      → stop <it>

Merchant shop
  ✗ pair  does not fit?
      → replace both
  ✓ mchid

2 fine, 1 to look at, 1 failed
`
	if got := text(t, sample()); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestColour(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := sample().WriteText(&b, true); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\x1b[32m✓\x1b[0m", "\x1b[33m!\x1b[0m", "\x1b[31m✗\x1b[0m"} {
		if !bytes.Contains(b.Bytes(), []byte(want)) {
			t.Errorf("no %q in %q", want, b.String())
		}
	}
}

// TestJSON pins the form: programs read it.
func TestJSON(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := sample().WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, b.Bytes()); err != nil {
		t.Fatal(err)
	}
	want := `{"ok":false,"checks":[` +
		`{"group":"Config","name":"file","ok":true,"warn":false,"detail":"wxproxy.yaml: 1 merchant","fix":""},` +
		`{"group":"Config","name":"admin.listen","ok":true,"warn":true,"detail":"127.0.0.1:9090: in use","fix":"stop <it>"},` +
		`{"group":"merchant shop","name":"pair","ok":false,"warn":false,"detail":"does not\nfit\u001b","fix":"replace both"},` +
		`{"group":"merchant shop","name":"mchid","ok":true,"warn":false,"detail":"","fix":""}]}`
	if got := compact.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestWarningsAreAllowed(t *testing.T) {
	t.Parallel()
	if !check.NewReport([]check.Check{{OK: true, Warn: true}}).OK {
		t.Error("a warning fails the report")
	}
}
