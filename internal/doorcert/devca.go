package doorcert

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"
)

// Files of a development CA.
const (
	rootFile = "root.crt" // to be trusted
	keyFile  = "root.key"
)

// ErrPublicName: a development certificate is never made for it.
var ErrPublicName = errors.New("is a public name")

// privateDomains and privateNetworks are what a development CA may sign for.
// The certificate itself says so: who steals the key of a CA that a developer
// trusts gains no more than names of that machine and its network.
var (
	privateDomains  = []string{"localhost", "test", "internal", "local", "home.arpa"}
	privateNetworks = []string{"127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7"}
)

// devCA signs for private names.
type devCA struct {
	root *x509.Certificate
	key  *ecdsa.PrivateKey
	file string // of the root
}

// openCA reads the CA of a directory, and makes it where there is none. Of two
// processes that do so at the same time one makes it.
func openCA(dir string, now time.Time) (*devCA, error) {
	ca, err := readCA(dir)
	if errors.Is(err, fs.ErrNotExist) {
		if err := createCA(dir, now); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("making a development CA: %w", err)
		}
		ca, err = readCA(dir)
	}
	switch {
	case err != nil:
		return nil, err
	case !valid(ca.root, now):
		return nil, fmt.Errorf("the development CA in %s has expired; remove that directory, and trust the new one", dir)
	}
	return ca, nil
}

func readCA(dir string) (*devCA, error) {
	ca := &devCA{file: filepath.Join(dir, rootFile)}
	text, err := os.ReadFile(ca.file)
	if err != nil {
		return nil, err
	}
	secret, err := os.ReadFile(filepath.Join(dir, keyFile))
	if err != nil {
		return nil, err
	}
	defer clear(secret)
	broken := fmt.Errorf("%s and %s in %s are not a CA and its key; remove that directory, and trust the new one", rootFile, keyFile, dir)
	rootBlock, _ := pem.Decode(text)
	keyBlock, _ := pem.Decode(secret)
	if rootBlock == nil || keyBlock == nil {
		return nil, broken
	}
	if ca.root, err = x509.ParseCertificate(rootBlock.Bytes); err != nil {
		return nil, broken
	}
	if ca.key, err = x509.ParseECPrivateKey(keyBlock.Bytes); err != nil || !ca.key.PublicKey.Equal(ca.root.PublicKey) {
		return nil, broken
	}
	return ca, nil
}

// createCA writes a new CA into a directory beside its place and moves that
// there: no process ever sees half of it.
func createCA(dir string, now time.Time) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return err
	}
	made, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+"-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(made)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	root, err := rootCertificate(key, now)
	if err != nil {
		return err
	}
	secret, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	if err := errors.Join(
		writePEM(filepath.Join(made, rootFile), "CERTIFICATE", root, 0o644),
		writePEM(filepath.Join(made, keyFile), "EC PRIVATE KEY", secret, 0o600),
	); err != nil {
		return err
	}
	err = os.Rename(made, dir) // onto an empty directory at most
	if _, there := os.Stat(filepath.Join(dir, rootFile)); err != nil && there == nil {
		return fs.ErrExist
	}
	return err
}

func rootCertificate(key *ecdsa.PrivateKey, now time.Time) ([]byte, error) {
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: fmt.Sprintf("wxproxy development CA %08x", serial.Uint64()>>32)},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(10, 0, 0),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign,
		ExtKeyUsage:                 []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, // name constraints bind nothing else that it could sign
		PermittedDNSDomainsCritical: true, PermittedDNSDomains: privateDomains,
	}
	for _, text := range privateNetworks {
		_, network, err := net.ParseCIDR(text)
		if err != nil {
			return nil, err
		}
		template.PermittedIPRanges = append(template.PermittedIPRanges, network)
	}
	return x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
}

// leafLife is short enough for every client; the leaf is made anew in time.
const leafLife = 30 * 24 * time.Hour

// sign makes a certificate for one name.
func (ca *devCA) sign(name string, now time.Time) (der []byte, key *ecdsa.PrivateKey, err error) {
	serial, err := newSerial()
	if err != nil {
		return nil, nil, err
	}
	if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(leafLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	if ip := net.ParseIP(name); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{name}
	}
	der, err = x509.CreateCertificate(rand.Reader, template, ca.root, &key.PublicKey, ca.key)
	return der, key, err
}

func newSerial() (*big.Int, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 126))
	if err != nil {
		return nil, err
	}
	return serial.Add(serial, big.NewInt(1)), nil
}

func writePEM(file, kind string, der []byte, mode fs.FileMode) error {
	return os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), mode)
}

// private reports whether the CA's own constraints allow a name.
func private(name string) bool {
	if ip, err := netip.ParseAddr(name); err == nil {
		for _, text := range privateNetworks {
			if p, err := netip.ParsePrefix(text); err == nil && p.Contains(ip.Unmap()) {
				return true
			}
		}
		return false
	}
	for _, domain := range privateDomains {
		if name == domain || len(name) > len(domain) && name[len(name)-len(domain)-1:] == "."+domain {
			return true
		}
	}
	return false
}
