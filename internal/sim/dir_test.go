package sim_test

import (
	"bytes"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wxproxy/wxproxy/internal/sim"
)

var wiring = sim.Wiring{Upstream: "http://127.0.0.1:8088", App: "http://127.0.0.1:3000/notify"}

func read(t *testing.T, elem ...string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(elem...))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// The files are what WeChat Pay hands out, private ones for the owner only.
func TestWriteDir(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "new", "sandbox")
	s := newSim(t, sim.Options{})
	if err := s.WriteDir(dir, wiring); err != nil {
		t.Fatal(err)
	}
	if _, err := tls.LoadX509KeyPair(filepath.Join(dir, "apiclient_cert.pem"), filepath.Join(dir, "apiclient_key.pem")); err != nil {
		t.Error(err)
	}
	block, _ := pem.Decode(read(t, dir, "pub_key.pem"))
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if _, want := s.PublicKey(); err != nil || !want.Equal(key.(*rsa.PublicKey)) {
		t.Errorf("pub_key.pem: %v", err)
	}
	if got := string(read(t, dir, "apiv3_key")); got != s.Merchants()[0].APIv3Key {
		t.Error("apiv3_key is not the merchant's, byte for byte")
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	public := map[string]bool{"apiclient_cert.pem": true, "pub_key.pem": true, "wxproxy.yaml": true}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if mode := info.Mode().Perm(); mode != 0o600 && !public[e.Name()] {
			t.Errorf("%s has mode %v", e.Name(), mode)
		}
	}
	if len(entries) != 7 {
		t.Errorf("%d files", len(entries))
	}
}

// The same directory gives the same keys, and a rotation is kept.
func TestDirIsKeptBetweenStarts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := newSim(t, sim.Options{Dir: dir})
	for _, step := range []string{sim.RotateAnnounce, sim.RotateSwitch, sim.RotateRetire} {
		if err := first.RotateCertificate(step); err != nil {
			t.Fatal(err)
		}
	}
	second := newSim(t, sim.Options{Dir: dir})
	if a, b := first.Merchants()[0], second.Merchants()[0]; a.APIv3Key != b.APIv3Key || !a.Certificate.Equal(b.Certificate) || !a.PrivateKey.Equal(b.PrivateKey) {
		t.Error("the merchant changed")
	}
	if a, b := first.Certificates(), second.Certificates(); len(a) != 1 || len(b) != 1 || !a[0].Equal(b[0]) {
		t.Errorf("%d and %d platform certificates, or they changed", len(a), len(b))
	}
	idA, keyA := first.PublicKey()
	if idB, keyB := second.PublicKey(); idA != idB || !keyA.Equal(keyB) {
		t.Error("the public key changed")
	}
	if files, err := filepath.Glob(filepath.Join(dir, "sim_platform_*")); err != nil || len(files) != 2 {
		t.Errorf("platform keys kept: %v, %v", files, err)
	}
}

// A config that somebody made their own is theirs.
func TestConfigIsLeftAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := newSim(t, sim.Options{})
	path := filepath.Join(dir, "wxproxy.yaml")
	for _, upstream := range []string{"http://127.0.0.1:1", "http://127.0.0.1:2"} {
		if err := s.WriteDir(dir, sim.Wiring{Upstream: upstream, App: "http://127.0.0.1:3000/${x}"}); err != nil {
			t.Fatal(err)
		}
		if got := string(read(t, path)); !strings.Contains(got, upstream) || !strings.Contains(got, "/$${x}") {
			t.Errorf("config:\n%s", got)
		}
	}
	_, own, _ := bytes.Cut(read(t, path), []byte("\n"))
	if err := os.WriteFile(path, own, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.WriteDir(dir, wiring); err != nil {
		t.Fatal(err)
	}
	if got := read(t, path); !bytes.Equal(got, own) {
		t.Errorf("the config was written over:\n%s", got)
	}
}

func TestBadDirs(t *testing.T) {
	t.Parallel()
	if _, err := sim.ReadDir(t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("empty directory: %v", err)
	}
	for name, spoil := range map[string]func(dir string) error{
		"key gone": func(dir string) error { return os.Remove(filepath.Join(dir, "apiclient_key.pem")) },
		"certificate spoilt": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "apiclient_cert.pem"), []byte("x"), 0o600)
		},
		"APIv3 key cut": func(dir string) error { return os.WriteFile(filepath.Join(dir, "apiv3_key"), []byte("short"), 0o600) },
		"platform key spoilt": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "sim_platform_X.pem"), []byte("x"), 0o600)
		},
		"malformed PEM inside": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "apiclient_cert.pem"), []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), 0o600)
		},
	} {
		dir := t.TempDir()
		newSim(t, sim.Options{Dir: dir})
		if err := spoil(dir); err != nil {
			t.Fatal(err)
		}
		if _, err := sim.New(sim.Options{Dir: dir, NewKey: newKeys()}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
