package vault_test

import (
	"context"
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
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wxproxy/wxproxy/internal/secret"
	"github.com/wxproxy/wxproxy/internal/vault"
)

const (
	smokeToken = "hvs.smoke-token-that-must-not-leak"
	smokeValue = "smoke-secret-that-must-not-leak"
)

var smokeKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// smokeVault answers as Vault does, as far as the client asks.
type smokeVault struct {
	*httptest.Server

	reads  atomic.Int32
	status atomic.Int32 // not 0: of every answer but the login's
	sealed atomic.Bool
	spoil  atomic.Bool // signatures are of another version
}

func newSmokeVault(t *testing.T) *smokeVault {
	t.Helper()
	v := &smokeVault{}
	v.Server = httptest.NewServer(http.HandlerFunc(v.serve))
	t.Cleanup(v.Close)
	return v
}

func (v *smokeVault) serve(w http.ResponseWriter, r *http.Request) {
	data := map[string]any{}
	status := int(v.status.Load())
	switch path := strings.TrimPrefix(r.URL.Path, "/v1/"); {
	case path == "auth/token/lookup-self":
		data, status = map[string]any{"ttl": 0, "renewable": false}, 0
	case r.Header.Get("X-Vault-Token") != smokeToken:
		status = http.StatusForbidden
	case path == "sys/internal/ui/mounts/secret":
		data = map[string]any{"type": "kv", "options": map[string]string{"version": "2"}}
	case path == "sys/internal/ui/mounts/old":
		data = map[string]any{"type": "kv", "options": map[string]string{"version": "1"}}
	case path == "secret/data/shop":
		v.reads.Add(1)
		data = map[string]any{"data": map[string]any{"key": smokeValue, "number": 7}, "metadata": map[string]any{"version": 1}}
	case path == "secret/data/gone":
		status = http.StatusNotFound
		data = map[string]any{"data": nil, "metadata": map[string]any{"deletion_time": "2026-11-23T00:00:00Z"}}
	case path == "old/shop":
		data = map[string]any{"key": smokeValue}
	case path == "transit/keys/shop":
		der, _ := x509.MarshalPKIXPublicKey(&smokeKey().PublicKey)
		other, _ := rsa.GenerateKey(rand.Reader, 2048)
		newer, _ := x509.MarshalPKIXPublicKey(&other.PublicKey)
		text := func(der []byte) map[string]any {
			return map[string]any{"public_key": string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))}
		}
		data = map[string]any{"type": "rsa-2048", "keys": map[string]any{"1": text(der), "2": text(newer)}}
	case path == "transit/keys/elliptic":
		data = map[string]any{"keys": map[string]any{"1": map[string]any{"public_key": "not RSA"}}}
	case path == "transit/sign/shop/sha2-256":
		data = v.sign(r)
	default:
		status = http.StatusNotFound
	}
	if v.sealed.Load() {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte(`{"errors":["Vault is sealed"]}`))
		return
	}
	if status != 0 {
		w.WriteHeader(status)
	}
	if status == http.StatusNotFound && len(data) == 0 || status >= 400 && status != http.StatusNotFound {
		_, _ = w.Write([]byte(`{"errors":["outside words"]}`))
		return
	}
	text, err := json.Marshal(map[string]any{"data": data})
	if err != nil {
		panic(err) // it is made of maps and texts
	}
	_, _ = w.Write(text)
}

func (v *smokeVault) sign(r *http.Request) map[string]any {
	var in struct {
		Input      string `json:"input"`
		Prehashed  bool   `json:"prehashed"`
		Algorithm  string `json:"signature_algorithm"`
		KeyVersion int    `json:"key_version"`
	}
	_ = json.NewDecoder(r.Body).Decode(&in)
	digest, _ := base64.StdEncoding.DecodeString(in.Input)
	if !in.Prehashed || in.Algorithm != "pkcs1v15" || in.KeyVersion != 1 {
		return nil
	}
	signature, _ := rsa.SignPKCS1v15(nil, smokeKey(), crypto.SHA256, digest)
	version := 1
	if v.spoil.Load() {
		version = 2
	}
	return map[string]any{"signature": fmt.Sprintf("vault:v%d:%s", version, base64.StdEncoding.EncodeToString(signature))}
}

