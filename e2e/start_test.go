//go:build e2e

package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// With the copy on disk a restart works while WeChat Pay is out of reach.
func TestRestartWithoutWeChat(t *testing.T) {
	t.Parallel()
	w, a := startWeChat(t, shortDir(t)), newApp(t)
	wire := newRelay(t, w.url)
	head, _, _ := strings.Cut(w.merchant("shop"), "    platform:") // certificates alone
	c := setup{merchants: head, upstream: wire.url, routes: route("/notify/shop", "shop", a.url)}
	first := startReady(t, c)
	first.stop()
	wire.server.Close()

	s := &shop{sidecar: startSidecarIn(t, first.dir, c), wechat: w, app: a}
	s.awaitReady()
	done := make(chan int)
	go func() {
		code, _ := s.trigger(t, "TRANSACTION.SUCCESS", "--sign", "certificate")
		done <- code
	}()
	a.take(204)
	if code := <-done; code != 0 {
		t.Errorf("the notify was not acknowledged: exit code %d", code)
	}
	s.stop()

	if err := os.RemoveAll(filepath.Join(first.dir, "state")); err != nil {
		t.Fatal(err)
	}
	s = &shop{sidecar: startSidecarIn(t, first.dir, c)}
	s.awaitAdmin("/readyz", `"ready": false`, http.StatusServiceUnavailable)
}

// Every fault of a config is told at once, with its place and what to do.
func TestConfigFaults(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	path := filepath.Join(dir, "wxproxy.yaml")
	writeFile(t, path, []byte(`merchants:
  - name: shop
    mchid: "1900000001"
    serial_no: 3775B6A45ACD588826D15E583A95F5DD00000000
    private_key: -----BEGIN PRIVATE KEY-----
    apiv3_key: file:absent
outbound:
  listen: 0.0.0.0:8080
  timeout: 30
colour: red
notify:
  limit: 1mb
  routes:
    - {path: /notify, to: "http://192.0.2.1/", ack: inbox}
log: {level: info}
log: {level: info}
`))
	for _, command := range []string{"serve", "check"} {
		code, text := output(t, nil, command, "-c", path)
		if code != 2 {
			t.Errorf("%s: exit code %d, want 2:\n%s", command, code, text)
		}
		for line, key := range map[string]string{
			"5": "merchants[0].private_key", "6": "merchants[0].apiv3_key", "8": "outbound.listen[0].address", "9": "outbound.timeout",
			"10": "colour", "12": "notify.limit", "14": "notify.routes[0].ack", "16": "log",
		} {
			if !slices.ContainsFunc(strings.Split(text, "\n"), func(s string) bool {
				return strings.Contains(s, path+":"+line+":") && strings.Contains(s, key)
			}) {
				t.Errorf("%s: no line names %s and line %s:\n%s", command, key, line, text)
			}
		}
		if strings.Contains(text, "BEGIN PRIVATE KEY") {
			t.Errorf("%s: the literal secret is quoted:\n%s", command, text)
		}
	}
}

// A key that does not fit is found before the start, not at the first call.
func TestBadKeyStopsTheStart(t *testing.T) {
	t.Parallel()
	w := startWeChat(t, shortDir(t))
	dir := shortDir(t)
	config := filepath.Join(dir, "wxproxy.yaml")
	writeFile(t, config, []byte(setup{merchants: w.merchant("shop"), upstream: w.url, routes: route("/n", "shop", "http://127.0.0.1:1/")}.yaml(dir)))
	w.stop()
	writeFile(t, w.file("apiclient_key.pem"), newCredentials(t, mchID).keyPEM(t))
	code, text := output(t, nil, "serve", "-c", config)
	if code != 2 || !strings.Contains(text, "not started") {
		t.Errorf("exit code %d\n%s", code, text)
	}
	if code, text := output(t, nil, "serve", "-c", filepath.Join(dir, "none.yaml")); code != 2 {
		t.Errorf("no config: exit code %d\n%s", code, text)
	}
	if code, _ := output(t, nil, "serve", "--nonsense"); code != 2 {
		t.Errorf("unknown flag: exit code %d", code)
	}
}

// The config that the simulator writes is ready to use, as the README says.
func TestSimulatorsConfig(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	w := startWeChat(t, shortDir(t), "--notify-app", a.url)
	p := start(t, nil, "serve", "-c", w.file("wxproxy.yaml"), "--outbound.listen", "127.0.0.1:0", "--notify.listen", "127.0.0.1:0", "--admin.listen", "127.0.0.1:0")
	s := &shop{sidecar: &sidecar{process: p}}
	s.outbound = "http://" + p.out.await(t, 0, `for=outbound address=(\S+)`)[1]
	s.notify = "http://" + p.out.await(t, 0, `for=notify address=(\S+)`)[1]
	curl(t, nil, post(s.outbound+"/v3/pay/transactions/native", prepayBody(t, mchID, "ORDER0001", s.notify+"/notify"))...).verified(t, 200)
	w.pay("ORDER0001")
	if got := a.take(204).resource(t)["out_trade_no"]; got != "ORDER0001" {
		t.Errorf("the app was told of %v", got)
	}
	p.stop()
}
