package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/wxproxy/wxproxy/internal/check"
	"github.com/wxproxy/wxproxy/internal/sim"
)

// checkedDir makes a simulated merchant's files once: its keys take time.
var checkedDir = sync.OnceValues(func() (dir map[string]string, err error) {
	temporary, err := os.MkdirTemp("", "wxproxy-check")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(temporary)
	if _, err := sim.New(sim.Options{Dir: temporary}); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(temporary)
	if err != nil {
		return nil, err
	}
	dir = make(map[string]string)
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(temporary, e.Name()))
		if err != nil {
			return nil, err
		}
		dir[e.Name()] = string(text)
	}
	return dir, nil
})

// checkSetup is a simulator and a config that fits it.
func checkSetup(t *testing.T, publicKeyOnly bool) (dir, config string) {
	t.Helper()
	files, err := checkedDir()
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	for name, text := range files {
		writeText(t, filepath.Join(dir, name), text)
	}
	simulator, err := sim.New(sim.Options{Dir: dir, PublicKeyOnly: publicKeyOnly})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(simulator.Handler())
	t.Cleanup(server.Close)
	id, _ := simulator.PublicKey()
	config = filepath.Join(dir, "wxproxy.yaml")
	writeText(t, config, fmt.Sprintf(`
merchants:
  - name: shop
    certificate: file:apiclient_cert.pem
    private_key: file:apiclient_key.pem
    apiv3_key: file:apiv3_key
    platform: {public_key: "file:pub_key.pem", public_key_id: %s}
outbound:
  listen: 127.0.0.1:0
  upstreams: [%s]
  callers: [{name: web, token: file:token}]
notify:
  listen: unix:notify.sock
  routes: [{path: /notify/shop, to: "https://app.example.com/paid?token=x", webhook_secret: file:webhook}]
admin: {listen: ""}
state_dir: state
`, id, server.URL))
	writeText(t, filepath.Join(dir, "token"), "a token of the app\n")
	writeText(t, filepath.Join(dir, "webhook"), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n")
	return dir, config
}

func writeText(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// runChecked returns what check prints; no secret of the setup is in it.
func runChecked(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = runCheck(t.Context(), args, &out, &errs)
	files, err := checkedDir()
	if err != nil {
		t.Fatal(err)
	}
	secrets := []string{files["apiv3_key"], "a token of the app", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "token=x", "WECHATPAY2-SHA256"}
	secrets = append(secrets, strings.Split(files["apiclient_key.pem"], "\n")[1:26]...)
	for _, s := range secrets {
		if len(s) > 6 && strings.Contains(out.String()+errs.String(), s) {
			t.Errorf("%.12q… of a secret is in the output:\n%s%s", s, out.String(), errs.String())
		}
	}
	return code, out.String(), errs.String()
}

func TestCheckGood(t *testing.T) {
	t.Parallel()
	for _, publicKeyOnly := range []bool{false, true} {
		dir, config := checkSetup(t, publicKeyOnly)
		for _, args := range [][]string{{}, {"-online"}, {"-offline"}} {
			code, stdout, stderr := runChecked(t, append(args, "-c", config)...)
			if code != exitFine || stderr != "" || strings.ContainsAny(stdout, "✗!\x1b") {
				t.Errorf("%v: exit %d\n%s%s", args, code, stdout, stderr)
			}
		}
		if _, err := os.Stat(filepath.Join(dir, "state")); err == nil {
			t.Error("check made state_dir")
		}
	}
}

// TestCheckOnline has WeChat Pay's opinion, from a simulator that shares no
// code with the checks.
func TestCheckOnline(t *testing.T) {
	t.Parallel()
	_, config := checkSetup(t, true)
	code, stdout, stderr := runChecked(t, "-c", config, "-online", "-format", "json")
	var r check.Report
	if err := json.Unmarshal([]byte(stdout), &r); err != nil || code != exitFine || stderr != "" || !r.OK {
		t.Fatalf("exit %d, %v\n%s%s", code, err, stdout, stderr)
	}
	var names []string
	for _, c := range r.Checks {
		if c.Group == check.GroupPlatform {
			names = append(names, c.Name)
		}
	}
	if got, want := strings.Join(names, ","), "shop public_key_id,shop public_key,shop certificates,shop echo,shop decrypt"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestCheckBad(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		file, text string
		args       []string
		want       string
	}{
		"another key on our side":  {"apiv3_key", strings.Repeat("k", 32), []string{"-online"}, "does not open with apiv3_key"},
		"key too short":            {"apiv3_key", "short", nil, "5 bytes"},
		"webhook secret too short": {"webhook", "whsec_short", nil, "routes[0] /notify/shop"},
		"empty token":              {"token", "", nil, "caller web"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, config := checkSetup(t, false)
			writeText(t, filepath.Join(dir, row.file), row.text)
			code, stdout, stderr := runChecked(t, append(row.args, "-c", config)...)
			if code != exitFailed || !strings.Contains(stdout, "✗") || !strings.Contains(stdout, row.want) || stderr != "" {
				t.Errorf("exit %d\n%s%s", code, stdout, stderr)
			}
		})
	}
}

func TestCheckReadableKeyIsAWarning(t *testing.T) {
	t.Parallel()
	dir, config := checkSetup(t, false)
	if err := os.Chmod(filepath.Join(dir, "apiclient_key.pem"), 0o644); err != nil {
		t.Fatal(err)
	}
	code, stdout, _ := runChecked(t, "-c", config)
	if code != exitFine || !strings.Contains(stdout, "! merchants[0].private_key") {
		t.Errorf("exit %d\n%s", code, stdout)
	}
}

func TestCheckUnloadable(t *testing.T) {
	t.Parallel()
	config := filepath.Join(t.TempDir(), "wxproxy.yaml")
	writeText(t, config, "merchants:\n  - name: Shop\nwrong: 1\n")
	code, stdout, stderr := runChecked(t, "-c", config)
	if code != exitUsage || !strings.Contains(stdout, "✗ merchants[0].name  "+config+":2: ") || !strings.Contains(stdout, "✗ wrong") || stderr != "" {
		t.Errorf("exit %d\n%s%s", code, stdout, stderr)
	}
	code, stdout, _ = runChecked(t, "-c", config, "-format", "json")
	var r check.Report
	if err := json.Unmarshal([]byte(stdout), &r); err != nil || code != exitUsage || r.OK || len(r.Checks) < 2 {
		t.Errorf("exit %d, %v\n%s", code, err, stdout)
	}
	code, stdout, _ = runChecked(t, "-c", config+".none")
	if code != exitUsage || !strings.Contains(stdout, "✗ file") {
		t.Errorf("exit %d\n%s", code, stdout)
	}
}

func TestCheckUsage(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"-format", "xml"}, {"-timeout", "0s"}, {"-timeout", "soon"}, {"-online", "-offline"}, {"extra"}, {"-none"},
	} {
		if code, stdout, stderr := runChecked(t, args...); code != exitUsage || stdout != "" || stderr == "" {
			t.Errorf("%v: exit %d\n%s%s", args, code, stdout, stderr)
		}
	}
	if code, _, stderr := runChecked(t, "-h"); code != exitFine || !strings.Contains(stderr, "-online") {
		t.Errorf("-h: exit %d\n%s", code, stderr)
	}
}

