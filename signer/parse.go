package signer

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/wxproxy/wxproxy/internal/wire"
)

var (
	// ErrPrivateKey: a text is not a usable private key; the message says what
	// it seems to be instead and never repeats it.
	ErrPrivateKey = errors.New("not a usable private key")
	// ErrSerial: not the serial number of a merchant certificate.
	ErrSerial = errors.New("not the serial number of a merchant API certificate")
)

// maxSerialDigits is RFC 5280's bound of 20 bytes. The same number written in
// decimal, a common mistake, is longer.
const maxSerialDigits = 40

// ParsePrivateKey reads a PEM private key: PKCS#8, as WeChat Pay's tool writes
// apiclient_key.pem, or PKCS#1.
func ParsePrivateKey(text []byte) (*rsa.PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%w: no PEM block; expected the content of apiclient_key.pem, from -----BEGIN to END-----", ErrPrivateKey)
	}
	defer clear(block.Bytes)
	switch block.Type {
	case "PRIVATE KEY":
		return parsePKCS8(block.Bytes)
	case "RSA PRIVATE KEY":
		if block.Headers["DEK-Info"] != "" {
			return nil, fmt.Errorf("%w: it is protected by a passphrase; decrypt it first (openssl pkey -in KEY -out NEW)", ErrPrivateKey)
		}
		return parsePKCS1(block.Bytes)
	case "ENCRYPTED PRIVATE KEY":
		return nil, fmt.Errorf("%w: it is protected by a passphrase; decrypt it first (openssl pkey -in KEY -out NEW)", ErrPrivateKey)
	case "CERTIFICATE":
		return nil, fmt.Errorf("%w: this is a certificate (apiclient_cert.pem?); the key is in apiclient_key.pem", ErrPrivateKey)
	case "PUBLIC KEY":
		return nil, fmt.Errorf("%w: this is a public key", ErrPrivateKey)
	default:
		return nil, fmt.Errorf("%w: PEM block of another type; expected PRIVATE KEY", ErrPrivateKey)
	}
}

// parsePKCS1 names the opposite mistake of the one that parsePKCS8 names.
func parsePKCS1(der []byte) (*rsa.PrivateKey, error) {
	key, err := x509.ParsePKCS1PrivateKey(der)
	if err != nil {
		if _, err := x509.ParsePKCS8PrivateKey(der); err == nil {
			return nil, fmt.Errorf("%w: PKCS#8 content labelled RSA PRIVATE KEY; label it PRIVATE KEY", ErrPrivateKey)
		}
		return nil, fmt.Errorf("%w: the RSA PRIVATE KEY block is damaged", ErrPrivateKey)
	}
	return key, nil
}

// parsePKCS8 names the mistake of putting PKCS#1 bytes under a PKCS#8 label,
// which conversions by hand produce.
func parsePKCS8(der []byte) (*rsa.PrivateKey, error) {
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		if _, err := x509.ParsePKCS1PrivateKey(der); err == nil {
			return nil, fmt.Errorf("%w: PKCS#1 content labelled PRIVATE KEY; label it RSA PRIVATE KEY or convert it (openssl pkey)", ErrPrivateKey)
		}
		return nil, fmt.Errorf("%w: the PRIVATE KEY block is damaged", ErrPrivateKey)
	}
	rsaKey, ok := key.(*rsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%w: it is a %T, WeChat Pay merchants use RSA", ErrPrivateKey, key)
	}
	return rsaKey, nil
}

func checkCertificateSerial(s string) error {
	if strings.HasPrefix(s, wire.PublicKeyIDPrefix) {
		return fmt.Errorf("%w: %s… is the ID of WeChat Pay's public key; take the serial number of apiclient_cert.pem", ErrSerial, wire.PublicKeyIDPrefix)
	}
	if wire.CheckSerial(s) != nil || len(wire.CanonicalSerial(s)) > maxSerialDigits {
		return fmt.Errorf("%w: expected up to 40 hexadecimal digits, not the decimal form (openssl x509 -in apiclient_cert.pem -noout -serial)", ErrSerial)
	}
	return nil
}
