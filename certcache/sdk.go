package certcache

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"

	"github.com/wechatpay-apiv3/wechatpay-go/core/auth"

	"github.com/wxproxy/wxproxy/internal/wire"
	"github.com/wxproxy/wxproxy/verifier"
)

// SDK is a Cache in the shapes that the official Go SDK takes: auth.Verifier,
// which knows the pinned key too, and core.CertificateGetter.
type SDK struct {
	cache *Cache
	keys  verifier.Keys
}

var _ auth.Verifier = SDK{}

// ForSDK returns the cache for the official SDK; unknown serial numbers are
// looked up within the budget.
func (c *Cache) ForSDK(b Budget) SDK { return SDK{cache: c, keys: c.For(b)} }

// Verify implements auth.Verifier: message is what the signature covers.
func (s SDK) Verify(ctx context.Context, serial, message, signature string) error {
	key, err := s.keys.Lookup(ctx, serial)
	if err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(message))
	raw, err := base64.StdEncoding.Strict().DecodeString(signature)
	if err != nil || rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], raw) != nil {
		return verifier.ErrSignature
	}
	return nil
}

// GetSerial implements auth.Verifier.
func (s SDK) GetSerial(context.Context) (string, error) {
	serial, _, ok := s.cache.Preferred()
	if !ok {
		return "", fmt.Errorf("%w for merchant %s", ErrNoKey, s.cache.Name())
	}
	return serial, nil
}

// Get implements core.CertificateGetter.
func (s SDK) Get(ctx context.Context, serial string) (*x509.Certificate, bool) {
	if _, err := s.keys.Lookup(ctx, serial); err != nil {
		return nil, false
	}
	e, ok := s.cache.trusted.Load().find(serial, s.cache.now())
	if !ok {
		return nil, false
	}
	cert, err := x509.ParseCertificate(e.der)
	return cert, err == nil
}

// GetAll implements core.CertificateGetter.
func (s SDK) GetAll(context.Context) map[string]*x509.Certificate {
	all := make(map[string]*x509.Certificate)
	for _, e := range s.cache.trusted.Load().sorted() {
		if !e.verifies(s.cache.now()) {
			continue
		}
		if cert, err := x509.ParseCertificate(e.der); err == nil { // it was parsed before
			all[wire.CertificateSerial(cert)] = cert
		}
	}
	return all
}

// GetNewestSerial implements core.CertificateGetter; it is empty when there is
// no certificate in effect.
func (s SDK) GetNewestSerial(context.Context) string {
	e, _ := s.cache.trusted.Load().newest(s.cache.now())
	return e.serial
}
