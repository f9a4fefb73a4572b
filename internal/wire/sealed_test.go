package wire_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/wechatpay-apiv3/wechatpay-go/utils"

	"github.com/wxproxy/wxproxy/internal/wire"
)

// The official SDK opens what we seal, and we open what it seals.
func TestFieldsOfTheSDK(t *testing.T) {
	t.Parallel()
	key := vectors.PrivateKey(t, "docs_test_key.pem")
	for _, plain := range []string{"张三", "13800138000", " a b\t", strings.Repeat("x", wire.MaxField), strings.Repeat("中", 71)} {
		sealed, err := wire.SealField(&key.PublicKey, plain)
		if err != nil {
			t.Fatal(err)
		}
		if !wire.IsSealedField(sealed, key.Size()) || len(sealed) != 344 {
			t.Errorf("%q does not look sealed", sealed)
		}
		if got, err := utils.DecryptOAEP(sealed, key); err != nil || got != plain {
			t.Errorf("the SDK got %q, %v, want %q", got, err, plain)
		}
		theirs, err := utils.EncryptOAEPWithPublicKey(plain, &key.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := wire.OpenField(key, theirs); err != nil || got != plain || !wire.IsSealedField(theirs, key.Size()) {
			t.Errorf("got %q, %v, want %q", got, err, plain)
		}
	}
}

// A ciphertext is told from a plaintext by its form, to the last digit.
func TestIsSealedField(t *testing.T) {
	t.Parallel()
	raw := make([]byte, 256)
	for i := range raw {
		raw[i] = byte(i)
	}
	sealed := base64.StdEncoding.EncodeToString(raw)
	if !wire.IsSealedField(sealed, 256) {
		t.Fatalf("%s is not taken for one", sealed)
	}
	for name, text := range map[string]string{
		"empty":          "",
		"shorter":        base64.StdEncoding.EncodeToString(raw[:255]),
		"longer":         base64.StdEncoding.EncodeToString(append(raw[:256:256], 0)),
		"no padding":     strings.TrimRight(sealed, "="),
		"base64url":      strings.ReplaceAll(sealed, "/", "_"),
		"line feed":      sealed[:100] + "\n" + sealed[101:],
		"blank":          " " + sealed[1:],
		"trailing bits":  sealed[:341] + "x==",
		"padding within": sealed[:340] + "====",
	} {
		if wire.IsSealedField(text, 256) {
			t.Errorf("%s: %q is taken for one", name, text)
		}
	}
	if wire.IsSealedField(sealed, 384) {
		t.Error("it is taken for one of a larger key")
	}
}

func FuzzIsSealedField(f *testing.F) {
	sealed := base64.StdEncoding.EncodeToString(make([]byte, 256))
	f.Add(sealed)
	f.Add(sealed[:343])
	f.Add(strings.Repeat("=", 344))
	f.Add("张三")
	f.Fuzz(func(t *testing.T, text string) {
		raw, err := base64.StdEncoding.DecodeString(text)
		want := err == nil && len(raw) == 256 && base64.StdEncoding.EncodeToString(raw) == text
		if got := wire.IsSealedField(text, 256); got != want {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
		if want && len(text) <= wire.MaxField {
			t.Errorf("%q could be a plaintext", text)
		}
	})
}
