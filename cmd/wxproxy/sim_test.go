package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wechatpay-apiv3/wechatpay-go/core/auth/verifiers"
	"github.com/wechatpay-apiv3/wechatpay-go/core/notify"
	"github.com/wechatpay-apiv3/wechatpay-go/utils"
	"github.com/wxproxy/wxproxy/internal/config"
)

// startSim runs the command until the test ends and returns its base URL.
func startSim(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	out, in := io.Pipe()
	ended := make(chan int, 1)
	var problems bytes.Buffer
	go func() {
		ended <- runSim(ctx, append([]string{"--listen", "127.0.0.1:0"}, args...), in, &problems)
		in.Close()
	}()
	t.Cleanup(func() {
		cancel()
		if code := <-ended; code != exitFine {
			t.Errorf("sim exited %d: %s", code, problems.String())
		}
	})
	first, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("sim said nothing: %v", err)
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	_, base, found := strings.Cut(strings.TrimSpace(first), " on ")
	if !found {
		t.Fatalf("sim said %q", first)
	}
	return base
}

func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(content)
}

func TestSimServesAndWritesItsDirectory(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "sandbox")
	base := startSim(t, "--dir", dir, "--notify-app", "http://127.0.0.1:3000/wechat/paid")
	if status, body := get(t, base+"/_sim/"); status != http.StatusOK || !strings.Contains(body, `"speed_up": 60`) {
		t.Errorf("overview: %d %s", status, body)
	}
	if status, body := get(t, base+"/v3/bill/tradebill"); status != http.StatusUnauthorized || !strings.Contains(body, "SIGN_ERROR") {
		t.Errorf("unsigned request: %d %s", status, body)
	}
	cfg, err := config.Load(filepath.Join(dir, "wxproxy.yaml"), config.Sources{Env: os.LookupEnv})
	if err != nil {
		t.Fatalf("serve does not take the config: %v", err)
	}
	if got := cfg.Outbound.Upstreams; len(got) != 1 || got[0] != base {
		t.Errorf("upstreams %v, want %s", got, base)
	}
	if got := cfg.Notify.Routes[0].To; got != "http://127.0.0.1:3000/wechat/paid" {
		t.Errorf("notifies go to %s", got)
	}
}

