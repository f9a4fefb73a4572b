package wire_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/wxproxy/wxproxy/internal/wire"
)

func TestOpenFieldVector(t *testing.T) {
	t.Parallel()
	for _, v := range vectors.OfKind(t, "oaep-sha1-decrypt", 1) {
		got, err := wire.OpenField(vectors.PrivateKey(t, v.Key), v.Ciphertext)
		if err != nil || got != v.Plaintext {
			t.Errorf("%s: got %q, %v, want %q", v.Name, got, err, v.Plaintext)
		}
	}
}

func TestSealField(t *testing.T) {
	t.Parallel()
	key := vectors.PrivateKey(t, "docs_test_key.pem")
	for _, text := range []string{"a", "张三", strings.Repeat("x", 214)} {
		sealed, err := wire.SealField(&key.PublicKey, text)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := base64.StdEncoding.DecodeString(sealed)
		if err != nil {
			t.Fatal(err)
		}
		plain, err := rsa.DecryptOAEP(sha1.New(), nil, key, raw, nil)
		if err != nil || string(plain) != text {
			t.Errorf("got %q, %v, want %q", plain, err, text)
		}
		again, err := wire.SealField(&key.PublicKey, text)
		if err != nil || again == sealed {
			t.Errorf("sealed twice, it is the same: %v", err)
		}
	}
	if sealed, err := wire.SealField(&key.PublicKey, ""); sealed != "" || err != nil {
		t.Errorf("an empty text became %q, %v", sealed, err)
	}
	if _, err := wire.SealField(&key.PublicKey, strings.Repeat("x", 215)); !errors.Is(err, wire.ErrFieldTooLong) {
		t.Errorf("215 bytes: %v", err)
	}
}

// Whatever is wrong, the error is the same, text and all.
func TestOpenFieldHasOneError(t *testing.T) {
	t.Parallel()
	key, other := vectors.PrivateKey(t, "docs_test_key.pem"), vectors.PrivateKey(t, "go_sdk_key.pem")
	sealed, err := wire.SealField(&key.PublicKey, "张三")
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := base64.StdEncoding.DecodeString(sealed)
	flipped := append([]byte{}, raw...)
	flipped[100] ^= 1
	sha2, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, &key.PublicKey, []byte("x"), nil)
	if err != nil {
		t.Fatal(err)
	}
	labelled, err := rsa.EncryptOAEP(sha1.New(), rand.Reader, &key.PublicKey, []byte("x"), []byte("label"))
	if err != nil {
		t.Fatal(err)
	}
	encode := base64.StdEncoding.EncodeToString
	for name, tt := range map[string]struct {
		key  *rsa.PrivateKey
		text string
	}{
		"another key":   {other, sealed},
		"one bit":       {key, encode(flipped)},
		"cut short":     {key, encode(raw[:255])},
		"one byte more": {key, encode(append(raw, 0))},
		"SHA-256":       {key, encode(sha2)},
		"a label":       {key, encode(labelled)},
		"not base64":    {key, "!" + sealed[1:]},
		"plaintext":     {key, "张三"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got, err := wire.OpenField(tt.key, tt.text); err != wire.ErrField || got != "" {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	if got, err := wire.OpenField(key, ""); got != "" || err != nil {
		t.Errorf("an empty field became %q, %v", got, err)
	}
}
