package wire_test

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/wxproxy/wxproxy/internal/wire"
)

// The published signature of a payment holds over our message.
func TestClientMessageVector(t *testing.T) {
	t.Parallel()
	for _, v := range vectors.OfKind(t, "client-sign", 1) {
		message := wire.ClientMessage(v.Lines[0], v.Lines[1], v.Lines[2], v.Lines[3:]...)
		signature, err := base64.StdEncoding.DecodeString(v.Signature)
		if err != nil {
			t.Fatal(err)
		}
		digest := sha256.Sum256(message)
		if err := rsa.VerifyPKCS1v15(&vectors.PrivateKey(t, v.Key).PublicKey, crypto.SHA256, digest[:], signature); err != nil {
			t.Errorf("%s: %v over %q", v.Name, err, message)
		}
	}
}

func TestSignPairsVector(t *testing.T) {
	t.Parallel()
	for _, v := range vectors.OfKind(t, "v2-sign", 1) {
		text, key, _ := strings.Cut(v.String, "&key=")
		pairs := make(map[string]string)
		for pair := range strings.SplitSeq(text, "&") {
			name, value, _ := strings.Cut(pair, "=")
			pairs[name] = value
		}
		got, err := wire.SignPairs(pairs, []byte(key))
		if err != nil || got != v.HMAC {
			t.Errorf("%s: got %s, %v, want %s", v.Name, got, err, v.HMAC)
		}
	}
}

func TestSignPairsRefuses(t *testing.T) {
	t.Parallel()
	good := map[string]string{"mch_id": "1900000001", "package": "abc"}
	for name, pair := range map[string][2]string{
		"& in a value":                           {"package", "abc&mch_id=2"},
		"= in a value":                           {"package", "abc="},
		"a line feed":                            {"package", "abc\n"},
		"NUL":                                    {"package", "a\x00"},
		"DEL":                                    {"package", "a\x7f"},
		"an empty value, which APIv2 leaves out": {"package", ""},
		"& in a name":                            {"a&b", "c"},
		"= in a name":                            {"a=b", "c"},
		"an empty name":                          {"", "c"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pairs := maps.Clone(good)
			if _, err := wire.SignPairs(pairs, []byte("k")); err != nil {
				t.Fatal(err)
			}
			pairs[pair[0]] = pair[1]
			if got, err := wire.SignPairs(pairs, []byte("k")); !errors.Is(err, wire.ErrPair) || got != "" {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}
