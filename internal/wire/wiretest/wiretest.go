// Package wiretest reads the published vectors for the tests of the packages
// that they pin. It parses keys with the standard library alone, so that no
// code of ours vouches for itself.
package wiretest

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"
)

// Vector is one published vector; which fields are set depends on Kind.
type Vector struct {
	Name       string   `json:"name"`
	Kind       string   `json:"kind"`
	Status     string   `json:"status"` // its source
	Method     string   `json:"method"`
	URL        string   `json:"url"`
	Timestamp  string   `json:"timestamp"`
	Nonce      string   `json:"nonce"`
	Body       string   `json:"body"`
	Lines      []string `json:"lines"`
	Message    string   `json:"message"`
	MchID      string   `json:"mchid"`
	Serial     string   `json:"serial"`
	Signature  string   `json:"signature"`
	Key        string   `json:"key"`  // file name
	Cert       string   `json:"cert"` // file name
	APIv3Key   string   `json:"api_v3_key"`
	KeyText    string   `json:"key_utf8"`
	AAD        string   `json:"aad"`
	Ciphertext string   `json:"ciphertext"`
	Plaintext  string   `json:"plaintext"`
	String     string   `json:"string"`
	HMAC       string   `json:"hmac_sha256"`
}

// Dir is a folder of vectors.
type Dir string

// All reads every vector.
func (d Dir) All(t testing.TB) []Vector {
	t.Helper()
	var all []Vector
	if err := json.Unmarshal(d.File(t, "vectors.json"), &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// OfKind reads the vectors of one kind and fails if there are not as many as
// expected: a vector that is skipped by accident pins nothing.
func (d Dir) OfKind(t testing.TB, kind string, want int) []Vector {
	t.Helper()
	var list []Vector
	for _, v := range d.All(t) {
		if v.Kind == kind {
			list = append(list, v)
		}
	}
	if len(list) != want {
		t.Fatalf("%d vectors of kind %s, want %d", len(list), kind, want)
	}
	return list
}

// File reads one file of the folder.
func (d Dir) File(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(string(d), name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// PrivateKey reads one of the published test keys.
func (d Dir) PrivateKey(t testing.TB, name string) *rsa.PrivateKey {
	t.Helper()
	key, err := x509.ParsePKCS8PrivateKey(d.der(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return key.(*rsa.PrivateKey)
}

// Certificate reads one of the published certificates.
func (d Dir) Certificate(t testing.TB, name string) *x509.Certificate {
	t.Helper()
	c, err := x509.ParseCertificate(d.der(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (d Dir) der(t testing.TB, name string) []byte {
	t.Helper()
	block, _ := pem.Decode(d.File(t, name))
	if block == nil {
		t.Fatalf("%s is not PEM", name)
	}
	return block.Bytes
}
