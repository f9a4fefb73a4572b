package k8s_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// The gateway as the chart configures it: two processes behind a balancer,
// both replaced one after the other, as a Deployment does, while WeChat Pay
// notifies and an app calls. No notify is lost or late, no call fails.
func TestGatewayRollsWithoutLoss(t *testing.T) {
	w, dir := startWeChat(t), t.TempDir()
	var mu sync.Mutex
	got := make(map[string]int)
	shop := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		mu.Lock()
		got[r.Header.Get("Idempotency-Key")]++
		mu.Unlock()
		rw.WriteHeader(http.StatusNoContent)
	}))
	defer shop.Close()
	g := &gateways{t: t, config: gatewayConfig(t, w, dir, shop.URL)}
	outbound, notify := startBalancer(t, "127.0.0.1:0"), startBalancer(t, "127.0.0.1:0")
	g.outbound, g.notify = outbound, notify
	g.add()
	g.add()

	stop := make(chan struct{})
	var load sync.WaitGroup
	var ids []string
	var calls, failed int
	every := func(do func()) {
		load.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					do()
				}
			}
		})
	}
	every(func() {
		id := w.notify("http://" + notify.listener.Addr().String() + "/notify/shop")
		taken(t, w, id)
		ids = append(ids, id)
	})
	every(func() {
		calls++
		if status, err := callGateway(outbound.listener.Addr().String(), "the-token"); err != nil || status != http.StatusOK {
			failed++
			t.Errorf("call %d: %d %v", calls, status, err)
		}
	})
	for range 2 {
		g.add()
		g.retire()
	}
	close(stop)
	load.Wait()

	first := make(map[string]bool)
	for _, d := range w.deliveries() {
		if d.Attempt > 1 || d.Verdict != "taken" {
			t.Errorf("notify %s, attempt %d: %s %d %s", d.NotifyID, d.Attempt, d.Verdict, d.Status, d.Reason)
		}
		first[d.NotifyID] = true
	}
	for _, id := range ids {
		if !first[id] || got[id] == 0 {
			t.Errorf("notify %s was acknowledged and did not reach the shop", id)
		}
	}
	if len(ids) < 5 || calls < 20 {
		t.Errorf("only %d notifies and %d calls", len(ids), calls)
	}
	if status, err := callGateway(outbound.listener.Addr().String(), "another"); err != nil || status != http.StatusForbidden && status != http.StatusUnauthorized {
		t.Errorf("with a wrong token: %d %v", status, err)
	}
	t.Logf("%d notifies and %d calls through two replacements; %d failed", len(ids), calls, failed)
}

// callGateway calls as an app of another namespace does, by the Service's name.
func callGateway(address, token string) (int, error) {
	r, err := http.NewRequest(http.MethodGet, "http://"+address+"/v3/certificates", nil)
	if err != nil {
		return 0, err
	}
	r.Host = "gw-gateway.pay.svc:8080"
	r.Header.Set("Wxproxy-Token", token)
	r.Header.Set("Authorization", "Bearer "+token)
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(r)
	if err != nil {
		return 0, err
	}
	return answer.StatusCode, answer.Body.Close()
}

// gatewayConfig is the chart's, rendered, with keys where the test has them.
func gatewayConfig(t *testing.T, w *wechat, dir, shop string) string {
	t.Helper()
	write(t, dir, "token", "the-token")
	values := write(t, dir, "values.yaml", strings.NewReplacer("KEYS", w.dir, "DIR", dir, "UPSTREAM", w.url, "ID", w.publicKeyID, "SHOP", shop).Replace(`
injector: {enabled: false}
fullnameOverride: gw
gateway:
  enabled: true
  config:
    shutdown_delay: 1s
    merchants:
      - name: shop
        certificate: file:KEYS/apiclient_cert.pem
        private_key: file:KEYS/apiclient_key.pem
        apiv3_key: file:KEYS/apiv3_key
        platform: {public_key: "file:KEYS/pub_key.pem", public_key_id: ID}
    outbound: {upstreams: ["UPSTREAM"], callers: [{name: shop-web, token: "file:DIR/token"}]}
    notify: {routes: [{path: /notify/shop, to: SHOP}]}
`))
	for _, object := range documents(t, mustHelm(t, "template", "gw", chart, "-n", "pay", "--kube-version", "1.34.4", "-f", values)) {
		if textAt(object, "kind") == "ConfigMap" {
			return write(t, dir, "wxproxy.yaml", textAt(object, "data", "wxproxy.yaml"))
		}
	}
	t.Fatal("no config was rendered")
	return ""
}

type gateways struct {
	t                *testing.T
	config           string
	outbound, notify *balancer
	running          []*process
	out, in          []backend
}

// add starts one more and sends it traffic once it is ready.
func (g *gateways) add() {
	g.t.Helper()
	p := start(g.t, "serve", "-c", filepath.Clean(g.config), "--outbound.listen", "127.0.0.1:0", "--notify.listen", "127.0.0.1:0", "--admin.listen", "127.0.0.1:0", "--log-format", "text")
	address := func(role string) string { return p.await(g.t, "for="+role+` address=(\S+)`)[1] }
	readyz := "http://" + address("admin") + "/readyz"
	eventually(g.t, "gateway that is ready", func() bool { return isReady(readyz) })
	g.running = append(g.running, p)
	g.out, g.in = append(g.out, backend{address("outbound"), readyz}), append(g.in, backend{address("notify"), readyz})
	g.outbound.use(g.out...)
	g.notify.use(g.in...)
}

// retire ends the oldest; that it leaves, the balancers learn from readyz.
func (g *gateways) retire() {
	g.t.Helper()
	old := g.running[0]
	old.terminate(g.t)
	if code(old) != 0 {
		g.t.Errorf("the old gateway exited with %d", code(old))
	}
	g.running, g.out, g.in = g.running[1:], g.out[1:], g.in[1:]
	g.outbound.use(g.out...)
	g.notify.use(g.in...)
}

// What the chart promises for the gateway's config, wxproxy itself checks.
func TestGatewayConfigsOfTheChart(t *testing.T) {
	for _, name := range []string{"gateway-values.yaml", "gateway-tls-values.yaml", "gateway-vault-values.yaml"} {
		for _, object := range documents(t, mustHelm(t, "template", "gw", chart, "-n", "pay", "--kube-version", "1.34.4", "-f", filepath.Join(chart, "ci", name))) {
			text := textAt(object, "data", "wxproxy.yaml")
			if text == "" {
				continue
			}
			for _, dir := range []string{"/etc/wxproxy/", "/var/run/secrets/wxproxy/"} { // what is mounted is not here
				text = strings.ReplaceAll(text, "file:"+dir, "file:"+mounted(t))
				text = strings.ReplaceAll(text, " "+dir, " "+mounted(t))
			}
			cmd := command(t, "check", "-c", "env:CONFIG", "--offline", "--format", "json")
			cmd.Env = append(cmd.Env, "CONFIG="+text)
			out, _ := cmd.Output()
			if strings.Contains(string(out), "config cannot be used") || cmd.ProcessState.ExitCode() == 2 {
				t.Errorf("%s: %s", name, fmt.Sprintf("%s\n%s", text, out))
			}
		}
	}
}

// mounted is a directory with a file for each name that the values mention.
func mounted(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, secret := range []string{"shop-keys", "shop-token", "."} {
		for _, name := range []string{"apiclient_cert.pem", "apiclient_key.pem", "apiv3_key", "token", "webhook"} {
			path := filepath.Join(dir, secret)
			mkdir(t, path)
			write(t, path, name, "x")
		}
	}
	return dir + "/"
}
