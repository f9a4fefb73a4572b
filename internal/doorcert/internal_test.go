package doorcert_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wxproxy/wxproxy/internal/doorcert"
)

func rootOf(t *testing.T, file string) (*x509.Certificate, *x509.CertPool) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	root, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(root)
	return root, pool
}

func TestInternalSignsForEachName(t *testing.T) {
	t.Parallel()
	names := []string{"pay.localhost", "shop.internal", "::1", "127.0.0.1"}
	dir := filepath.Join(t.TempDir(), "state", "ca")
	d, err := doorcert.NewInternal(doorcert.Options{Names: names}, dir)
	if err != nil {
		t.Fatal(err)
	}
	l, _ := listen(t)
	serve(t, d.Door, l)
	_, pool := rootOf(t, d.Root)
	for _, name := range names {
		state, err := shake(t, l.Addr().String(), &tls.Config{ServerName: name, RootCAs: pool})
		if name == "::1" { // clients name no addresses: they get the first one's
			if err == nil {
				t.Error("the certificate of 127.0.0.1 was taken for ::1")
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		leaf := state.PeerCertificates[0]
		if len(leaf.DNSNames)+len(leaf.IPAddresses) != 1 {
			t.Errorf("%s: the certificate is for %q and %v", name, leaf.DNSNames, leaf.IPAddresses)
		}
	}
	if _, err := shake(t, l.Addr().String(), &tls.Config{ServerName: "other.localhost", RootCAs: pool}); err == nil {
		t.Error("another name was answered for")
	}
	if runtime.GOOS != "windows" {
		if info, err := os.Stat(filepath.Join(dir, "root.key")); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the key's mode is %v, %v", info.Mode(), err)
		}
	}
}

func TestInternalRefusesPublicNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"pay.example.com", "localhost.example.com", "notlocalhost", "203.0.113.1", "2001:db8::1", "172.32.0.1", "shop"} {
		dir := filepath.Join(t.TempDir(), "ca")
		if _, err := doorcert.NewInternal(doorcert.Options{Names: []string{"localhost", name}}, dir); !errors.Is(err, doorcert.ErrPublicName) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s: a CA was made", name)
		}
	}
}

// Whoever steals the key gains no public name: the certificate itself says so,
// and clients heed it.
func TestInternalIsConstrained(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "ca")
	if _, err := doorcert.NewInternal(doorcert.Options{Names: []string{"localhost"}}, dir); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{
		"a.localhost": true, "b.test": true, "c.internal": true, "d.local": true, "10.1.2.3": true, "192.168.1.1": true,
		"pay.example.com": false, "api.mch.weixin.qq.com": false, "8.8.8.8": false, "localhost.com": false,
	} {
		leaf, pool := doorcert.SignAs(t, dir, name)
		_, err := leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: pool})
		if (err == nil) != want {
			t.Errorf("%s: %v, want valid %v", name, err, want)
		}
	}
}

func TestInternalKeepsItsCA(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "ca")
	roots := make([]string, 8)
	var all sync.WaitGroup
	for i := range roots { // several that start at once make one CA
		all.Go(func() {
			d, err := doorcert.NewInternal(doorcert.Options{Names: []string{"localhost"}}, dir)
			if err != nil {
				t.Error(err)
				return
			}
			text, err := os.ReadFile(d.Root)
			if err != nil {
				t.Error(err)
			}
			roots[i] = string(text)
		})
	}
	all.Wait()
	for i, root := range roots {
		if root != roots[0] {
			t.Errorf("start %d has another CA", i)
		}
	}
	left, err := os.ReadDir(filepath.Dir(dir))
	if err != nil || len(left) != 1 {
		t.Errorf("left beside the CA: %v, %v", left, err)
	}
}

func TestInternalRefusesABrokenCA(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(dir string) error{
		"no key":      func(dir string) error { return os.Remove(filepath.Join(dir, "root.key")) },
		"half a key":  func(dir string) error { return os.Truncate(filepath.Join(dir, "root.key"), 50) },
		"half a root": func(dir string) error { return os.Truncate(filepath.Join(dir, "root.crt"), 50) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "ca")
			o := doorcert.Options{Names: []string{"localhost"}}
			if _, err := doorcert.NewInternal(o, dir); err != nil {
				t.Fatal(err)
			}
			if err := spoil(dir); err != nil {
				t.Fatal(err)
			}
			if _, err := doorcert.NewInternal(o, dir); err == nil || !strings.Contains(err.Error(), dir) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestInternalRenewsLeavesAndNotItsRoot(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "ca")
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	o := doorcert.Options{Names: []string{"localhost"}, Now: func() time.Time { return now }}
	d, err := doorcert.NewInternal(o, dir)
	if err != nil {
		t.Fatal(err)
	}
	first := d.Status()[0].Expires
	now = now.AddDate(0, 0, 19)
	if got := d.Status()[0].Expires; !got.Equal(first) {
		t.Errorf("renewed early, until %v", got)
	}
	now = now.AddDate(0, 0, 2)
	if got := d.Status()[0].Expires; !got.After(first) {
		t.Error("not renewed when a third is left")
	}
	now = now.AddDate(11, 0, 0)
	if _, err := doorcert.NewInternal(o, dir); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("an expired CA: %v", err)
	}
}

func TestTrustQuotesForTheShell(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	if err := doorcert.Trust(&b, doorcert.Trial{CA: "/srv/a b/it's/root.crt", URL: "https://pay.localhost:8443", Path: "/notify/it's", Credentials: "a b"}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`curl --cacert '/srv/a b/it'\''s/root.crt' https://pay.localhost:8443`, `--to 'https://pay.localhost:8443/notify/it'\''s' --ca '/srv/a b/it'\''s/root.crt' --dir 'a b'`, "-addstore -f ROOT '/srv/a b"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in:\n%s", want, b.String())
		}
	}
}
