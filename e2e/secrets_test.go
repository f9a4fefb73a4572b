//go:build e2e

package e2e

import (
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

const (
	plantedName   = "Ouyang Xiu-Planted, 欧阳修"
	plantedNumber = "6222029876543210123"
	callerToken   = "caller-token-7f3a9c51e0"
	webhookSecret = "whsec_c2lnbmluZyBrZXkgb2YgMzIgYnl0ZXMsIGZvciB0ZXN0cw=="
)

// leaks is a run of everything that wxproxy does, and what came out of it.
type leaks struct {
	*shop
	*rotation
	volume    *secretVolume
	callbacks *relay   // between WeChat Pay and the notify port
	told      haystack // what the app may know: answers and deliveries
	rest      haystack // what nobody has to learn anything from
	plain     []needle // what notifies said
}

func newLeaks(t *testing.T) *leaks {
	t.Helper()
	l := &leaks{rotation: newRotation(t), volume: newSecretVolume(t), told: haystack{}, rest: haystack{}}
	l.volume.update(l.files(t, l.old))
	a := newApp(t)
	c := l.setup(l.volume.path, a)
	c.outbound = "  callers: [{name: web, token: env:CALLER}]"
	c.routes = strings.Replace(c.routes, "to:", "webhook_secret: env:WEBHOOK, to:", 1)
	c.env = []string{"CALLER=" + callerToken, "WEBHOOK=" + webhookSecret}
	l.shop = &shop{sidecar: startReady(t, c), wechat: l.oldSim, wire: l.rotation.wire, app: a}
	l.callbacks = newRelay(t, l.notify)
	return l
}

// call is one request of the app; the answer is kept.
func (l *leaks) call(t *testing.T, what string, args ...string) answer {
	t.Helper()
	got := curl(t, nil, args...)
	l.told["answer to the app: "+what] = got.raw
	return got
}

func (l *leaks) prepay(t *testing.T, no, mchID string) []string {
	t.Helper()
	return post(l.outbound+"/v3/pay/transactions/native", prepayBody(t, mchID, no, l.callbacks.url+"/notify/shop"),
		"-H", "Wxproxy-Token: "+callerToken)
}

// paid walks a whole payment and keeps what the app was told.
func (l *leaks) paid(t *testing.T, w *wechat, no string) {
	t.Helper()
	l.call(t, "prepay "+no, l.prepay(t, no, mchID)...).verified(t, http.StatusOK)
	w.pay(no)
	d := l.app.take(http.StatusNoContent)
	l.told["delivery of "+no] = fmt.Sprint(d.header, string(d.body))
	r := d.resource(t)
	payer, _ := r["payer"].(map[string]any)
	for name, value := range map[string]any{"transaction_id": r["transaction_id"], "attach": r["attach"], "openid": payer["openid"]} {
		text, _ := value.(string)
		if text == "" {
			t.Fatalf("the notify has no %s: %s", name, d.body)
		}
		l.plain = append(l.plain, spellings("a notify's "+name, []byte(text))...)
	}
}

// errors makes wxproxy say something about all that can be wrong.
func (l *leaks) errors(t *testing.T) {
	t.Helper()
	token := []string{"-H", "Wxproxy-Token: " + callerToken}
	query := append([]string{l.outbound + "/v3/pay/transactions/out-trade-no/SECRET001?mchid=" + mchID}, token...)
	l.call(t, "query", query...).verified(t, http.StatusOK)
	kinds := []string{"flip_body", "probe", "skew", "wrong_serial", "unsigned", "reset"}
	for _, kind := range kinds {
		l.oldSim.fault(spoil(kind, "GET /v3/pay"))
		l.call(t, kind, query...)
		l.oldSim.command("faults", spoil(kind, "POST /v3/refund"))
		l.call(t, "refund "+kind, append(post(l.outbound+"/v3/refund/domestic/refunds",
			`{"out_trade_no":"SECRET001","out_refund_no":"R-`+kind+`","amount":{"refund":1,"total":100,"currency":"CNY"}}`), token...)...)
	}
	for _, kind := range kinds { // refunds were made all the same
		d := l.app.take(http.StatusNoContent)
		l.told["delivery of a refund, "+kind] = fmt.Sprint(d.header, string(d.body))
	}
	l.call(t, "no token", query[0]).refused(t, http.StatusForbidden, "forbidden")
	l.call(t, "wrong token", query[0], "-H", "Wxproxy-Token: nearly-"+callerToken).refused(t, http.StatusForbidden, "forbidden")
	l.call(t, "another's mchid", l.prepay(t, "SECRET003", "1900000009")...).refused(t, http.StatusBadRequest, "merchant_mismatch")
	for _, fault := range []string{"probe", "stale", "flip", "wrong_serial", "unsigned", "bad_cipher"} {
		code, _ := output(t, nil, "trigger", "TRANSACTION.SUCCESS", "--to", l.callbacks.url+"/notify/shop", "--dir", l.oldSim.dir, "--fault", fault)
		if code != 1 {
			t.Errorf("a notify with %s was acknowledged", fault)
		}
	}
}

// sensitive sends and reads sensitive fields, good ones and bad ones.
func (l *leaks) sensitive(t *testing.T) {
	t.Helper()
	token := []string{"-H", "Wxproxy-Token: " + callerToken}
	const target = "/v3/transfer/batches"
	body := func(no, name string) string {
		return `{"appid":"wx1","out_batch_no":"` + no + `","batch_name":"b","batch_remark":"r","total_amount":1,"total_num":1,"transfer_detail_list":[` +
			`{"out_detail_no":"D1","transfer_amount":1,"transfer_remark":"r","openid":"o","user_name":` + name + `}]}`
	}
	l.call(t, "batch", append(post(l.outbound+target, body("SECRETB1", `"`+plantedName+`"`)), token...)...).verified(t, http.StatusOK)
	detail := append([]string{l.outbound + target + "/out-batch-no/SECRETB1/details/out-detail-no/D1"}, token...)
	if got := l.call(t, "batch detail", detail...).verified(t, http.StatusOK).field(t, "user_name"); got != plantedName {
		t.Errorf("the name came back as %q", got)
	}
	l.oldSim.fault(`{"kind":"bad_field"}`)
	l.call(t, "batch detail that does not open", detail...).verified(t, http.StatusOK)
	for what, name := range map[string]string{
		"too long": `"` + strings.Repeat(plantedName, 8) + `"`, "an object": `{"x":"` + plantedName + `"}`, "not JSON": `"` + plantedName,
	} {
		l.call(t, "batch with a name that is "+what, append(post(l.outbound+target, body("SECRETB2", name)), token...)...).refused(t, http.StatusBadRequest, "bad_sensitive_field")
	}
	l.call(t, "card number", append([]string{l.outbound + "/v3/capital/capitallhh/banks/search-banks-by-bank-account?account_number=" + plantedNumber}, token...)...).verified(t, http.StatusOK)
}

// rotate changes the merchant's key: two that are broken, then a good one.
func (l *leaks) rotate(t *testing.T) {
	t.Helper()
	for _, bad := range [][]byte{l.next.keyPEM(t), l.old.keyPEM(t)[:800]} {
		mark := l.out.mark()
		files := l.files(t, l.old)
		files["apiclient_key.pem"] = bad
		l.volume.update(files)
		l.out.await(t, mark, "reload failed")
		l.look(t, " with a broken key")
	}
	mark := l.out.mark()
	l.volume.update(l.files(t, l.next))
	l.out.await(t, mark, "keys and files reloaded")
	l.signal(syscall.SIGHUP)
}

// look keeps what operators see.
func (l *leaks) look(t *testing.T, when string) {
	t.Helper()
	for _, path := range []string{"/readyz", "/metrics", "/healthz"} {
		_, l.rest["admin "+path+when] = get(t, http.DefaultClient, l.admin+path)
	}
	_, l.rest["control status"+when] = l.control(http.MethodGet, "/v1/status")
	_, l.rest["control reload"+when] = l.control(http.MethodPost, "/v1/reload")
	for _, format := range []string{"text", "json"} {
		_, l.rest["check "+format+when] = output(t, []string{"CALLER=" + callerToken, "WEBHOOK=" + webhookSecret},
			"check", "-c", filepath.Join(l.dir, "wxproxy.yaml"), "-online", "-format", format)
	}
}

// collect keeps the logs, the files, and what went to WeChat Pay. It returns
// the signatures, which stand in Authorization and nowhere else.
func (l *leaks) collect(t *testing.T) (signatures []needle) {
	t.Helper()
	l.rest["log"] = l.out.String()
	err := filepath.WalkDir(l.dir+"/state", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		l.rest["state "+d.Name()] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, x := range l.callbacks.all() {
		l.rest[fmt.Sprintf("answer %d to WeChat Pay", i)] = fmt.Sprint(x.status, x.answerHeader, string(x.answer))
	}
	value := regexp.MustCompile(`signature="([^"]+)"`)
	for i, x := range l.shop.wire.all() {
		if found := value.FindStringSubmatch(x.header.Get("Authorization")); found != nil {
			signatures = append(signatures, needle{"an Authorization", found[1]})
		}
		x.header.Del("Authorization")
		l.told[fmt.Sprintf("request %d to WeChat Pay", i)] = fmt.Sprint(x.method, x.target, x.header, string(x.body))
	}
	return signatures
}

// The whole flow, and then a search through all that came out of it. That the
// search works, TestSearchFindsWhatIsPlanted shows.
func TestNoSecretLeaves(t *testing.T) {
	t.Parallel()
	l := newLeaks(t)
	l.paid(t, l.oldSim, "SECRET001")
	l.oldSim.rotate("announce")
	l.oldSim.rotate("switch")
	l.errors(t)
	l.sensitive(t)
	l.rotate(t)
	l.paid(t, l.nextSim, "SECRET002")
	l.look(t, "")
	l.stop()
	signatures := l.collect(t)

	secrets := append(keyNeedles(t, l.old.keyPEM(t)), keyNeedles(t, l.next.keyPEM(t))...)
	secrets = append(secrets, spellings("the APIv3 key", l.oldSim.read("apiv3_key"))...)
	secrets = append(secrets, spellings("the caller's token", []byte(callerToken))...)
	secrets = append(secrets, spellings("the webhook secret", []byte(webhookSecret[len("whsec_"):]))...)
	secrets = append(secrets, spellings("the webhook key", []byte("signing key of 32 bytes, for tests"))...)
	secrets = append(secrets, signatures...)
	for _, n := range append(secrets, l.plain...) {
		if len(n.text) < 12 {
			t.Errorf("%s is too short to look for: %q", n.name, n.text)
		}
	}
	for _, found := range append(l.told.search(secrets), l.rest.search(secrets)...) {
		t.Errorf("found %s", found)
	}
	// What a notify says is the app's alone.
	for _, found := range l.rest.search(l.plain) {
		t.Errorf("found %s", found)
	}
	// What the app wrote in plain goes nowhere but back to it.
	names := append(spellings("a planted name", []byte(plantedName)), spellings("a planted number", []byte(plantedNumber))...)
	found := l.rest.search(names)
	for where, text := range l.told {
		if strings.HasPrefix(where, "request ") || strings.Contains(where, "that is") || strings.Contains(where, "does not open") {
			found = append(found, haystack{where: text}.search(names)...)
		}
	}
	for _, f := range found {
		t.Errorf("found %s", f)
	}
	if len(l.told.search(names)) == 0 {
		t.Error("the app did not get its name back, so the search tells nothing")
	}
	for where, text := range map[string]string{
		"log": `"out_trade_no":"SECRET002"`, "admin /metrics": "wxproxy_outbound_requests_total", "control status": "PUB_KEY_ID_",
		"admin /readyz with a broken key": `"warning"`, "check json": mchID, "state shop.certificates": "ciphertext",
	} {
		if !strings.Contains(l.rest[where], text) {
			t.Errorf("%s has no %s, so the search of it tells nothing:\n%s", where, text, l.rest[where])
		}
	}
	if len(signatures) < 10 || len(l.callbacks.all()) < 8 || len(l.told) < 20 {
		t.Errorf("%d signatures, %d callbacks, %d texts: that was not the whole flow", len(signatures), len(l.callbacks.all()), len(l.told))
	}
}
