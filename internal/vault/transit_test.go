package vault_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/wxproxy/wxproxy/internal/vault"
)

// keys are two RSA keys, made once: they take time.
var keys = sync.OnceValue(func() (pair [2]*rsa.PrivateKey) {
	for i := range pair {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err) // of the system's random numbers
		}
		pair[i] = key
	}
	return pair
})

// public is a version of a key as Vault lists it.
func public(key any) string {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		panic(err) // keys of the tests can be written
	}
	block := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	return `{"public_key":"` + strings.ReplaceAll(string(block), "\n", `\n`) + `"}`
}

const (
	keyPath  = "team/transit/keys/shop"
	signPath = "team/transit/sign/shop/sha2-256"
)

// newTransit has a key with the first of keys as version 1, the second as 2.
func newTransit(t testing.TB) *fake {
	t.Helper()
	f := newFake(t)
	f.on(keyPath, data(`{"type":"rsa-2048","keys":{"1":`+public(&keys()[0].PublicKey)+`,"2":`+public(&keys()[1].PublicKey)+`}}`))
	f.on(signPath, signs(nil))
	return f
}

// signed is what Vault answers to an order to sign.
type signed struct {
	digest    []byte
	version   int
	key       *rsa.PrivateKey
	signature string // empty: made of the above
}

// signs is Vault's answer, which change may spoil.
func signs(change func(*signed)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Input      string `json:"input"`
			Prehashed  bool   `json:"prehashed"`
			Algorithm  string `json:"signature_algorithm"`
			KeyVersion int    `json:"key_version"`
		}
		_ = json.NewDecoder(r.Body).Decode(&in)
		if !in.Prehashed || in.Algorithm != "pkcs1v15" || in.KeyVersion < 1 || in.KeyVersion > len(keys()) {
			status(http.StatusBadRequest)(w, r)
			return
		}
		s := signed{version: in.KeyVersion, key: keys()[in.KeyVersion-1]}
		s.digest, _ = base64.StdEncoding.DecodeString(in.Input)
		if change != nil {
			change(&s)
		}
		if s.signature == "" {
			raw, err := rsa.SignPKCS1v15(nil, s.key, crypto.SHA256, s.digest)
			if err != nil {
				status(http.StatusBadRequest)(w, r)
				return
			}
			s.signature = fmt.Sprintf("vault:v%d:%s", s.version, base64.StdEncoding.EncodeToString(raw))
		}
		data(`{"signature":"`+s.signature+`"}`)(w, r)
	}
}

func (c *client) key(t testing.TB, version int, like crypto.PublicKey) crypto.Signer {
	t.Helper()
	key, err := c.Key(t.Context(), "team/transit", "shop", version, like)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func digest() []byte {
	d := sha256.Sum256([]byte("message"))
	return d[:]
}

// The version that is asked for signs, else the newest that the certificate
// fits; a newer one that it does not fit never does.
func TestKeyOfTheRightVersionSigns(t *testing.T) {
	t.Parallel()
	f := newTransit(t)
	c := loggedIn(t, f, nil)
	for name, test := range map[string]struct {
		version int
		like    crypto.PublicKey
		signer  *rsa.PrivateKey
	}{
		"the older fits": {0, &keys()[0].PublicKey, keys()[0]},
		"the newer fits": {0, &keys()[1].PublicKey, keys()[1]},
		"pinned":         {1, nil, keys()[0]},
		"the newest":     {0, nil, keys()[1]},
	} {
		key := c.key(t, test.version, test.like)
		signature, err := key.Sign(rand.Reader, digest(), crypto.SHA256)
		if err != nil || rsa.VerifyPKCS1v15(&test.signer.PublicKey, crypto.SHA256, digest(), signature) != nil || !test.signer.PublicKey.Equal(key.Public()) {
			t.Errorf("%s: the signature does not hold: %v", name, err)
		}
	}
}

// Each row changes one thing of a key that is found.
func TestKeyRefused(t *testing.T) {
	t.Parallel()
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	lists := func(keys string) http.HandlerFunc { return data(`{"keys":` + keys + `}`) }
	tooOld := data(`{"min_encryption_version":2,"keys":{"1":` + public(&keys()[0].PublicKey) + `,"2":` + public(&keys()[1].PublicKey) + `}}`)
	for name, test := range map[string]struct {
		answer  http.HandlerFunc
		version int
		like    crypto.PublicKey
		want    error
		says    string
	}{
		"fits no version":   {nil, 0, &stranger.PublicKey, vault.ErrVersion, "none of [1 2] fits"},
		"no such version":   {nil, 9, nil, vault.ErrVersion, "9, only [1 2]"},
		"symmetric":         {lists(`{"1":1700000000}`), 0, nil, vault.ErrKeyType, "rsa-2048"},
		"not RSA":           {lists(`{"1":{"public_key":"MCowBQYDK2VwAyEA"}}`), 0, nil, vault.ErrKeyType, "rsa-2048"},
		"too small":         {lists(`{"1":` + public(&small.PublicKey) + `}`), 0, nil, vault.ErrKeyType, "2048 bits"},
		"not a number":      {lists(`{"first":` + public(&keys()[0].PublicKey) + `}`), 0, nil, vault.ErrKeyType, ""},
		"no version":        {lists(`{}`), 0, nil, vault.ErrKeyType, ""},
		"no key":            {body(http.StatusNotFound, `{"errors":[]}`), 0, nil, vault.ErrNotFound, "import the merchant's key"},
		"denied":            {status(http.StatusForbidden), 0, nil, vault.ErrDenied, `path "team/transit/keys/shop" { capabilities = ["read"] }`},
		"version too old":   {tooOld, 1, nil, vault.ErrMinVersion, "vault write team/transit/keys/shop/config min_encryption_version=1"},
		"one that fits too": {tooOld, 0, &keys()[0].PublicKey, vault.ErrMinVersion, "transit:team/transit/shop@1"},
		"sealed":            {status(http.StatusServiceUnavailable, "Vault is sealed"), 0, nil, vault.ErrSealed, ""},
		"not Vault's words": {body(http.StatusOK, outside), 0, nil, vault.ErrAnswer, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newTransit(t)
			if test.answer != nil {
				f.on(keyPath, test.answer)
			}
			_, err := loggedIn(t, f, nil).Key(t.Context(), "team/transit", "shop", test.version, test.like)
			if !errors.Is(err, test.want) {
				t.Fatalf("got %v, want %v", err, test.want)
			}
			says(t, err.Error(), "transit:team/transit/shop", test.says)
		})
	}
}

