package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wxproxy/wxproxy/internal/config"
)

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// testKeys is made once: RSA keys are slow to make.
var testKeys = sync.OnceValue(func() (keys [2]*rsa.PrivateKey) {
	for i := range keys {
		keys[i], _ = rsa.GenerateKey(rand.Reader, 2048)
	}
	return keys
})

// setup writes a merchant's files and a config to a new directory.
func setup(t *testing.T, more string) (dir, file string) {
	t.Helper()
	dir = t.TempDir()
	writePair(t, dir, testKeys()[0], 1)
	write(t, dir, "apiv3_key", []byte("0123456789abcdef0123456789abcdef"))
	public, err := x509.MarshalPKIXPublicKey(&testKeys()[1].PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "pub_key.pem", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}))
	write(t, dir, "wxproxy.yaml", []byte(`merchants:
  - name: shop
    certificate: file:cert.pem
    private_key: file:key.pem
    apiv3_key: file:apiv3_key
    platform: {public_key: file:pub_key.pem, public_key_id: PUB_KEY_ID_01, certificates: off}
admin: {listen: "127.0.0.1:0", control: "unix:`+filepath.Join(dir, "ctl.sock")+`"}
`+more))
	return dir, filepath.Join(dir, "wxproxy.yaml")
}

func write(t testing.TB, dir, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func writePair(t *testing.T, dir string, key *rsa.PrivateKey, serial int64) {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "1900000001"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "cert.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	write(t, dir, "key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
}

func start(t *testing.T, file string) *sidecar {
	t.Helper()
	cfg, err := config.Load(file, config.Sources{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := newSidecar(t.Context(), cfg, discard())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return s
}

func TestReloadKeepsTheOldPairUntilTheNewOneFits(t *testing.T) {
	t.Parallel()
	dir, file := setup(t, `outbound: {listen: "127.0.0.1:0", upstreams: ["http://127.0.0.1:9"]}`+"\n")
	s := start(t, file)
	before := s.accounts[0].privateKey().Signer.Serial()
	half, err := os.ReadFile(filepath.Join(dir, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "key.pem", half[:len(half)/2])
	if err := s.reload(t.Context()); err == nil {
		t.Error("half a key was taken")
	}
	if got := s.accounts[0].privateKey().Signer.Serial(); got != before {
		t.Errorf("serial %s, want the old %s", got, before)
	}
	if st := s.statuses()[0]; !st.Ready || st.Warning == "" {
		t.Errorf("the failed reload does not show: %+v", st)
	}
	writePair(t, dir, testKeys()[1], 2) // now the pinned key is the merchant's own, which is refused too
	if err := s.reload(t.Context()); err == nil || !strings.Contains(err.Error(), "own") {
		t.Errorf("the merchant's own key was taken for WeChat Pay's: %v", err)
	}
	writePair(t, dir, testKeys()[0], 3)
	if err := s.reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := s.accounts[0].privateKey().Signer.Serial(); got == before {
		t.Error("the new pair was not taken")
	}
}

func TestCallerByUID(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("user IDs of socket peers are read on Linux only")
	}
	for _, uid := range []int{os.Getuid(), os.Getuid() + 1} {
		socket := filepath.Join(t.TempDir(), "api.sock")
		_, file := setup(t, `outbound:
  listen: "unix:`+socket+`"
  upstreams: ["http://127.0.0.1:9"]
  callers: [{name: app, uid: `+strconv.Itoa(uid)+`}]
`)
		start(t, file)
		client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		}}}
		answer, err := client.Get("http://wxproxy/v3/certificates")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, answer.Body)
		_ = answer.Body.Close()
		want := http.StatusForbidden
		if uid == os.Getuid() {
			want = http.StatusBadGateway // admitted; nobody listens upstream
		}
		if answer.StatusCode != want {
			t.Errorf("uid %d: status %d, want %d", uid, answer.StatusCode, want)
		}
	}
}

func TestServeTellsEveryFaultAndExits2(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "bad.yaml", []byte("merchants:\n  - name: shop\n    private_key: MIIEvQIBADANBg\n    apiv3_key: env:NOT_SET_ANYWHERE\nnotify: {colour: blue}\n"))
	var stderr bytes.Buffer
	if code := run(t.Context(), []string{"serve", "-c", filepath.Join(dir, "bad.yaml")}, io.Discard, &stderr); code != exitUsage {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{"bad.yaml:3: merchants[0].private_key", "bad.yaml:4: merchants[0].apiv3_key", "bad.yaml:5: notify.colour"} {
		if !strings.Contains(stderr.String(), want) {
			t.Errorf("%q is not in:\n%s", want, stderr.String())
		}
	}
	if strings.Contains(stderr.String(), "MIIEvQ") {
		t.Error("a literal secret was repeated")
	}
}

func TestServeRefusesKeysThatDoNotFit(t *testing.T) {
	t.Parallel()
	dir, file := setup(t, "")
	write(t, dir, "apiv3_key", []byte("too short"))
	var stderr bytes.Buffer
	if code := run(t.Context(), []string{"serve", "-c", file}, io.Discard, &stderr); code != exitUsage || !strings.Contains(stderr.String(), "shop") {
		t.Errorf("exit code %d: %s", code, stderr.String())
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		args []string
		code int
	}{
		{nil, exitUsage}, {[]string{"fly"}, exitUsage}, {[]string{"serve", "-nope"}, exitUsage},
		{[]string{"serve", "-h"}, exitFine}, {[]string{"serve", "-c", "none.yaml", "rest"}, exitUsage},
		{[]string{"help"}, exitFine}, {[]string{"version"}, exitFine},
	} {
		if got := run(t.Context(), tc.args, io.Discard, io.Discard); got != tc.code {
			t.Errorf("%q: exit code %d, want %d", tc.args, got, tc.code)
		}
	}
}
