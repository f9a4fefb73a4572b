package verifier_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"math/big"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wxproxy/wxproxy/internal/wire"
	"github.com/wxproxy/wxproxy/verifier"
)

func block(label string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der})
}

// pki is one of each thing that a user can take for another.
type pki struct {
	public, private, pkcs1, certificate         []byte // DER, RSA 2048
	smallPublic, smallCertificate               []byte
	curvePublic, curvePrivate, curveCertificate []byte
}

func newPKI(t testing.TB) pki {
	t.Helper()
	key := vectors.PrivateKey(t, keyFile)
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	must(t, err)
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	p := pki{pkcs1: x509.MarshalPKCS1PrivateKey(key)}
	for signer, to := range map[crypto.Signer][3]*[]byte{
		key:   {&p.public, &p.private, &p.certificate},
		small: {&p.smallPublic, new([]byte), &p.smallCertificate},
		curve: {&p.curvePublic, &p.curvePrivate, &p.curveCertificate},
	} {
		*to[0], err = x509.MarshalPKIXPublicKey(signer.Public())
		must(t, err)
		*to[1], err = x509.MarshalPKCS8PrivateKey(signer)
		must(t, err)
		template := &x509.Certificate{SerialNumber: big.NewInt(0x5157), NotAfter: time.Unix(2*signedAt, 0)}
		*to[2], err = x509.CreateCertificate(rand.Reader, template, template, signer.Public(), signer)
		must(t, err)
	}
	return p
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestParsePublicKey(t *testing.T) {
	t.Parallel()
	text := block("PUBLIC KEY", newPKI(t).public)
	for name, text := range map[string][]byte{
		"as downloaded": text,
		"CR LF":         bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n")),
		"text around":   slices.Concat([]byte("# pub_key.pem\n"), text, []byte("more\n")),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := verifier.ParsePublicKey(text)
			if err != nil || !got.Equal(vectors.PrivateKey(t, keyFile).Public()) {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

func TestParseCertificate(t *testing.T) {
	t.Parallel()
	certificate, key, err := verifier.ParseCertificate(block("CERTIFICATE", newPKI(t).certificate))
	if err != nil || wire.CertificateSerial(certificate) != "5157" || !key.Equal(vectors.PrivateKey(t, keyFile).Public()) {
		t.Errorf("got %v, %v", key, err)
	}
}

// refusal is a text that is not what was asked for.
type refusal struct {
	text, content []byte
	want          string
}

func (p pki) notPublicKeys() map[string]refusal {
	public := block("PUBLIC KEY", p.public)
	return map[string]refusal{
		"empty":                         {nil, p.public, "no PEM block"},
		"ID in place of the key":        {[]byte(serial), p.public, "no PEM block"},
		"base64 without its frame":      {[]byte(base64.StdEncoding.EncodeToString(p.public)), p.public, "no PEM block"},
		"DER":                           {p.public, p.public, "no PEM block"},
		"last line missing":             {public[:bytes.Index(public, []byte("-----END"))], p.public, "no PEM block"},
		"certificate":                   {block("CERTIFICATE", p.certificate), p.certificate, "certificate"},
		"merchant's key":                {block("PRIVATE KEY", p.private), p.private, "private key"},
		"merchant's key in PKCS#1":      {block("RSA PRIVATE KEY", p.pkcs1), p.pkcs1, "private key"},
		"private key so labelled":       {block("PUBLIC KEY", p.private), p.private, "damaged"},
		"public key of PKCS#1":          {block("RSA PUBLIC KEY", p.public), p.public, "another type"},
		"EC key":                        {block("PUBLIC KEY", p.curvePublic), p.curvePublic, "not RSA"},
		"1024 bits":                     {block("PUBLIC KEY", p.smallPublic), p.smallPublic, "1024 bits"},
		"cut":                           {block("PUBLIC KEY", p.public[:len(p.public)-1]), p.public, "damaged"},
		"with a byte after":             {block("PUBLIC KEY", append(bytes.Clone(p.public), 0)), p.public, "damaged"},
		"block empty":                   {block("PUBLIC KEY", nil), p.public, "damaged"},
		"encrypted private key":         {block("ENCRYPTED PRIVATE KEY", p.private), p.private, "another type"},
		"certificate before it":         {slices.Concat(block("CERTIFICATE", p.certificate), public), p.public, "certificate"},
		"label that is a key":           {block("X"+base64.StdEncoding.EncodeToString(p.private[:48]), p.private), p.private, "another type"},
		"certificate of the wrong kind": {block("TRUSTED CERTIFICATE", p.certificate), p.certificate, "another type"},
	}
}

func (p pki) notCertificates() map[string]refusal {
	return map[string]refusal{
		"empty":           {nil, p.certificate, "no PEM block"},
		"DER":             {p.certificate, p.certificate, "no PEM block"},
		"public key":      {block("PUBLIC KEY", p.public), p.public, "no PEM block CERTIFICATE"},
		"merchant's key":  {block("PRIVATE KEY", p.private), p.private, "no PEM block CERTIFICATE"},
		"key so labelled": {block("CERTIFICATE", p.private), p.private, "damaged"},
		"cut":             {block("CERTIFICATE", p.certificate[:len(p.certificate)-1]), p.certificate, "damaged"},
		"EC certificate":  {block("CERTIFICATE", p.curveCertificate), p.curveCertificate, "not RSA"},
		"1024 bits":       {block("CERTIFICATE", p.smallCertificate), p.smallCertificate, "1024 bits"},
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	p := newPKI(t)
	for kind, tt := range map[string]struct {
		rows  map[string]refusal
		parse func([]byte) error
		want  error
	}{
		"public key": {p.notPublicKeys(), func(text []byte) error {
			_, err := verifier.ParsePublicKey(text)
			return err
		}, verifier.ErrPublicKey},
		"certificate": {p.notCertificates(), func(text []byte) error {
			_, _, err := verifier.ParseCertificate(text)
			return err
		}, verifier.ErrCertificate},
	} {
		for name, r := range tt.rows {
			t.Run(kind+"/"+name, func(t *testing.T) {
				t.Parallel()
				before := bytes.Clone(r.text)
				err := tt.parse(r.text)
				if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), r.want) {
					t.Fatalf("got %v, want %v with %q", err, tt.want, r.want)
				}
				if !bytes.Equal(r.text, before) {
					t.Error("the text was changed; it is the caller's")
				}
				checkSilent(t, err, r)
			})
		}
	}
}

// frame is what the messages may repeat: they explain it.
var frame = regexp.MustCompile(`-----(BEGIN|END) [A-Z ]{1,24}-----\s*`)

// checkSilent searches the error for the input in every form, after a planted
// piece of it was found.
func checkSilent(t *testing.T, err error, r refusal) {
	t.Helper()
	if text := frame.ReplaceAll(r.text, nil); len(text) > 0 && !repeats(err.Error()+string(r.text), r.text) {
		t.Fatal("the search does not find what was planted")
	}
	for _, form := range [][]byte{
		r.text, r.content, []byte(hex.EncodeToString(r.content)), []byte(base64.StdEncoding.EncodeToString(r.content)),
	} {
		if repeats(err.Error(), form) {
			t.Errorf("the error repeats the input: %v", err)
		}
	}
}

func repeats(s string, secret []byte) bool {
	secret = frame.ReplaceAll(secret, nil)
	for i := 0; i+8 <= len(secret); i++ {
		if strings.Contains(s, string(secret[i:i+8])) {
			return true
		}
	}
	return false
}
