package vault_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Everything that may come from Vault does, and serves what it is for. Of what
// was read nothing is on the disk afterwards, nor in the log.
func TestEverythingFromVault(t *testing.T) {
	t.Parallel()
	v, w, dir := setUp(t, "1h")
	secrets := map[string]string{
		"private_key": read(t, w.dir, "apiclient_key.pem"), "private_key_previous": v.freshKey(),
		"apiv3_key": strings.Repeat("new-key.", 4), "apiv3_key_previous": strings.TrimSpace(read(t, w.dir, "apiv3_key")),
		"apiv2_key": "an-apiv2-key-of-32-characters-xx", "app": "a-token-of-the-app-that-is-long-enough", "control": "a-token-of-the-operator-that-is-long-enough",
	}
	fields := maps.Clone(secrets)
	fields["certificate"], fields["public_key"] = read(t, w.dir, "apiclient_cert.pem"), read(t, w.dir, "pub_key.pem")
	v.put("wechatpay/all", fields)
	taken := make(chan string, 1)
	app := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		select {
		case taken <- string(body):
		default:
		}
	}))
	t.Cleanup(app.Close)
	s := serve(t, dir, strings.NewReplacer("ID", w.publicKeyID, "UPSTREAM", w.url, "VAULT", v.address, "APP", app.URL).Replace(`merchants:
  - name: shop
    certificate: vault:secret/wechatpay/all#certificate
    private_key: vault:secret/wechatpay/all#private_key
    private_key_previous: vault:secret/wechatpay/all#private_key_previous
    apiv3_key: vault:secret/wechatpay/all#apiv3_key
    apiv3_key_previous: vault:secret/wechatpay/all#apiv3_key_previous
    apiv2_key: vault:secret/wechatpay/all#apiv2_key
    platform: {public_key: "vault:secret/wechatpay/all#public_key", public_key_id: ID, certificates: auto}
outbound:
  listen: 127.0.0.1:0
  upstreams: ["UPSTREAM"]
  callers: [{name: app, token: "vault:secret/wechatpay/all#app", endpoints: [sign]}]
notify: {listen: "127.0.0.1:0", routes: [{path: /notify, to: "APP"}]}
admin: {listen: "127.0.0.1:0", control: "127.0.0.1:0", control_token: "vault:secret/wechatpay/all#control"}
state_dir: state
vault: {address: "VAULT", auth: {method: approle, role_id: "file:role_id", secret_id: "file:secret_id"}, refresh: 1s}
`))
	call := func(method, path, body, token string) (int, []byte) {
		t.Helper()
		r, err := http.NewRequest(method, s.url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			r.Header.Set("Wxproxy-Token", token)
		}
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode, text
	}
	if status, _ := call(http.MethodGet, "/v3/certificates", "", ""); status == http.StatusOK {
		t.Error("a call without the token succeeded")
	}
	if status, text := call(http.MethodGet, "/v3/certificates", "", secrets["app"]); status != http.StatusOK {
		t.Errorf("a call with the token: %d %s", status, text)
	}

	status, text := call(http.MethodPost, "/_wxproxy/v1/sign/wxpayScoreUse", `{"package":"x"}`, secrets["app"])
	if status != http.StatusOK || !scoreSigned(t, text, secrets["apiv2_key"]) {
		t.Errorf("not signed with the APIv2 key: %d %s", status, text)
	}

	// The simulator encrypts with the APIv3 key of before, and signs with the
	// platform's key.
	door := "http://" + s.await(`for=notify address=(\S+)`)[1]
	trigger := start(t, w.dir, nil, binary, "trigger", "TRANSACTION.SUCCESS", "--to", door+"/notify", "--dir", w.dir)
	if <-trigger.exited; trigger.cmd.ProcessState.ExitCode() != 0 {
		t.Fatalf("trigger: %s", trigger.text())
	}
	if body := <-taken; !strings.Contains(body, `"trade_state"`) {
		t.Errorf("the app got %s", body)
	}

	eventually(t, "platform certificate on the disk", func() bool { return len(files(t, filepath.Join(dir, "state"))) > 0 })
	polls := s.reads()
	eventually(t, "further polls", func() bool { return s.reads() > polls+1 })
	_ = s.cmd.Process.Signal(os.Interrupt)
	<-s.exited
	on := files(t, dir)
	delete(on, "role_id")
	delete(on, "secret_id") // the two that the config names
	t.Logf("searched the log, and on the disk %v", slices.Sorted(maps.Keys(on)))
	on["the log"] = s.text()
	planted := "planted"
	for name, text := range secrets {
		on[planted] += name + " " + text
	}
	for place, text := range on {
		var missed []string
		for name, secret := range secrets {
			if leaks(text, secret) {
				missed = append(missed, name)
			}
		}
		switch {
		case place == planted && len(missed) != len(secrets):
			t.Errorf("the search finds only %v of what was planted", missed)
		case place != planted && len(missed) > 0:
			t.Errorf("%s has %v", place, missed)
		case place != planted && strings.Contains(text, "hvs."):
			t.Errorf("%s has a token of Vault", place)
		}
	}
}

// freshKey is a private key that nobody has.
func (v *vault) freshKey() string {
	v.t.Helper()
	v.post("transit/keys/fresh", `{"type":"rsa-2048","exportable":true}`)
	_, data := v.call(http.MethodGet, "transit/export/signing-key/fresh/1", "")
	return data["keys"].(map[string]any)["1"].(string)
}

// scoreSigned checks an APIv2 signature: HMAC-SHA256 over the sorted members.
func scoreSigned(t *testing.T, answer []byte, key string) bool {
	t.Helper()
	members := make(map[string]string)
	if err := json.Unmarshal(answer, &members); err != nil {
		t.Fatalf("%v: %s", err, answer)
	}
	sign := members["sign"]
	delete(members, "sign")
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(members)) {
		fmt.Fprintf(&text, "%s=%s&", name, members[name])
	}
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(text.String() + "key=" + key))
	return len(members) > 3 && strings.EqualFold(sign, hex.EncodeToString(mac.Sum(nil)))
}

// files reads all below a directory.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		all[name] = string(text)
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return all
}

// leaks reports whether a text has a secret, or a line of one that has many.
func leaks(text, secret string) bool {
	for line := range strings.SplitSeq(strings.TrimSpace(secret), "\n") {
		if len(line) > 16 && !strings.HasPrefix(line, "-----") && strings.Contains(text, line) {
			return true
		}
	}
	return false
}
