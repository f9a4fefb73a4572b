//go:build e2e

package e2e

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// client is a program of another maker that signs with a key of its own and
// verifies the answers with WeChat Pay's.
type client struct {
	name    string
	refusal string // what it says of an answer that was tampered with
	step    func(t *testing.T, step string, s settings) (answer []byte, err error)
}

// settings is what a client has to know; node/settings.mjs reads them too.
type settings struct {
	Base        string `json:"base"`
	MchID       string `json:"mchid"`
	Serial      string `json:"serial"`
	PrivateKey  string `json:"privateKey"`
	Certificate string `json:"certificate"`
	PlatformID  string `json:"platformID"`
	PlatformKey string `json:"platformKey"`
	NotifyURL   string `json:"notifyURL"`
	Order       string `json:"order"`
	Token       string `json:"token"`    // of a caller; empty: none are configured
	APIv2Key    string `json:"apiv2Key"` // likewise

	throwAway credentials
}

// node runs a script of node/.
func node(script string) func(*testing.T, string, settings) ([]byte, error) {
	return func(t *testing.T, step string, s settings) ([]byte, error) {
		t.Helper()
		given, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), "node", script, step)
		cmd.Dir = "node"
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "SETTINGS=" + string(given)}
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			err = &clientError{err, stderr.String()}
		}
		return out, err
	}
}

type clientError struct {
	cause  error
	stderr string
}

func (e *clientError) Error() string { return e.cause.Error() + ": " + e.stderr }
func (e *clientError) Unwrap() error { return e.cause }

var clients = []client{
	{"axios-plugin", "EV3_RES_HEADER_SIGNATURE_DIGEST", node("axios-plugin.mjs")},
	{"node-v3", "verifySign: the signature does not hold", node("node-v3.mjs")},
	{"go-sdk", "validate verify fail", goSDK},
}

// Clients with a throw-away key in front of the proxy: their Authorization is
// replaced, and their own verification of the untouched answer passes. One
// byte changed on the way back makes it fail.
func TestClients(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("node/node_modules/wechatpay-axios-plugin"); err != nil {
		t.Fatal("run .ci/e2e, or npm --prefix e2e/node ci: ", err)
	}
	s := newShop(t, nil)
	tap := newRelay(t, s.outbound)
	throwAway := newCredentials(t, mchID)
	given := settings{
		Base: tap.url, MchID: mchID, Serial: throwAway.serial(), PrivateKey: string(throwAway.keyPEM(t)), Certificate: string(throwAway.certPEM()),
		NotifyURL: s.notify + "/notify/shop", throwAway: throwAway,
	}
	// In both ways in which WeChat Pay signs, one after the other.
	for _, way := range []struct {
		name, mode string
		key        func() (id, text string)
	}{
		{"certificate", `{"mode":"off","percent":0}`, s.wechat.certificate},
		{"public key", `{"mode":"on","percent":100}`, func() (string, string) { return s.wechat.publicKeyID(), string(s.wechat.read("pub_key.pem")) }},
	} {
		s.wechat.command("public-key", way.mode)
		given.PlatformID, given.PlatformKey = way.key()
		for _, c := range clients {
			given.Order = strings.ToUpper(strings.ReplaceAll(c.name+"-"+way.name, " ", "-"))
			t.Run(c.name+" with the "+way.name, func(t *testing.T) { c.walk(t, s, tap, given) })
		}
	}
	for _, x := range s.wire.all() {
		if strings.Contains(x.header.Get("Authorization"), throwAway.serial()) {
			t.Error("the throw-away key's Authorization reached WeChat Pay")
		}
	}
}

// Node's own fetch, as a plain app uses it.
func TestNodeFetch(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	script := `const r = await fetch(process.argv[1]); console.log(r.status, r.headers.get("wxproxy-verified"), r.headers.get("wxproxy-error"), await r.text())`
	cmd := exec.CommandContext(t.Context(), "node", "--input-type=module", "-e", script, s.outbound+"/v3/certificates")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.HasPrefix(out, []byte("200 true ")) {
		t.Errorf("%v\n%s", err, out)
	}
}

// walk prepays, queries and refunds, each once with an answer as it came and
// once with one that was changed on its way to the client.
func (c client) walk(t *testing.T, s *shop, tap *relay, given settings) {
	t.Helper()
	for _, step := range []string{"prepay", "query", "refund"} {
		answer, err := c.step(t, step, given)
		if err != nil {
			t.Fatalf("%s: %v", step, err)
		}
		want := map[string]string{"prepay": "weixin://", "query": given.Order, "refund": "R-" + given.Order}[step]
		if !bytes.Contains(answer, []byte(want)) {
			t.Errorf("%s: got %s, want %s in it", step, answer, want)
		}
		if step == "prepay" {
			s.wechat.pay(given.Order)
			s.app.take(204)
			continue // a paid order is not ordered again
		}
		c.refuses(t, step, tap, given)
	}
	given.Order += "-2"
	c.refuses(t, "prepay", tap, given)
}

func (c client) refuses(t *testing.T, step string, tap *relay, given settings) {
	t.Helper()
	tap.spoil(flip)
	defer tap.spoil(nil)
	before := len(tap.all())
	answer, err := c.step(t, step, given)
	if err == nil || !strings.Contains(err.Error(), c.refusal) {
		t.Errorf("%s with one byte changed: got %s, %v; want %s", step, answer, err, c.refusal)
	}
	if !slices.ContainsFunc(tap.all()[before:], func(x exchange) bool {
		return x.status == 200 && x.answerHeader.Get("Wxproxy-Verified") == "true"
	}) {
		t.Errorf("%s: nothing was tampered with", step)
	}
}

// certificate is the platform certificate with its serial number.
func (w *wechat) certificate() (serial, text string) {
	w.t.Helper()
	files, err := filepath.Glob(w.file("sim_platform_*.pem"))
	if err != nil {
		w.t.Fatal(err)
	}
	for _, path := range files {
		content, err := os.ReadFile(path)
		if err != nil {
			w.t.Fatal(err)
		}
		block, _ := pem.Decode(content)
		if block == nil || block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil || time.Now().After(cert.NotAfter) {
			w.t.Fatalf("%s: %v", path, err)
		}
		return credentials{cert: cert}.serial(), string(pem.EncodeToMemory(block))
	}
	w.t.Fatal("the simulator wrote no platform certificate")
	return "", ""
}
