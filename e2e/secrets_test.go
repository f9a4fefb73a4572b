//go:build e2e

package e2e

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"io/fs"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// needle is one spelling of a secret.
type needle struct{ name, text string }

// spellings are the ways in which bytes may stand in an output.
func spellings(name string, secret []byte) []needle {
	return []needle{
		{name + " as it is", string(secret)},
		{name + " in base64", base64.StdEncoding.EncodeToString(secret)},
		{name + " in URL base64", base64.RawURLEncoding.EncodeToString(secret)},
		{name + " in hex", hex.EncodeToString(secret)},
		{name + " in upper hex", strings.ToUpper(hex.EncodeToString(secret))},
		{name + " as Go prints bytes", goBytes(secret)},
	}
}

// goBytes is what %v makes of bytes.
func goBytes(b []byte) string {
	var s []string
	for _, c := range b {
		s = append(s, big.NewInt(int64(c)).String())
	}
	return strings.Join(s, " ")
}

// keyNeedles spells a private key: the PEM's lines, the DER and its numbers.
func keyNeedles(t *testing.T, text []byte) []needle {
	t.Helper()
	block, _ := pem.Decode(text)
	if block == nil {
		t.Fatal("no key")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	key, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		t.Fatalf("the key is a %T", parsed)
	}
	var list []needle
	for i, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		if !strings.HasPrefix(line, "-----") && i > 1 && len(line) > 20 { // the first line is alike in every key
			list = append(list, needle{"a line of the private key's PEM", line})
		}
	}
	// A piece from the middle: encodings of the whole begin elsewhere.
	list = append(list, spellings("the private key's DER", block.Bytes[300:348])...)
	for name, n := range map[string]*big.Int{"d": key.D, "p": key.Primes[0], "q": key.Primes[1]} {
		list = append(list, spellings(name, n.Bytes())...)
		list = append(list, needle{name + " in decimal", n.String()})
	}
	return list
}

// haystack is everything that leaves wxproxy, by where it was found.
type haystack map[string]string

func (h haystack) search(needles []needle) (found []string) {
	for where, text := range h {
		for _, n := range needles {
			if strings.Contains(text, n.text) {
				found = append(found, n.name+" in "+where)
			}
		}
	}
	return found
}

