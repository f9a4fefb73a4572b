package doorcert

import (
	"crypto/x509"
	"testing"
	"time"
)

// SignAs has the CA of a directory sign for any name, as a thief would.
func SignAs(t *testing.T, dir, name string) (*x509.Certificate, *x509.CertPool) {
	t.Helper()
	ca, err := readCA(dir)
	if err != nil {
		t.Fatal(err)
	}
	der, _, err := ca.sign(name, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca.root)
	return leaf, pool
}

// Bridged is bridged.
var Bridged = bridged
