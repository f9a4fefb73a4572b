//go:build e2e

package e2e

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// wechat is a running simulator with the directory of its merchant.
type wechat struct {
	*process
	url string
	dir string
}

// startWeChat runs wxproxy sim. Credentials that lie in dir are used.
func startWeChat(t *testing.T, dir string, flags ...string) *wechat {
	t.Helper()
	p := start(t, nil, append([]string{"sim", "--listen", "127.0.0.1:0", "--dir", dir}, flags...)...)
	return &wechat{process: p, url: p.out.await(t, 0, `simulated WeChat Pay on (http://\S+)\n(?s:.*) help: .*\n`)[1], dir: dir}
}

// command orders something through the control API.
func (w *wechat) command(path, body string) {
	w.t.Helper()
	r, err := http.Post(w.url+"/_sim/"+path, "application/json", strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	var answer bytes.Buffer
	_, err = answer.ReadFrom(r.Body)
	_ = r.Body.Close()
	if err != nil || r.StatusCode != http.StatusOK {
		w.t.Fatalf("/_sim/%s %s: %d %s %v", path, body, r.StatusCode, &answer, err)
	}
}

func (w *wechat) pay(outTradeNo string) {
	w.t.Helper()
	w.command("pay", `{"out_trade_no":"`+outTradeNo+`"}`)
}
func (w *wechat) fault(order string)      { w.t.Helper(); w.command("faults", order) }
func (w *wechat) rotate(step string)      { w.t.Helper(); w.command("rotate", `{"step":"`+step+`"}`) }
func (w *wechat) file(name string) string { return filepath.Join(w.dir, name) }

// read returns a credential.
func (w *wechat) read(name string) []byte {
	w.t.Helper()
	content, err := os.ReadFile(w.file(name))
	if err != nil {
		w.t.Fatal(err)
	}
	return content
}

// publicKeyID is the ID of the WeChat Pay public key.
func (w *wechat) publicKeyID() string {
	w.t.Helper()
	return idIn(w.t, w.read("wxproxy.yaml"))
}

func idIn(t *testing.T, config []byte) string {
	t.Helper()
	_, rest, found := bytes.Cut(config, []byte("PUB_KEY_ID_"))
	id, _, ends := bytes.Cut(rest, []byte("\n"))
	if !found || !ends {
		t.Fatalf("no PUB_KEY_ID_ in %s", config)
	}
	return "PUB_KEY_ID_" + string(id)
}

// merchant is the config of this account under an alias.
func (w *wechat) merchant(alias string) string {
	w.t.Helper()
	return strings.NewReplacer("ALIAS", alias, "DIR", w.dir, "ID", w.publicKeyID()).Replace(`
  - name: ALIAS
    certificate: file:DIR/apiclient_cert.pem
    private_key: file:DIR/apiclient_key.pem
    apiv3_key: file:DIR/apiv3_key
    platform: {public_key: "file:DIR/pub_key.pem", public_key_id: ID}`)
}

// credentials are a merchant's key and certificate.
type credentials struct {
	key  *rsa.PrivateKey
	cert *x509.Certificate
}

func newCredentials(t *testing.T, mchID string) credentials {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	number := make([]byte, 20)
	_, _ = rand.Read(number) // never fails
	number[0] = 0x4f
	template := &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(number), Subject: pkix.Name{CommonName: mchID},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return credentials{key, cert}
}

func (c credentials) serial() string { return strings.ToUpper(c.cert.SerialNumber.Text(16)) }

func (c credentials) certPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.cert.Raw})
}

func (c credentials) keyPEM(t *testing.T) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(c.key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// write puts the pair where the simulator and the config look for it.
func (c credentials) write(t *testing.T, dir string) {
	t.Helper()
	writeFile(t, filepath.Join(dir, "apiclient_cert.pem"), c.certPEM())
	writeFile(t, filepath.Join(dir, "apiclient_key.pem"), c.keyPEM(t))
}

func writeFile(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// prepayBody orders a native payment.
func prepayBody(t *testing.T, mchID, outTradeNo, notifyURL string) string {
	t.Helper()
	body, err := json.Marshal(map[string]any{
		"appid": "wxd678efh567hg6787", "mchid": mchID, "description": "a book", "out_trade_no": outTradeNo,
		"notify_url": notifyURL, "attach": "attach of " + outTradeNo, "amount": map[string]any{"total": 100, "currency": "CNY"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
