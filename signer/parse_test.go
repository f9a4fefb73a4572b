package signer_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/wxproxy/wxproxy/signer"
)

func block(label string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der})
}

func TestParsePrivateKey(t *testing.T) {
	t.Parallel()
	want := vectors.PrivateKey(t, keyFile)
	pkcs8 := vectors.File(t, keyFile)
	for name, text := range map[string][]byte{
		"PKCS#8":                      pkcs8,
		"PKCS#1":                      block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(want)),
		"CR LF":                       bytes.ReplaceAll(pkcs8, []byte("\n"), []byte("\r\n")),
		"without line feed at end":    bytes.TrimSpace(pkcs8),
		"with text before and after":  slices.Concat([]byte("Bag Attributes\n"), pkcs8, []byte("\nmore\n")),
		"with a certificate after it": slices.Concat(pkcs8, block("CERTIFICATE", []byte{1})),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := bytes.Clone(text)
			got, err := signer.ParsePrivateKey(text)
			if err != nil || !got.Equal(want) {
				t.Errorf("got another key, %v", err)
			}
			if !bytes.Equal(text, before) {
				t.Error("the text was changed; it is the caller's")
			}
			if got != nil && got.Validate() != nil {
				t.Error("clearing the PEM block damaged the key")
			}
		})
	}
}

// TestParsePrivateKeyOfSmallSize: the size is New's to judge, which knows the
// same of keys that live elsewhere.
func TestParsePrivateKeyOfSmallSize(t *testing.T) {
	t.Parallel()
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	key, err := signer.ParsePrivateKey(block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(small)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := signer.New(signer.Credential{ID: mchID, Serial: serial, Key: key}, nil); err == nil {
		t.Error("a key of 1024 bits was accepted")
	}
}

// refused are texts that are not keys, by what the user did, with the DER that
// must not come up in the error.
func refused(t *testing.T) map[string]struct {
	text, secret []byte
	want         string
} {
	t.Helper()
	key := vectors.PrivateKey(t, keyFile)
	pkcs1 := x509.MarshalPKCS1PrivateKey(key)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	curve8, err := x509.MarshalPKCS8PrivateKey(curve)
	if err != nil {
		t.Fatal(err)
	}
	curve1, err := x509.MarshalECPrivateKey(curve)
	if err != nil {
		t.Fatal(err)
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	edwards8, err := x509.MarshalPKCS8PrivateKey(edwards)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	old := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: pkcs1, Headers: map[string]string{
		"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00112233445566778899AABBCCDDEEFF",
	}})
	text := vectors.File(t, keyFile)
	return map[string]struct {
		text, secret []byte
		want         string
	}{
		"empty":                       {nil, pkcs8, "no PEM block"},
		"base64 without its frame":    {[]byte(base64.StdEncoding.EncodeToString(pkcs8)), pkcs8, "no PEM block"},
		"hexadecimal":                 {[]byte(hex.EncodeToString(pkcs8)), pkcs8, "no PEM block"},
		"DER":                         {pkcs8, pkcs8, "no PEM block"},
		"last line missing":           {text[:bytes.Index(text, []byte("-----END"))], pkcs8, "no PEM block"},
		"one line for all":            {bytes.ReplaceAll(text, []byte("\n"), []byte(" ")), pkcs8, "no PEM block"},
		"PKCS#1 labelled PKCS#8":      {block("PRIVATE KEY", pkcs1), pkcs1, "labelled PRIVATE KEY"},
		"PKCS#8 labelled PKCS#1":      {block("RSA PRIVATE KEY", pkcs8), pkcs8, "labelled RSA PRIVATE KEY"},
		"encrypted PKCS#8":            {block("ENCRYPTED PRIVATE KEY", pkcs8), pkcs8, "passphrase"},
		"encrypted PKCS#1":            {old, pkcs1, "passphrase"},
		"certificate":                 {vectors.File(t, "go_notify_cert.pem"), pkcs8, "certificate"},
		"certificate before the key":  {slices.Concat(vectors.File(t, "go_notify_cert.pem"), text), pkcs8, "certificate"},
		"public key":                  {block("PUBLIC KEY", public), public, "public key"},
		"EC key":                      {block("PRIVATE KEY", curve8), curve8, "RSA"},
		"EC key in its own form":      {block("EC PRIVATE KEY", curve1), curve1, "another type"},
		"Ed25519 key":                 {block("PRIVATE KEY", edwards8), edwards8, "RSA"},
		"PKCS#8 cut":                  {block("PRIVATE KEY", pkcs8[:len(pkcs8)-1]), pkcs8, "damaged"},
		"PKCS#1 cut":                  {block("RSA PRIVATE KEY", pkcs1[:len(pkcs1)-1]), pkcs1, "damaged"},
		"PKCS#1 with another modulus": {block("RSA PRIVATE KEY", flip(pkcs1, 40)), pkcs1, "damaged"},
		"block empty":                 {block("PRIVATE KEY", nil), pkcs8, "damaged"},
		"label of another kind":       {block("SECRET "+base64.StdEncoding.EncodeToString(pkcs8[:48]), pkcs8), pkcs8, "another type"},
	}
}

func flip(b []byte, i int) []byte {
	b = bytes.Clone(b)
	b[i] ^= 1
	return b
}

func TestParsePrivateKeyRefuses(t *testing.T) {
	t.Parallel()
	for name, tt := range refused(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			key, err := signer.ParsePrivateKey(tt.text)
			if key != nil || !errors.Is(err, signer.ErrPrivateKey) || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want ErrPrivateKey with %q", err, tt.want)
			}
			planted := err.Error() + ": " + string(tt.text)
			if len(frame.ReplaceAll(tt.text, nil)) > 0 && !repeats(planted, tt.text) {
				t.Fatal("the search does not find what was planted")
			}
			for _, form := range [][]byte{
				tt.text, tt.secret, []byte(hex.EncodeToString(tt.secret)), []byte(base64.StdEncoding.EncodeToString(tt.secret)),
			} {
				if repeats(err.Error(), form) {
					t.Errorf("the error repeats the input: %v", err)
				}
			}
		})
	}
}

// frame is what the messages may repeat: they explain it.
var frame = regexp.MustCompile(`-----(BEGIN|END) [A-Z ]{1,24}-----\s*`)

// repeats reports whether any eight bytes of secret stand in s, but for the
// PEM frame.
func repeats(s string, secret []byte) bool {
	secret = frame.ReplaceAll(secret, nil)
	for i := 0; i+8 <= len(secret); i++ {
		if strings.Contains(s, string(secret[i:i+8])) {
			return true
		}
	}
	return false
}