// Each row changes one thing of a signature that holds.
func TestSignatureRefused(t *testing.T) {
	t.Parallel()
	f := newTransit(t)
	c := loggedIn(t, f, nil)
	key := c.key(t, 1, nil)
	for name, test := range map[string]struct {
		answer http.HandlerFunc
		want   error
		says   string
	}{
		"of another version": {signs(func(s *signed) { s.version = 2 }), vault.ErrSignature, "version 1"},
		"by another key":     {signs(func(s *signed) { s.key = keys()[1] }), vault.ErrSignature, ""},
		"of another message": {signs(func(s *signed) { s.digest[0] ^= 1 }), vault.ErrSignature, ""},
		"not in base 64":     {signs(func(s *signed) { s.signature = "vault:v1:?" }), vault.ErrSignature, ""},
		"another form":       {signs(func(s *signed) { s.signature = "v1:AAAA" }), vault.ErrSignature, ""},
		"nothing":            {body(http.StatusNoContent, ""), vault.ErrSignature, ""},
		"denied":             {status(http.StatusForbidden), vault.ErrDenied, `path "team/transit/sign/shop/sha2-256" { capabilities = ["update"] }`},
		"refused":            {status(http.StatusBadRequest), vault.ErrRefused, "deleted in Vault, or its version"},
		"limited":            {status(http.StatusTooManyRequests), vault.ErrRateLimited, ""},
		"version too old": {status(http.StatusInternalServerError, "1 error occurred:\n\t* requested version for signing is less than the minimum encryption key version\n\n"),
			vault.ErrMinVersion, "vault write team/transit/keys/shop/config min_encryption_version=1"},
	} {
		f.on(signPath, test.answer)
		_, err := key.Sign(rand.Reader, digest(), crypto.SHA256)
		if !errors.Is(err, test.want) {
			t.Errorf("%s: got %v, want %v", name, err, test.want)
			continue
		}
		says(t, err.Error(), "transit:team/transit/shop", test.says)
	}
	f.on(signPath, signs(nil))
	before := f.requests(signPath)
	for name, order := range map[string]struct {
		digest []byte
		opts   crypto.SignerOpts
	}{
		"PSS": {digest(), &rsa.PSSOptions{Hash: crypto.SHA256}}, "SHA-512": {digest(), crypto.SHA512}, "cut off": {digest()[1:], crypto.SHA256},
	} {
		if _, err := key.Sign(rand.Reader, order.digest, order.opts); err == nil {
			t.Errorf("%s was signed", name)
		}
	}
	if f.requests(signPath) != before {
		t.Error("Vault was asked for what cannot be used")
	}
	if _, err := key.Sign(rand.Reader, digest(), crypto.SHA256); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}