func smokeClient(t *testing.T, v *smokeVault) *vault.Client {
	t.Helper()
	c, err := vault.New(vault.Options{
		Address: v.URL, Timeout: 20 * time.Second, // never waited for: the server answers at once
		Auth: vault.Auth{Method: vault.MethodToken, Token: func(context.Context) (secret.Value, error) {
			return secret.NewValue([]byte(smokeToken + "\n")), nil
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Login(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSmokeKV(t *testing.T) {
	t.Parallel()
	v := newSmokeVault(t)
	c := smokeClient(t, v)
	for range 3 {
		got, err := c.Field(t.Context(), "secret", "shop", "key")
		if err != nil || string(got.Bytes()) != smokeValue {
			t.Fatalf("got %q, %v", got.Bytes(), err)
		}
		got.Clear() // its user may: the next gets a whole one
	}
	if n := v.reads.Load(); n != 1 {
		t.Errorf("%d reads of one path", n)
	}
	c.Forget()
	if _, err := c.Field(t.Context(), "secret", "shop", "key"); err != nil || v.reads.Load() != 2 {
		t.Errorf("not read anew: %v", err)
	}
	if got, err := c.Field(t.Context(), "old", "shop", "key"); err != nil || string(got.Bytes()) != smokeValue {
		t.Errorf("KV version 1: %v", err)
	}
	for name, test := range map[string]struct {
		path, field string
		want        error
	}{
		"no field":   {"shop", "nothing", vault.ErrNoField},
		"not a text": {"shop", "number", vault.ErrField},
		"deleted":    {"gone", "key", vault.ErrDeleted},
		"nothing":    {"none", "key", vault.ErrNotFound},
	} {
		_, err := c.Field(t.Context(), "secret", test.path, test.field)
		if !errors.Is(err, test.want) || !strings.Contains(err.Error(), "vault:secret/"+test.path+"#"+test.field) {
			t.Errorf("%s: got %v, want %v", name, err, test.want)
		}
	}
}

func TestSmokeFailures(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]error{
		403: vault.ErrDenied, 429: vault.ErrRateLimited, 500: vault.ErrUnavailable, 503: vault.ErrUnavailable, 400: vault.ErrRefused, 307: vault.ErrUnavailable, 302: vault.ErrUnavailable,
	} {
		v := newSmokeVault(t)
		c := smokeClient(t, v)
		v.status.Store(int32(status))
		_, err := c.Field(t.Context(), "secret", "shop", "key")
		if !errors.Is(err, want) {
			t.Fatalf("status %d: got %v, want %v", status, err, want)
		}
		if status == 403 && !strings.Contains(err.Error(), `path "secret/data/shop" { capabilities = ["read"] }`) {
			t.Errorf("the policy line is missing: %v", err)
		}
		for _, leak := range []string{smokeToken, smokeValue, "outside words"} {
			if strings.Contains(err.Error(), leak) {
				t.Errorf("status %d: the error has %q: %v", status, leak, err)
			}
		}
	}
	v := newSmokeVault(t)
	c := smokeClient(t, v)
	v.sealed.Store(true)
	if _, err := c.Field(t.Context(), "secret", "shop", "key"); !errors.Is(err, vault.ErrSealed) || c.State().Problem == "" {
		t.Errorf("sealed: got %v, state %+v", err, c.State())
	}
	v.sealed.Store(false)
	if _, err := c.Field(t.Context(), "secret", "shop", "key"); err != nil || c.State().Problem != "" {
		t.Errorf("unsealed: got %v, state %+v", err, c.State())
	}
	v.Close()
	c.Forget()
	if _, err := c.Field(t.Context(), "secret", "shop", "key"); !errors.Is(err, vault.ErrUnreachable) {
		t.Errorf("gone: got %v", err)
	}
}

func TestSmokeTransit(t *testing.T) {
	t.Parallel()
	v := newSmokeVault(t)
	c := smokeClient(t, v)
	digest := sha256.Sum256([]byte("message"))
	key, err := c.Key(t.Context(), "transit", "shop", 0, &smokeKey().PublicKey) // version 2 is newer and does not fit
	if err != nil {
		t.Fatal(err)
	}
	signature, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil || rsa.VerifyPKCS1v15(&smokeKey().PublicKey, crypto.SHA256, digest[:], signature) != nil {
		t.Errorf("signature does not hold: %v", err)
	}
	if _, err := key.Sign(rand.Reader, digest[:], &rsa.PSSOptions{Hash: crypto.SHA256}); err == nil {
		t.Error("PSS was signed")
	}
	if _, err := key.Sign(rand.Reader, digest[:20], crypto.SHA1); err == nil {
		t.Error("SHA-1 was signed")
	}
	v.spoil.Store(true)
	if _, err := key.Sign(rand.Reader, digest[:], crypto.SHA256); !errors.Is(err, vault.ErrSignature) {
		t.Errorf("a signature of another version: got %v", err)
	}
	v.spoil.Store(false)
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		key     string
		version int
		like    crypto.PublicKey
		want    error
	}{
		"fits no certificate": {"shop", 0, &stranger.PublicKey, vault.ErrVersion},
		"no such version":     {"shop", 9, nil, vault.ErrVersion},
		"not RSA":             {"elliptic", 0, nil, vault.ErrKeyType},
		"none":                {"none", 0, nil, vault.ErrNotFound},
	} {
		if _, err := c.Key(t.Context(), "transit", test.key, test.version, test.like); !errors.Is(err, test.want) {
			t.Errorf("%s: got %v, want %v", name, err, test.want)
		}
	}
	v.sealed.Store(true)
	for range 5 {
		if _, err := key.Sign(rand.Reader, digest[:], crypto.SHA256); !errors.Is(err, vault.ErrSealed) {
			t.Errorf("sealed: got %v", err)
		}
	}
	if _, err := key.Sign(rand.Reader, digest[:], crypto.SHA256); !errors.Is(err, vault.ErrBroken) || c.State().Breaker != "open" {
		t.Errorf("the breaker is not open: %v, %+v", err, c.State())
	}
}

func TestSmokeEnvironmentHasNoEffect(t *testing.T) {
	t.Setenv("VAULT_TOKEN", "another")
	t.Setenv("VAULT_ADDR", "http://192.0.2.1:8200")
	t.Setenv("VAULT_NAMESPACE", "elsewhere")
	c := smokeClient(t, newSmokeVault(t))
	if _, err := c.Field(t.Context(), "secret", "shop", "key"); err != nil {
		t.Error(err)
	}
}
