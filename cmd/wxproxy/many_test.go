package main

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/wxproxy/wxproxy/internal/config"
	"github.com/wxproxy/wxproxy/internal/wire"
)

// thousand is how many merchants one process is made for.
const thousand = 1000

// writeMany writes a config of n merchants, each with a directory, a
// certificate, an APIv3 key, a pinned public key and a stored list of platform
// certificates of its own. The RSA keys behind them are few: making one takes
// long, and each file is parsed into memory of its own.
func writeMany(t testing.TB, n int, more string) (file string) {
	t.Helper()
	dir := t.TempDir()
	state := filepath.Join(dir, "state")
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	var c bytes.Buffer
	fmt.Fprintf(&c, "state_dir: %s\nmerchants:\n", state)
	merchantKey, platformKey := testKeys()[0], testKeys()[1]
	public := publicPEM(t, &platformKey.PublicKey)
	private := privatePEM(t, merchantKey)
	for i := range n {
		name, apiv3 := fmt.Sprintf("shop-%04d", i), fmt.Sprintf("%032d", i)
		own := filepath.Join(dir, name)
		if err := os.Mkdir(own, 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, own, "apiclient_cert.pem", certificatePEM(t, merchantKey, big.NewInt(int64(1e9+i)), fmt.Sprintf("19%08d", i)))
		write(t, own, "apiclient_key.pem", private)
		write(t, own, "apiv3_key", []byte(apiv3))
		write(t, own, "pub_key.pem", public)
		write(t, state, name+".certificates", storedAnswer(t, platformKey, apiv3, int64(7e9+i)))
		fmt.Fprintf(&c, `  - name: %s
    certificate: file:%s/apiclient_cert.pem
    private_key: file:%[2]s/apiclient_key.pem
    apiv3_key: file:%[2]s/apiv3_key
    platform: {public_key: "file:%[2]s/pub_key.pem", public_key_id: PUB_KEY_ID_01%08[3]d}
`, name, own, i)
	}
	c.WriteString(more)
	write(t, dir, "wxproxy.yaml", c.Bytes())
	return filepath.Join(dir, "wxproxy.yaml")
}

func publicPEM(t testing.TB, key *rsa.PublicKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func privatePEM(t testing.TB, key *rsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func certificatePEM(t testing.TB, key *rsa.PrivateKey, serial *big.Int, name string) []byte {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name, Organization: []string{"微信商户系统"}, OrganizationalUnit: []string{"A Shop Ltd"}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, issuer())
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// issuer signs the certificates of tests, which nobody checks: it is fast.
var issuer = sync.OnceValue(func() *ecdsa.PrivateKey {
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	return key
})

// storedAnswer is a list of one platform certificate as it is kept on disk.
func storedAnswer(t testing.TB, key *rsa.PrivateKey, apiv3 string, serial int64) []byte {
	t.Helper()
	cert := certificatePEM(t, key, big.NewInt(serial), "Tenpay.com sign")
	const nonce, associated = "d215b0511e9c", "certificate"
	sealed, err := wire.Seal([]byte(apiv3), nonce, associated, cert)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	serialNo := fmt.Sprintf("%X", big.NewInt(serial).Bytes())
	body, err := json.Marshal(map[string]any{"data": []any{wire.SealedCertificate{
		SerialNo: serialNo, EffectiveTime: now.Add(-time.Hour).Format(time.RFC3339), ExpireTime: now.AddDate(0, 6, 0).Format(time.RFC3339),
		EncryptCertificate: wire.Resource{Algorithm: wire.AlgorithmAESGCM, Ciphertext: sealed, Nonce: nonce, AssociatedData: associated},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	timestamp := wire.FormatTimestamp(now.Unix())
	digest := sha256.Sum256([]byte(timestamp + "\n" + nonce + "\n" + string(body) + "\n"))
	signature, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	h := http.Header{
		wire.HeaderTimestamp: {timestamp}, wire.HeaderNonce: {nonce}, wire.HeaderSerial: {serialNo},
		wire.HeaderSignature: {base64.StdEncoding.EncodeToString(signature)}, "Content-Length": {fmt.Sprint(len(body))},
	}
	var b bytes.Buffer
	b.WriteString("HTTP/1.1 200 OK\r\n")
	_ = h.Write(&b)
	b.WriteString("\r\n")
	b.Write(body)
	return b.Bytes()
}

func heap() uint64 {
	runtime.GC()
	runtime.GC() // what the first found unreachable with finalizers
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// A merchant costs at most 20 KiB, keys included. Nothing else may run
// meanwhile.
func TestMemoryOfAThousandMerchants(t *testing.T) {
	file := writeMany(t, thousand, `admin: {listen: "127.0.0.1:0"}
outbound: {listen: "127.0.0.1:0", upstreams: ["http://127.0.0.1:9"]}
notify:
  listen: 127.0.0.1:0
  routes: [{path: /notify, merchants: all, to: "http://127.0.0.1:9/"}]
`)
	before := heap()
	begun := time.Now()
	cfg, err := config.Load(file, config.Sources{})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("config: %s, %d bytes a merchant", time.Since(begun), (heap()-before)/thousand)
	begun = time.Now()
	s, err := newSidecar(t.Context(), cfg, discard())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("start: %s", time.Since(begun))
	t.Cleanup(s.closeDoors)
	each := (heap() - before) / thousand
	t.Logf("%d bytes a merchant", each)
	begun = time.Now()
	if err := s.reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("reload: %s", time.Since(begun))
	if each > 20<<10 {
		t.Errorf("%d bytes a merchant, more than 20 KiB", each)
	}
	runtime.KeepAlive(s)
}