// TestCheckFlagsOverride: a flag wins over the file, as for serve.
func TestCheckFlagsOverride(t *testing.T) {
	t.Parallel()
	_, config := checkSetup(t, false)
	code, stdout, _ := runChecked(t, "-c", config, "-offline", "-notify.public_url", "https://localhost")
	if code != exitFailed || !strings.Contains(stdout, "✗ public_url") {
		t.Errorf("exit %d\n%s", code, stdout)
	}
}

// TestCheckOfflineLeavesVaultAlone: what is kept there is neither right nor
// wrong.
func TestCheckOfflineLeavesVaultAlone(t *testing.T) {
	t.Parallel()
	_, config := checkSetup(t, false)
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.NewReplacer("file:apiv3_key", "vault:secret/shop#apiv3_key", "token: file:token", "token: vault:secret/shop#token").Replace(string(text))
	writeText(t, config, changed+"vault: {address: \"http://127.0.0.1:1\", auth: {method: token, token: \"file:webhook\"}}\n")
	code, stdout, stderr := runChecked(t, "-c", config, "-offline")
	if code != exitFine || stderr != "" || strings.Contains(stdout, "✗") {
		t.Errorf("exit %d\n%s%s", code, stdout, stderr)
	}
	for _, line := range []string{"! apiv3_key  vault:secret/shop#apiv3_key was not read", "! caller web  vault:secret/shop#token was not read"} {
		if !strings.Contains(stdout, line) {
			t.Errorf("%q is not in:\n%s", line, stdout)
		}
	}
}
