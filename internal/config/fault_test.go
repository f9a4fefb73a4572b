package config_test

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/wxproxy/wxproxy/internal/config"
	"github.com/wxproxy/wxproxy/internal/secret"
)

func TestFaultIsOneLine(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		fault config.Fault
		want  string
	}{
		{config.Fault{File: "a.yaml", Line: 3, Key: "k", Problem: "is bad", Fix: "mend it"}, "a.yaml:3: k: is bad; fix: mend it"},
		{config.Fault{File: "a.yaml", Problem: "is bad", Fix: "mend it"}, "a.yaml: is bad; fix: mend it"},
		{config.Fault{Key: "k", Problem: "is bad"}, "k: is bad"},
	} {
		if got := row.fault.Error(); got != row.want {
			t.Errorf("got %q, want %q", got, row.want)
		}
	}
}

// A secret that slipped into any place of the file appears in no fault.
func TestFaultsNeverRepeatSecrets(t *testing.T) {
	t.Parallel()
	const planted = "0123456789abcdefABCDEF0123456789"
	dir := shortDir(t)
	lines := slices.DeleteFunc(strings.SplitAfter(uncommented(example(t)), "\n"), func(line string) bool {
		return strings.HasPrefix(strings.TrimSpace(line), "#")
	})
	faulty := 0
	for i, line := range lines {
		key, value, ok := strings.Cut(line, ":")
		if !ok {
			continue
		}
		indentation := line[:len(line)-len(strings.TrimLeft(line, " -"))]
		for _, swapped := range []string{
			key + ": " + planted + "\n",
			key + ": *" + planted + "\n",
			key + ": env:" + planted + "\n",
			key + ": file:" + planted + "\n",
			key + ": https://" + planted + ":" + planted + "@127.0.0.1/\n",
			key + ": {" + planted + ": 1}\n",
			indentation + planted + ":" + value,
			key + ":" + planted + "\n",
		} {
			text := strings.Join(lines[:i], "") + swapped + strings.Join(lines[i+1:], "")
			_, err := config.Load(write(t, filepath.Join(dir, "wxproxy.yaml"), text), config.Sources{
				Flags: map[string]string{planted: "x", "outbound.timeout": planted},
			})
			if err != nil && strings.Contains(err.Error(), planted) {
				t.Errorf("%q is repeated in:\n%v", swapped, err)
			}
			faulty++
		}
	}
	if faulty < 300 {
		t.Errorf("tried %d places only", faulty)
	}
}

func TestVariableMeantAsSecret(t *testing.T) {
	t.Parallel()
	text := smallest + "admin: {control: '127.0.0.1:9091', control_token: 'env:WXPROXY_ADMIN_CONTROL_TOKEN'}\n"
	_, err := load(t, text, config.Sources{Env: env("WXPROXY_ADMIN_CONTROL_TOKEN", "hunter2")})
	want := "$WXPROXY_ADMIN_CONTROL_TOKEN: admin.control_token: must be a reference"
	if err == nil || !strings.HasPrefix(err.Error(), want) || !strings.Contains(err.Error(), "keep the secret in one of another name") {
		t.Errorf("got %v, want %s…", err, want)
	}
}

func TestFaultOfOverrideNamesItsOrigin(t *testing.T) {
	t.Parallel()
	_, err := load(t, smallest+"outbound:\n  listen: [127.0.0.1:1, 127.0.0.1:2]\n", config.Sources{
		Flags: map[string]string{"outbound.listen": ":8080"},
	})
	if want := "--outbound.listen: outbound.listen[0].address: is reachable"; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, want %s…", err, want)
	}
}

func TestValidateOfConfigBuiltInCode(t *testing.T) {
	t.Parallel()
	key := write(t, filepath.Join(t.TempDir(), "key.pem"), "x")
	c := config.Default()
	c.Merchants = []config.Merchant{{
		Name:       "demo",
		MchID:      "1900000001",
		SerialNo:   "0A",
		PrivateKey: secret.Ref{Scheme: "file", Target: key},
		APIv3Key:   secret.Ref{Scheme: "env", Target: "ANY"},
	}}
	if faults := c.Validate(); len(faults) > 0 {
		t.Errorf("faults: %v", faults)
	}
	c.Outbound.Listen[0].Address = ":8080"
	if faults := c.Validate(); len(faults) != 1 || !strings.HasPrefix(faults[0].Error(), "outbound.listen[0].address: ") {
		t.Errorf("faults: %v", faults)
	}
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("permission bits say nothing here")
	}
	without, _, _ := strings.Cut(smallest, "notify:")
	c := mustLoad(t, without+`notify:
  listen: 127.0.0.1:8443
  trusted_proxies: [0.0.0.0/0]
outbound:
  listen: unix:api.sock
  socket_mode: 0666
endpoints:
  - {method: GET, path: /v3/x, unsigned: true}
`, config.Sources{})
	for _, m := range c.Merchants {
		if err := os.Chmod(m.PrivateKey.Target, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, w := range c.Warnings() {
		if w.Line == 0 || w.Fix == "" {
			t.Errorf("incomplete warning: %v", w)
		}
		got = append(got, w.Key)
	}
	want := "merchants[0].private_key notify.listen notify.trusted_proxies[0] outbound.socket_mode endpoints[0].unsigned"
	if strings.Join(got, " ") != want {
		t.Errorf("got  %v\nwant %s", got, want)
	}
}

// A key in Transit signs, but opens nothing: whoever sets it up has to know.
func TestTransitWarning(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, strings.Replace(smallest, "private_key: file:key.pem", "certificate: file:other.pem\n    private_key: transit:transit/shop", 1)+
		"vault: {address: 'https://vault.example.com', auth: {method: token, token: env:SET}}\n", config.Sources{Env: func(name string) (string, bool) { return "x", name == "SET" }})
	w := c.Warnings()
	if len(w) != 1 || w[0].Key != "merchants[0].private_key" || !strings.Contains(w[0].Problem, "OAEP with SHA-1") || !strings.Contains(w[0].Fix, "vault: or file:") || w[0].Line == 0 {
		t.Errorf("got %v", w)
	}
}

func TestLoopback(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		"127.0.0.1:1": true, "127.9.9.9:1": true, "[::1]:1": true, "localhost:1": true, "LOCALHOST:1": true,
		"[::ffff:127.0.0.1]:1": true, "unix:/run/x.sock": true,
		":1": false, "0.0.0.0:1": false, "[::]:1": false, "10.0.0.1:1": false, "localhost.example.com:1": false, "": false,
	} {
		if got := config.IsLoopback(address); got != want {
			t.Errorf("%q: got %v, want %v", address, got, want)
		}
	}
}
