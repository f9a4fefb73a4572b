package wire_test

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"maps"
	"testing"

	"github.com/wxproxy/wxproxy/internal/wire"
	"github.com/wxproxy/wxproxy/internal/wire/wiretest"
)

const vectors = wiretest.Dir("testdata/vectors")

// TestEveryVectorHasATest counts by kind. A new vector fails here until the
// test of its kind, which repeats the number, covers it.
func TestEveryVectorHasATest(t *testing.T) {
	t.Parallel()
	want := map[string]int{
		"request-sign":      2, // here and in signer
		"client-sign":       1, // here and in signer
		"raw-sign":          1, // signer
		"notify":            1, // verifier
		"aes-gcm-decrypt":   3, // here
		"sm4-gcm-decrypt":   1, // here: refused
		"sm2-verify":        1, // verifier: refused
		"oaep-sha1-decrypt": 1, // here
		"v2-sign":           1, // here
	}
	got := map[string]int{}
	for _, v := range vectors.All(t) {
		got[v.Kind]++
		if v.Status == "" {
			t.Errorf("%s does not name its source", v.Name)
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("kinds %v, want %v", got, want)
	}
}

// TestRequestMessageVectors: RSASSA-PKCS1-v1_5 is deterministic, so one byte
// more or less in the message gives another signature.
func TestRequestMessageVectors(t *testing.T) {
	t.Parallel()
	for _, v := range vectors.OfKind(t, "request-sign", 2) {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			digest := sha256.Sum256(wire.RequestMessage(v.Method, v.URL, v.Timestamp, v.Nonce, []byte(v.Body)))
			signature, err := rsa.SignPKCS1v15(nil, vectors.PrivateKey(t, v.Key), crypto.SHA256, digest[:])
			if err != nil {
				t.Fatal(err)
			}
			if got := base64.StdEncoding.EncodeToString(signature); got != v.Signature {
				t.Errorf("got signature %s, want %s", got, v.Signature)
			}

			header := `WECHATPAY2-SHA256-RSA2048 mchid="` + v.MchID + `",nonce_str="` + v.Nonce +
				`",signature="` + v.Signature + `",timestamp="` + v.Timestamp + `",serial_no="` + v.Serial + `"`
			want := wire.Authorization{
				Scheme: "WECHATPAY2-SHA256-RSA2048", ID: v.MchID, Nonce: v.Nonce,
				Signature: v.Signature, Timestamp: v.Timestamp, Serial: v.Serial,
			}
			if got := want.String(); got != header {
				t.Errorf("got header %s, want %s", got, header)
			}
			if got, err := wire.ParseAuthorization(header); err != nil || got != want {
				t.Errorf("got %+v, %v, want %+v", got, err, want)
			}
		})
	}
}

func TestOpenVectors(t *testing.T) {
	t.Parallel()
	for _, v := range vectors.OfKind(t, "aes-gcm-decrypt", 3) {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			r := wire.Resource{Algorithm: "AEAD_AES_256_GCM", Ciphertext: v.Ciphertext, AssociatedData: v.AAD, Nonce: v.Nonce}
			plain, err := r.Open([]byte(v.KeyText))
			if err != nil || string(plain) != v.Plaintext {
				t.Errorf("got %q, %v, want %q", plain, err, v.Plaintext)
			}
			sealed, err := wire.Seal([]byte(v.KeyText), v.Nonce, v.AAD, []byte(v.Plaintext))
			if err != nil || sealed != v.Ciphertext {
				t.Errorf("sealed %s, %v, want %s", sealed, err, v.Ciphertext)
			}
		})
	}
}

func TestOpenRefusesSM4(t *testing.T) {
	t.Parallel()
	for _, v := range vectors.OfKind(t, "sm4-gcm-decrypt", 1) {
		r := wire.Resource{Algorithm: "AEAD_SM4_GCM", Ciphertext: v.Ciphertext, AssociatedData: v.AAD, Nonce: v.Nonce}
		if plain, err := r.Open([]byte(v.KeyText)); !errors.Is(err, wire.ErrResource) || !errors.Is(err, wire.ErrAlgorithm) {
			t.Errorf("got %q, %v, want ErrAlgorithm", plain, err)
		}
	}
}