// What trigger sends is judged by the official SDK with the files of the
// directory.
func TestTriggerSendsWhatTheSDKAccepts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	startSim(t, "--dir", dir)
	cfg, err := config.Load(filepath.Join(dir, "wxproxy.yaml"), config.Sources{Env: os.LookupEnv})
	if err != nil {
		t.Fatal(err)
	}
	public, err := utils.LoadPublicKeyWithPath(filepath.Join(dir, "pub_key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	secret, err := os.ReadFile(filepath.Join(dir, "apiv3_key"))
	if err != nil {
		t.Fatal(err)
	}
	handler := notify.NewNotifyHandler(string(secret), verifiers.NewSHA256WithRSAPubkeyVerifier(cfg.Merchants[0].Platform.PublicKeyID, *public))
	var got []*notify.Request
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := handler.ParseNotifyRequest(r.Context(), r, new(map[string]any))
		if err != nil {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"code":"FAIL"}`)
			return
		}
		got = append(got, n)
	}))
	t.Cleanup(app.Close)
	resource := filepath.Join(dir, "resource.json")
	if err := os.WriteFile(resource, []byte(`{"mine": 1.50}`), 0o600); err != nil {
		t.Fatal(err)
	}
	platform := filepath.Join(dir, "sim_platform_"+cfg.Merchants[0].Platform.PublicKeyID+".pem")
	for _, row := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"sample", []string{"TRANSACTION.SUCCESS", "--to", app.URL, "--dir", dir}, exitFine, "taken, answered 200"},
		{"event last", []string{"--to", app.URL, "--dir", dir, "REFUND.SUCCESS"}, exitFine, "REFUND.SUCCESS"},
		{"resource", []string{"ANY.THING", "--to", app.URL, "--dir", dir, "--resource", resource, "--id", "EV-1", "--count", "2"}, exitFine, "EV-1"},
		{"keys by hand", []string{"ANY.THING", "--to", app.URL, "--apiv3-key", filepath.Join(dir, "apiv3_key"), "--platform-key", platform}, exitFine, "taken"},
		{"certificate, which this receiver does not know", []string{"X", "--to", app.URL, "--dir", dir, "--sign", "certificate"}, exitFailed, "401"},
		{"stale", []string{"X", "--to", app.URL, "--dir", dir, "--fault", "stale"}, exitFailed, "not taken, answered 401"},
		{"flip", []string{"X", "--to", app.URL, "--dir", dir, "--fault", "flip"}, exitFailed, `"{\"code\":\"FAIL\"}"`},
		{"probe", []string{"X", "--to", app.URL, "--dir", dir, "--fault", "probe"}, exitFailed, "401"},
		{"nobody there", []string{"X", "--to", "http://127.0.0.1:1", "--dir", dir}, exitFailed, "not delivered"},
	} {
		var stdout, stderr bytes.Buffer
		code := runTrigger(t.Context(), row.args, &stdout, &stderr)
		if code != row.code || !strings.Contains(stdout.String(), row.says) {
			t.Errorf("%s: exit %d, %s%s", row.name, code, &stdout, &stderr)
		}
	}
	if len(got) != 5 || got[2].ID != "EV-1" || got[3].ID != "EV-1" || got[2].Resource.Plaintext != `{"mine": 1.50}` {
		t.Errorf("the SDK accepted %d: %+v", len(got), got)
	}
}

func TestSimAndTriggerUsage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	type command func(context.Context, []string, io.Writer, io.Writer) int
	for _, row := range []struct {
		name string
		run  command
		args []string
		code int
		out  string // of stdout, or of stderr where the code is not fine
	}{
		{"sim help", runSim, []string{"-h"}, exitFine, "speed-up"},
		{"sim unknown flag", runSim, []string{"--faster"}, exitUsage, "faster"},
		{"sim argument", runSim, []string{"now"}, exitUsage, "now"},
		{"sim speed", runSim, []string{"--speed-up", "0"}, exitUsage, "above 0"},
		{"sim open to others", runSim, []string{"--listen", "0.0.0.0:0"}, exitUsage, "--unsafe-listen"},
		{"sim open to others by name", runSim, []string{"--listen", "example.com:80"}, exitUsage, "--unsafe-listen"},
		{"sim without host", runSim, []string{"--listen", ":8088"}, exitUsage, "--unsafe-listen"},
		{"sim bad base", runSim, []string{"--notify-base", "8443"}, exitUsage, "notify base"},
		{"trigger help", runTrigger, []string{"--help"}, exitFine, "--list"},
		{"trigger list", runTrigger, []string{"--list"}, exitFine, "TRANSACTION.SUCCESS"},
		{"trigger without event", runTrigger, []string{"--to", "http://127.0.0.1:1"}, exitUsage, "name an event"},
		{"trigger without address", runTrigger, []string{"X"}, exitUsage, "--to"},
		{"trigger bad address", runTrigger, []string{"X", "--to", "127.0.0.1:1"}, exitUsage, "--to"},
		{"trigger without keys", runTrigger, []string{"X", "--to", "http://127.0.0.1:1"}, exitUsage, "--dir"},
		{"trigger with both kinds of keys", runTrigger, []string{"X", "--to", "http://127.0.0.1:1", "--dir", dir, "--apiv3-key", "x"}, exitUsage, "exclude"},
		{"trigger signs how", runTrigger, []string{"X", "--to", "http://127.0.0.1:1", "--dir", dir, "--sign", "pen"}, exitUsage, "--sign"},
		{"trigger none", runTrigger, []string{"X", "--to", "http://127.0.0.1:1", "--dir", dir, "--count", "0"}, exitUsage, "--count"},
		{"trigger two events", runTrigger, []string{"X", "--dir", dir, "Y"}, exitUsage, "Y"},
		{"trigger with nothing in the directory", runTrigger, []string{"X", "--to", "http://127.0.0.1:1", "--dir", dir}, exitFailed, "apiclient_cert.pem"},
	} {
		var stdout, stderr bytes.Buffer
		code := row.run(t.Context(), row.args, &stdout, &stderr)
		told := stdout.String()
		if row.code != exitFine {
			told = stderr.String()
		}
		if code != row.code || !strings.Contains(told, row.out) {
			t.Errorf("%s: exit %d, stdout %q, stderr %q", row.name, code, &stdout, &stderr)
		}
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 0 {
		t.Errorf("trigger wrote into the directory: %v, %v", files, err)
	}
}
