package signer_test

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"testing"
	"time"

	"github.com/wxproxy/wxproxy/internal/wire"
	"github.com/wxproxy/wxproxy/internal/wire/wiretest"
	"github.com/wxproxy/wxproxy/signer"
)

const (
	vectors = wiretest.Dir("../internal/wire/testdata/vectors")

	keyFile = "docs_test_key.pem"
	mchID   = "1900007291"
	serial  = "408B07E79B8269FEC3D5D3E6AB8ED163A6A380DB"
)

func at1554208460() time.Time { return time.Unix(1554208460, 0) }

func newSigner(t testing.TB) *signer.Signer {
	t.Helper()
	return newSignerFor(t, keyFile, mchID, serial)
}

func newSignerFor(t testing.TB, file, mchID, serial string) *signer.Signer {
	t.Helper()
	s, err := signer.New(signer.Credential{ID: mchID, Serial: serial, Key: vectors.PrivateKey(t, file)}, at1554208460)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func parse(t testing.TB, header string) wire.Authorization {
	t.Helper()
	a, err := wire.ParseAuthorization(header)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// holds reports whether the signature is good for the message under s's key,
// by the standard library alone.
func holds(t testing.TB, s *signer.Signer, signature string, message []byte) bool {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(signature)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(message)
	return rsa.VerifyPKCS1v15(s.Public().(*rsa.PublicKey), crypto.SHA256, digest[:], raw) == nil
}
