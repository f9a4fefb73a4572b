package vault_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// sidecar is wxproxy serve.
type sidecar struct {
	*process
	url, admin string
}

// config is that of one merchant whose keys are in Vault.
func config(w *wechat, v *vault, privateKey, more string) string {
	return strings.NewReplacer("KEY", privateKey, "SIMDIR", w.dir, "ID", w.publicKeyID, "UPSTREAM", w.url, "VAULT", v.address, "MORE", more).Replace(`merchants:
  - name: shop
    certificate: vault:secret/wechatpay/shop#certificate
    private_key: KEY
    apiv3_key: vault:secret/wechatpay/shop#apiv3_key
    platform: {public_key: "file:SIMDIR/pub_key.pem", public_key_id: ID}
outbound: {listen: "127.0.0.1:0", upstreams: ["UPSTREAM"]}
admin: {listen: "127.0.0.1:0"}
vault: {address: "VAULT", auth: {method: approle, role_id: "file:role_id", secret_id: "file:secret_id"}, MORE}
`)
}

func serve(t *testing.T, dir, config string) *sidecar {
	t.Helper()
	write(t, dir, "wxproxy.yaml", config)
	p := start(t, dir, nil, binary, "serve", "-c", "wxproxy.yaml", "--log-level", "debug")
	return &sidecar{
		process: p,
		url:     "http://" + p.await(`for=outbound address=(\S+)`)[1],
		admin:   "http://" + p.await(`for=admin address=(\S+)`)[1],
	}
}

// client keeps enough connections for a load.
var client = &http.Client{Timeout: patience, Transport: &http.Transport{MaxIdleConnsPerHost: 64, DialContext: (&net.Dialer{}).DialContext}}

// call makes one signed, verified call, which the simulator judges.
func (s *sidecar) call() (status int, reason string, err error) { return s.callFor("shop") }

// callFor is call for one of several merchants.
func (s *sidecar) callFor(merchant string) (status int, reason string, err error) {
	r, err := http.NewRequest(http.MethodGet, s.url+"/v3/certificates", http.NoBody)
	if err != nil {
		return 0, "", err
	}
	r.Header.Set("Wxproxy-Merchant", merchant)
	answer, err := client.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close()
	_, err = io.Copy(io.Discard, bufio.NewReader(answer.Body))
	reason = answer.Header.Get("Wxproxy-Error")
	if answer.StatusCode == http.StatusOK && answer.Header.Get("Wxproxy-Verified") != "true" {
		reason = "not verified"
	}
	return answer.StatusCode, reason, err
}
