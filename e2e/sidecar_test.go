//go:build e2e

package e2e

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// setup is the config of a sidecar; parts that are empty have none.
type setup struct {
	merchants string // items of the list
	upstream  string
	outbound  string // more lines, indented by two
	routes    string // items of the list
	notify    string // more lines, indented by two
	more      string // more sections
	env       []string
}

// sidecar is a running wxproxy serve.
type sidecar struct {
	*process
	dir      string // holds wxproxy.yaml, api.sock, control.sock and state
	outbound string // base URLs
	notify   string
	admin    string
}

// route is one that takes everything for a merchant.
func route(path, merchant, to string) string {
	return strings.NewReplacer("PATH", path, "MERCHANT", merchant, "TO", to).Replace(`
    - {path: PATH, merchant: MERCHANT, to: "TO"}`)
}

func (s setup) yaml(dir string) string {
	return strings.NewReplacer(
		"DIR", dir, "MERCHANTS", s.merchants, "UPSTREAM", s.upstream, "OUTBOUND", s.outbound, "ROUTES", s.routes, "NOTIFY", s.notify, "MORE", s.more,
	).Replace(`merchants:MERCHANTS
outbound:
  listen: ["127.0.0.1:0", "unix:DIR/api.sock"]
  upstreams: ["UPSTREAM"]
  hosts: [api.mch.weixin.qq.com]
OUTBOUND
notify:
  listen: 127.0.0.1:0
  routes:ROUTES
NOTIFY
admin:
  listen: 127.0.0.1:0
  control: unix:DIR/control.sock
state_dir: DIR/state
shutdown_grace: 15s
log: {format: json, level: debug}
MORE
`)
}

// shortDir is a directory whose path leaves room for a socket's name.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "wx")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// startSidecar runs wxproxy serve until it listens.
func startSidecar(t *testing.T, s setup) *sidecar {
	t.Helper()
	return startSidecarIn(t, shortDir(t), s)
}

func startSidecarIn(t *testing.T, dir string, s setup) *sidecar {
	t.Helper()
	config := filepath.Join(dir, "wxproxy.yaml")
	writeFile(t, config, []byte(s.yaml(dir)))
	c := &sidecar{process: start(t, s.env, "serve", "-c", config), dir: dir}
	for role, base := range map[string]*string{"outbound": &c.outbound, "notify": &c.notify, "admin": &c.admin} {
		*base = "http://" + c.out.await(t, 0, `"for":"`+role+`","address":"(127\.0\.0\.1:\d+)"`)[1]
	}
	return c
}

// startReady waits until every merchant has its keys.
func startReady(t *testing.T, s setup) *sidecar {
	t.Helper()
	c := startSidecar(t, s)
	c.awaitReady()
	return c
}

func (c *sidecar) awaitReady() {
	c.t.Helper()
	c.awaitAdmin("/readyz", `"ready": true`, http.StatusOK)
}

// awaitAdmin asks the admin port until it answers with the status and text.
func (c *sidecar) awaitAdmin(path, text string, status int) {
	c.t.Helper()
	deadline := time.After(patience)
	for tick := time.NewTicker(20 * time.Millisecond); ; {
		got, body := get(c.t, http.DefaultClient, c.admin+path)
		if got == status && strings.Contains(body, text) {
			tick.Stop()
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			c.t.Fatalf("%s: %d %s, want %d and %s", path, got, body, status, text)
		}
	}
}

// control asks the control socket.
func (c *sidecar) control(method, path string) (int, string) {
	c.t.Helper()
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", c.dir+"/control.sock")
	}
	client := &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	r, err := http.NewRequestWithContext(c.t.Context(), method, "http://control"+path, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	return do(c.t, client, r)
}

func get(t *testing.T, client *http.Client, url string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return do(t, client, r)
}

func do(t *testing.T, client *http.Client, r *http.Request) (int, string) {
	t.Helper()
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}
