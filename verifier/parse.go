package verifier

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

var (
	// ErrPublicKey: a text is not a usable WeChat Pay public key.
	ErrPublicKey = errors.New("not a usable public key")
	// ErrCertificate: a text is not a usable certificate.
	ErrCertificate = errors.New("not a usable certificate")
)

// minKeyBits is WeChat Pay's own size.
const minKeyBits = 2048

// ParsePublicKey reads the PEM file that the merchant console offers as WeChat
// Pay public key (pub_key.pem, SubjectPublicKeyInfo).
func ParsePublicKey(text []byte) (*rsa.PublicKey, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%w: no PEM block; expected the content of pub_key.pem, from -----BEGIN to END-----", ErrPublicKey)
	}
	switch block.Type {
	case "PUBLIC KEY":
	case "CERTIFICATE":
		return nil, fmt.Errorf("%w: this is a certificate; the WeChat Pay public key is a file of its own in the merchant console", ErrPublicKey)
	case "PRIVATE KEY", "RSA PRIVATE KEY":
		clear(block.Bytes)
		return nil, fmt.Errorf("%w: this is a private key", ErrPublicKey)
	default:
		return nil, fmt.Errorf("%w: PEM block of another type; expected PUBLIC KEY", ErrPublicKey)
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%w: the PUBLIC KEY block is damaged", ErrPublicKey)
	}
	return checkKey(parsed, ErrPublicKey)
}

// ParseCertificate reads one PEM certificate and its RSA key.
func ParseCertificate(text []byte) (*x509.Certificate, *rsa.PublicKey, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		if block != nil {
			clear(block.Bytes) // it may be the private key
		}
		return nil, nil, fmt.Errorf("%w: no PEM block CERTIFICATE", ErrCertificate)
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: the CERTIFICATE block is damaged", ErrCertificate)
	}
	key, err := checkKey(c.PublicKey, ErrCertificate)
	if err != nil {
		return nil, nil, err
	}
	return c, key, nil
}

// checkKey looks at type and size when a key enters, so that no later use has to.
func checkKey(key any, kind error) (*rsa.PublicKey, error) {
	k, ok := key.(*rsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("%w: its key is a %T, not RSA", kind, key)
	}
	if bits := k.N.BitLen(); bits < minKeyBits {
		return nil, fmt.Errorf("%w: its key has %d bits, fewer than %d", kind, bits, minKeyBits)
	}
	return k, nil
}
