package proxy_test

import (
	"os"
	"regexp"
	"strconv"
	"testing"

	"github.com/wxproxy/wxproxy/proxy"
)

// The list in docs/errors.md is the list in the code.
func TestDocsListEveryReason(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/errors.md")
	if err != nil {
		t.Fatal(err)
	}
	listed := make(map[proxy.Reason]int)
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| ([0-9]{3}) \\| [^|]+ \\| [^|]+ \\|$").FindAllStringSubmatch(string(text), -1) {
		listed[proxy.Reason(row[1])], _ = strconv.Atoi(row[2])
	}
	want := proxy.Reasons()
	for reason, status := range want {
		if listed[reason] != status {
			t.Errorf("docs/errors.md has %s with status %d, the code %d", reason, listed[reason], status)
		}
	}
	if len(listed) != len(want) {
		t.Errorf("docs/errors.md lists %d reasons, the code has %d", len(listed), len(want))
	}
}
