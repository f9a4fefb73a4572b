package merchant_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"sync"
	"testing"
	"time"

	"github.com/wxproxy/wxproxy/internal/merchant"
	"github.com/wxproxy/wxproxy/internal/secret"
	"github.com/wxproxy/wxproxy/signer"
)

const (
	mchid    = "1900000001"
	apiv3Key = "0123456789abcdefghijABCDEFGHIJ.."
	oldKey   = "another key of 32 bytes, not it!"
	apiv2Key = "v2v2v2v2v2v2v2v2v2v2v2v2v2v2v2v2"
	keyID    = "PUB_KEY_ID_0119000000012026112300000001"

	// The certificates' serial numbers end in their key's place in the pool.
	serial0 = "3775B6A45ACD588826D15E583A95F5DD51A2E300"
	serial1 = "3775B6A45ACD588826D15E583A95F5DD51A2E301"
)

var epoch = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

const year = 365 * 24 * time.Hour

// keyPool has the RSA keys of all tests: two merchant keys, WeChat Pay's, one
// that is too small, and two more of merchants.
var keyPool = sync.OnceValues(func() ([6]*rsa.PrivateKey, error) {
	var pool [6]*rsa.PrivateKey
	for i, bits := range [6]int{2048, 2048, 2048, 1024, 3072, 2048} {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			return pool, err
		}
		pool[i] = key
	}
	return pool, nil
})

func key(t testing.TB, i int) *rsa.PrivateKey {
	t.Helper()
	pool, err := keyPool()
	if err != nil {
		t.Fatal(err)
	}
	return pool[i]
}

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func pkcs8(t testing.TB, i int) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key(t, i))
	if err != nil {
		t.Fatal(err)
	}
	return block("PRIVATE KEY", der)
}

func spki(t testing.TB, i int) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(&key(t, i).PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return block("PUBLIC KEY", der)
}

// certificate is the one of key i, for the name given.
func certificate(t testing.TB, i int, name string, from, to time.Time) []byte {
	t.Helper()
	return renewed(t, i, i, name, from, to)
}

// renewed is certificate number n, of key i.
func renewed(t testing.TB, n, i int, name string, from, to time.Time) []byte {
	t.Helper()
	serial, _ := new(big.Int).SetString(serial0[:39]+fmt.Sprint(n), 16)
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name, Organization: []string{"微信商户系统"}},
		NotBefore: from, NotAfter: to,
	}
	issuer := &x509.Certificate{Subject: pkix.Name{CommonName: "Tenpay.com Root CA", Organization: []string{"Tenpay.com"}}}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key(t, i).Public(), key(t, 2))
	if err != nil {
		t.Fatal(err)
	}
	return block("CERTIFICATE", der)
}

func ref(name string) secret.Ref { return secret.Ref{Scheme: "env", Target: name} }

// vault answers references from a map, each time with bytes of its own.
type vault map[string][]byte

func (v vault) Read(_ context.Context, r secret.Ref) (secret.Value, error) {
	b, ok := v[r.Target]
	if !ok {
		return secret.Value{}, fmt.Errorf("environment variable %s %w", r.Target, secret.ErrUnset)
	}
	return secret.NewValue(bytes.Clone(b)), nil
}

func (v vault) Key(_ context.Context, r secret.Ref, like crypto.PublicKey) (crypto.Signer, error) {
	b, ok := v[r.Target]
	if !ok {
		return nil, errors.New("no key " + r.Target)
	}
	key, err := signer.ParsePrivateKey(b)
	if err != nil {
		return nil, err
	}
	if like != nil && !key.PublicKey.Equal(like) {
		return nil, errors.New("no version of it fits the certificate")
	}
	return key, nil
}

// full is a merchant with everything, and all of it right.
func full(t testing.TB) (merchant.Spec, vault) {
	t.Helper()
	spec := merchant.Spec{
		Name: "shop", MchID: mchid, Certificate: ref("CERT"), SerialNo: serial0, PrivateKey: ref("KEY"), PreviousKey: ref("OLDKEY"),
		APIv3Key: ref("APIV3"), APIv3KeyPrevious: ref("OLD"), APIv2Key: ref("APIV2"), PublicKey: ref("PUB"), PublicKeyID: keyID,
	}
	return spec, maps.Clone(vault{
		"KEY": pkcs8(t, 0), "OLDKEY": pkcs8(t, 1), "CERT": certificate(t, 0, mchid, epoch.Add(-year), epoch.Add(year)),
		"APIV3": []byte(apiv3Key), "OLD": []byte(oldKey), "APIV2": []byte(apiv2Key), "PUB": spki(t, 2),
	})
}

func now() time.Time { return epoch }