// The whole flow, and then a search through all that came out of it.
func TestNoSecretLeaves(t *testing.T) {
	t.Parallel()
	const token, webhook = "caller-token-7f3a9c51e0", "whsec_c2lnbmluZyBrZXkgb2YgMzIgYnl0ZXMsIGZvciB0ZXN0cw=="
	a := newApp(t)
	w := startWeChat(t, shortDir(t))
	wire := newRelay(t, w.url)
	c := startReady(t, setup{
		merchants: w.merchant("shop"), upstream: wire.url,
		outbound: "  callers: [{name: web, token: env:CALLER}]",
		routes:   strings.Replace(route("/notify/shop", "shop", a.url), "to:", "webhook_secret: env:WEBHOOK, to:", 1),
		env:      []string{"CALLER=" + token, "WEBHOOK=" + webhook},
	})
	out := haystack{}
	keep := func(where string, got answer) answer { out["the app's answer: "+where] = got.raw; return got }
	auth := []string{"-H", "Wxproxy-Token: " + token}

	keep("prepay", curl(t, nil, append(post(c.outbound+"/v3/pay/transactions/native", prepayBody(t, mchID, "SECRET001", c.notify+"/notify/shop")), auth...)...)).verified(t, http.StatusOK)
	w.pay("SECRET001")
	plain := a.take(http.StatusNoContent).resource(t)["transaction_id"].(string)
	w.rotate("announce")
	w.rotate("switch")
	query := append([]string{c.outbound + "/v3/pay/transactions/out-trade-no/SECRET001?mchid=" + mchID}, auth...)
	keep("query", curl(t, nil, query...)).verified(t, http.StatusOK)
	w.fault(`{"kind":"flip_body","match":"GET /v3/pay"}`)
	keep("tampered", curl(t, nil, query...)).refused(t, http.StatusBadGateway, "response_signature_invalid")
	keep("no token", curl(t, nil, query[0])).refused(t, http.StatusForbidden, "forbidden")
	keep("wrong token", curl(t, nil, query[0], "-H", "Wxproxy-Token: nearly"+token))
	keep("bad mchid", curl(t, nil, append(post(c.outbound+"/v3/pay/transactions/native", prepayBody(t, "1900000009", "SECRET002", c.notify)), auth...)...))
	for name, args := range map[string][]string{
		"forged": post(c.notify+"/notify/shop", `{"id":"x"}`, "-H", "Wechatpay-Signature: AAAA"),
		"get":    {c.notify + "/notify/shop"},
	} {
		out["WeChat Pay's answer: "+name] = curl(t, nil, args...).raw
	}
	// A key that does not fit, then one that is half written, then all is well.
	right := w.read("apiclient_key.pem")
	for _, bad := range [][]byte{newCredentials(t, mchID).keyPEM(t), right[:len(right)/2]} {
		mark := c.out.mark()
		writeFile(t, w.file("apiclient_key.pem"), bad)
		c.signal(syscall.SIGHUP)
		c.out.await(t, mark, "reload failed")
	}
	writeFile(t, w.file("apiclient_key.pem"), right)
	for _, path := range []string{"/readyz", "/metrics", "/healthz"} {
		_, out["admin "+path] = get(t, http.DefaultClient, c.admin+path)
	}
	_, out["control status"] = c.control(http.MethodGet, "/v1/status")
	_, out["control reload"] = c.control(http.MethodPost, "/v1/reload")
	_, out["check"] = output(t, []string{"CALLER=" + token, "WEBHOOK=" + webhook}, "check", "-c", filepath.Join(c.dir, "wxproxy.yaml"), "-online", "-format", "json")
	c.stop()
	out["log"] = c.out.String()
	stateFiles(t, c.dir+"/state", out)

	apiv3 := w.read("apiv3_key")
	needles := append(keyNeedles(t, right), spellings("the APIv3 key", apiv3)...)
	needles = append(needles, spellings("the caller's token", []byte(token))...)
	needles = append(needles, spellings("the webhook secret", []byte(webhook))...)
	for _, x := range wire.all() {
		if x.target == "/" {
			continue // check looks whether somebody is there
		}
		signature := regexp.MustCompile(`signature="([^"]+)"`).FindStringSubmatch(x.header.Get("Authorization"))
		if signature == nil {
			t.Fatalf("%s %s went out unsigned", x.method, x.target)
		}
		needles = append(needles, needle{"an Authorization", signature[1]})
	}
	// The search finds what is there: each needle, planted.
	for _, n := range needles {
		if len(n.text) < 16 || len((haystack{"plant": "before " + n.text + " after"}).search([]needle{n})) != 1 {
			t.Fatalf("the search does not find %s", n.name)
		}
	}
	for _, found := range out.search(needles) {
		t.Errorf("found %s", found)
	}
	// What a notify says is the app's: the log and the metrics have none of it.
	quiet := haystack{}
	for where, text := range out {
		if !strings.HasPrefix(where, "the app's answer: ") {
			quiet[where] = text
		}
	}
	for _, found := range quiet.search([]needle{{"a notify's plaintext", plain}, {"a notify's attach", "attach of SECRET001"}, {"a payer", "oSimulatedPayer"}}) {
		t.Errorf("found %s", found)
	}
	if len(out) < 15 || !strings.Contains(out["log"], "SECRET001") || plain == "" {
		t.Errorf("the haystack is not what it should be: %d outputs", len(out))
	}
}

func stateFiles(t *testing.T, dir string, out haystack) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		out["state "+d.Name()] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
