package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wxproxy/wxproxy/internal/config"
)

// FuzzLoad feeds any bytes to Load: it never panics, and it answers either a
// config or faults that each are one line and say where and what to do.
func FuzzLoad(f *testing.F) {
	example, err := os.ReadFile(examplePath)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		smallest,
		string(example),
		uncommented(string(example)),
		"",
		"\xff\xfe\x00",
		"a: &a [*a, *a]\nb: *a",
		"merchants: [{name: &x [], <<: *x}]",
		"outbound: {listen: {address: ${X}, merchant: [1]}, timeout: 1e400s, limits: {request: 9223372036854775807GiB}}",
		"notify: {source_ips: ['::/0', 1/33], routes: [{path: [], merchants: {}}]}",
		"? {a: b}\n: c\n--- !!binary x\n...\n",
		strings.Repeat("[", 300),
	} {
		f.Add([]byte(seed))
	}
	path := filepath.Join(f.TempDir(), "wxproxy.yaml")
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := config.Load(path, config.Sources{Env: env("X", "$${x}\n")})
		if err == nil {
			if again := c.Validate(); len(again) > 0 {
				t.Errorf("loaded, and yet: %v", again)
			}
			c.Warnings()
			return
		}
		faults, ok := errors.AsType[config.Errors](err)
		if !ok || c != nil || len(faults) == 0 {
			t.Fatalf("got %v, %v", c, err)
		}
		for _, fault := range faults {
			if fault.File != path || fault.Line < 1 || fault.Problem == "" || fault.Fix == "" || strings.ContainsAny(fault.Error(), "\r\n") {
				t.Errorf("incomplete fault: %q", fault.Error())
			}
		}
	})
}
