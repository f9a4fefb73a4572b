//go:build e2e

package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// secretVolume is a directory as Kubernetes mounts a Secret: files are links
// through ..data, and an update swaps that one link.
type secretVolume struct {
	t    *testing.T
	path string
	n    int
}

func newSecretVolume(t *testing.T) *secretVolume {
	t.Helper()
	return &secretVolume{t: t, path: shortDir(t)}
}

func (v *secretVolume) update(files map[string][]byte) {
	v.t.Helper()
	v.n++
	version := "..version" + strings.Repeat("i", v.n)
	for name, content := range files {
		writeFile(v.t, filepath.Join(v.path, version, name), content)
		link := filepath.Join(v.path, name)
		if _, err := os.Lstat(link); err == nil {
			continue
		}
		v.must(os.Symlink(filepath.Join("..data", name), link))
	}
	old, _ := os.Readlink(filepath.Join(v.path, "..data")) // none the first time
	v.must(os.Symlink(version, filepath.Join(v.path, "..data_tmp")))
	v.must(os.Rename(filepath.Join(v.path, "..data_tmp"), filepath.Join(v.path, "..data")))
	if old != "" {
		v.must(os.RemoveAll(filepath.Join(v.path, old)))
	}
}

func (v *secretVolume) must(err error) {
	v.t.Helper()
	if err != nil {
		v.t.Fatal(err)
	}
}

// rotation is a merchant whose certificate WeChat Pay knows in two versions:
// two simulators with the same keys of WeChat Pay, chosen by the serial number
// that signed.
type rotation struct {
	old, next credentials
	oldSim    *wechat
	nextSim   *wechat
	wire      *relay
}

func newRotation(t *testing.T) *rotation {
	t.Helper()
	r := &rotation{old: newCredentials(t, mchID), next: newCredentials(t, mchID)}
	a, b := shortDir(t), shortDir(t)
	r.old.write(t, a)
	writeFile(t, a+"/apiv3_key", []byte(strings.Repeat("k", 32)))
	r.oldSim = startWeChat(t, a)
	entries, err := os.ReadDir(a)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		writeFile(t, filepath.Join(b, e.Name()), r.oldSim.read(e.Name()))
	}
	r.next.write(t, b)
	r.nextSim = startWeChat(t, b)
	r.wire = newRelay(t, "")
	r.wire.route(func(in *http.Request) string {
		if strings.Contains(in.Header.Get("Authorization"), r.next.serial()) {
			return r.nextSim.url
		}
		return r.oldSim.url
	})
	return r
}

// files of a pair, as they lie in a Secret.
func (r *rotation) files(t *testing.T, c credentials) map[string][]byte {
	t.Helper()
	return map[string][]byte{
		"apiclient_key.pem": c.keyPEM(t), "apiclient_cert.pem": c.certPEM(),
		"apiv3_key": r.oldSim.read("apiv3_key"), "pub_key.pem": r.oldSim.read("pub_key.pem"),
	}
}

func (r *rotation) setup(dir string, a *app) setup {
	merchant := strings.ReplaceAll(r.oldSim.merchant("shop"), r.oldSim.dir, dir)
	return setup{merchants: merchant, upstream: r.wire.url, routes: route("/notify/shop", "shop", a.url)}
}

// The merchant's key is replaced as Kubernetes does it, while it is in use.
func TestKeyRotation(t *testing.T) {
	t.Parallel()
	r, volume := newRotation(t), newSecretVolume(t)
	volume.update(r.files(t, r.old))
	a := newApp(t)
	s := &shop{sidecar: startReady(t, r.setup(volume.path, a)), wechat: r.oldSim, app: a}
	signedBy := func(no, serial string) {
		t.Helper()
		s.order(t, no).verified(t, 200) // the simulator checked the signature
		if got := r.wire.last(t).header.Get("Authorization"); !strings.Contains(got, `serial_no="`+serial+`"`) {
			t.Errorf("signed with %s, want serial %s", got, serial)
		}
	}
	signedBy("ROTATE-01", r.old.serial())
	mark := s.out.mark()
	volume.update(r.files(t, r.next))
	s.out.await(t, mark, `"msg":"keys and files reloaded"`)
	signedBy("ROTATE-02", r.next.serial())

	// A notify from before: its fields are encrypted for the old certificate.
	done := make(chan int, 1)
	go func() {
		code, _ := s.trigger(t, "BRAND_MEMBER_CARD_SP.USER_CARD.CREATE")
		done <- code
	}()
	if d := a.take(http.StatusNoContent); d.header.Get("Wxproxy-Sensitive") != "decrypted" || d.resource(t)["phone_number"] != "invented phone_number" {
		t.Errorf("got %s with %s", d.body, d.header.Get("Wxproxy-Sensitive"))
	}
	if code := <-done; code != 0 {
		t.Errorf("not acknowledged: exit code %d", code)
	}

	// A key that does not fit its certificate changes nothing.
	mark = s.out.mark()
	broken := r.files(t, r.next)
	broken["apiclient_key.pem"] = r.old.keyPEM(t)
	volume.update(broken)
	s.out.await(t, mark, `"msg":"reload failed`)
	signedBy("ROTATE-03", r.next.serial())
	s.awaitAdmin("/readyz", `"warning"`, http.StatusOK)
	s.awaitAdmin("/metrics", `wxproxy_merchant_reload_failed{merchant="shop"} 1`, http.StatusOK)

	mark = s.out.mark()
	volume.update(r.files(t, r.old))
	s.out.await(t, mark, `"msg":"keys and files reloaded"`)
	signedBy("ROTATE-04", r.old.serial())
	s.awaitAdmin("/metrics", `wxproxy_merchant_reload_failed{merchant="shop"} 0`, http.StatusOK)
}

// A file that is written in place is half there for a while.
func TestHalfWrittenKey(t *testing.T) {
	t.Parallel()
	r, dir := newRotation(t), shortDir(t)
	for name, content := range r.files(t, r.old) {
		writeFile(t, filepath.Join(dir, name), content)
	}
	s := &shop{sidecar: startReady(t, r.setup(dir, newApp(t)))}
	key := filepath.Join(dir, "apiclient_key.pem")
	whole := r.old.keyPEM(t)
	for _, half := range [][]byte{whole[:len(whole)/2], {}} {
		mark := s.out.mark()
		writeFile(t, key, half)
		s.out.await(t, mark, `"msg":"reload failed`)
		s.order(t, "HALF-0001").verified(t, 200)
	}
	mark := s.out.mark()
	writeFile(t, key, whole)
	s.out.await(t, mark, `"msg":"keys and files reloaded"`)
	s.order(t, "HALF-0002").verified(t, 200)
}

func TestHangupReloads(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	mark := s.out.mark()
	s.signal(syscall.SIGHUP)
	s.out.await(t, mark, `"msg":"keys and files reloaded"`)
	mark = s.out.mark()
	if code, text := s.control(http.MethodPost, "/v1/reload"); code != http.StatusOK {
		t.Errorf("control: %d %s", code, text)
	}
	s.out.await(t, mark, `"msg":"keys and files reloaded"`)
	s.order(t, "HANGUP-01").verified(t, 200)
}
