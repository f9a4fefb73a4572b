package merchant_test

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/wxproxy/wxproxy/internal/merchant"
	"github.com/wxproxy/wxproxy/internal/secret"
	"github.com/wxproxy/wxproxy/internal/wire"
)

// folder is a directory of key files and a merchant that reads them.
type folder struct {
	t   *testing.T
	dir string
	*merchant.Merchant
}

// keys are the files of pair i.
func keys(t *testing.T, i int) map[string][]byte {
	t.Helper()
	return map[string][]byte{
		"apiclient_key.pem":  pkcs8(t, i),
		"apiclient_cert.pem": certificate(t, i, mchid, epoch.Add(-year), epoch.Add(year)),
		"apiv3_key":          []byte(apiv3Key),
	}
}

// follow makes a merchant whose files are below dir.
func follow(t *testing.T, dir string) folder {
	t.Helper()
	file := func(name string) secret.Ref {
		return secret.Ref{Scheme: "file", Target: filepath.Join(dir, name)}
	}
	m, err := merchant.New(merchant.Spec{
		Name: "shop", PrivateKey: file("apiclient_key.pem"), Certificate: file("apiclient_cert.pem"), APIv3Key: file("apiv3_key"),
	}, secret.Reader{}, now, nil)
	if err != nil {
		t.Fatal(err)
	}
	return folder{t, dir, m}
}

func (f folder) write(name string, content []byte) {
	f.t.Helper()
	if err := os.WriteFile(filepath.Join(f.dir, name), content, 0o600); err != nil {
		f.t.Fatal(err)
	}
}

// reloads checks which certificate is in use after a Reload, and whether there
// was an error that says something.
func (f folder) reloads(serial, says string) {
	f.t.Helper()
	err := f.Reload(f.t.Context())
	if f.Err() != err {
		f.t.Errorf("Err is %v, Reload returned %v", f.Err(), err)
	}
	switch {
	case says == "" && err != nil:
		f.t.Errorf("got %v", err)
	case says != "" && (!errors.Is(err, merchant.ErrMaterial) || !strings.Contains(err.Error(), says)):
		f.t.Errorf("got %v, want it to say %q", err, says)
	}
	if m := f.Current(); m == nil || m.Signer.Serial() != serial {
		f.t.Fatalf("got %+v, want serial number %s", m, serial)
	}
	signs(f.t, f.Current())
}

// signs checks that the key in use belongs to the serial number it goes by.
func signs(t *testing.T, m *merchant.Material) {
	t.Helper()
	header, err := m.Signer.Authorization("GET", "/v3/certificates", nil)
	if err != nil {
		t.Error(err)
		return
	}
	a, err := wire.ParseAuthorization(header)
	if err != nil {
		t.Error(err)
		return
	}
	i := 0
	if a.Serial == serial1 {
		i = 1
	}
	digest := sha256.Sum256(wire.RequestMessage("GET", "/v3/certificates", a.Timestamp, a.Nonce, nil))
	raw, err := base64.StdEncoding.DecodeString(a.Signature)
	if err != nil || rsa.VerifyPKCS1v15(&key(t, i).PublicKey, crypto.SHA256, digest[:], raw) != nil {
		t.Errorf("signed by another key than that of %s", a.Serial)
	}
}

func TestReloadKeyBeforeCertificate(t *testing.T) {
	t.Parallel()
	f := follow(t, t.TempDir())
	if f.Current() != nil || f.Err() != nil {
		t.Errorf("before the first Reload: %v, %v", f.Current(), f.Err())
	}
	for name, content := range keys(t, 0) {
		f.write(name, content)
	}
	f.reloads(serial0, "")

	next := keys(t, 1)
	f.write("apiclient_key.pem", next["apiclient_key.pem"])
	f.reloads(serial0, "does not fit its certificate")
	f.write("apiclient_cert.pem", next["apiclient_cert.pem"])
	f.reloads(serial1, "")

	f.write("apiclient_cert.pem", keys(t, 0)["apiclient_cert.pem"]) // and the other way round
	f.reloads(serial1, "does not fit its certificate")
	f.write("apiclient_key.pem", keys(t, 0)["apiclient_key.pem"])
	f.reloads(serial0, "")
}

func TestReloadHalfWritten(t *testing.T) {
	t.Parallel()
	for name, whole := range keys(t, 1) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := follow(t, t.TempDir())
			for name, content := range keys(t, 1) {
				f.write(name, content)
			}
			f.reloads(serial1, "")
			for _, n := range []int{0, 1, len(whole) / 2, len(whole) - 10} {
				f.write(name, whole[:n])
				f.reloads(serial1, name)
			}
			if err := os.Remove(filepath.Join(f.dir, name)); err != nil {
				t.Fatal(err)
			}
			f.reloads(serial1, "does not exist")
			f.write(name, whole)
			f.reloads(serial1, "")
		})
	}
}

// TestReloadSymlinkSwap plays Kubernetes: files are links through ..data, a
// link that is replaced by a rename.
func TestReloadSymlinkSwap(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for i, version := range []string{"..1", "..2"} {
		if err := os.Mkdir(filepath.Join(dir, version), 0o700); err != nil {
			t.Fatal(err)
		}
		f := folder{t: t, dir: filepath.Join(dir, version)}
		for name, content := range keys(t, i) {
			f.write(name, content)
		}
	}
	link := func(target, name string) {
		t.Helper()
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	link("..1", "..data")
	for name := range keys(t, 0) {
		link(filepath.Join("..data", name), name)
	}
	f := follow(t, dir)
	f.reloads(serial0, "")

	data := filepath.Join(dir, "..data")
	if err := os.Remove(data); err != nil { // half done: no ..data
		t.Fatal(err)
	}
	f.reloads(serial0, "does not exist")
	link("..3", "..data") // half done: it points to what is not there yet
	f.reloads(serial0, "does not exist")
	link("..2", "..data_tmp")
	if err := os.Rename(data+"_tmp", data); err != nil {
		t.Fatal(err)
	}
	f.reloads(serial1, "")
}

// TestRotationUnderLoad: while keys change, every signature is by the key that
// its serial number names.
func TestRotationUnderLoad(t *testing.T) {
	t.Parallel()
	f := follow(t, t.TempDir())
	for name, content := range keys(t, 0) {
		f.write(name, content)
	}
	f.reloads(serial0, "")
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					signs(t, f.Current())
				}
			}
		})
	}
	for i := range 10 {
		for name, content := range keys(t, (i+1)%2) {
			f.write(name, content)
			_ = f.Reload(t.Context()) // between two files it must refuse
		}
		f.reloads([]string{serial1, serial0}[i%2], "")
	}
	close(done)
	wg.Wait()
}
