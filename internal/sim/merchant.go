package sim

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"time"

	"github.com/wxproxy/wxproxy/internal/wire"
)

// Key is an RSA key pair.
type Key = rsa.PrivateKey

// Merchant is an account that may call the simulator.
type Merchant struct {
	MchID string
	AppID string // the only appid its orders may name; empty: any
	// Certificate is the merchant API certificate; requests are verified with
	// its key. Nil: one is made, with its key.
	Certificate *x509.Certificate
	// PrivateKey is needed to write it out, never to verify.
	PrivateKey *Key
	APIv3Key   string // empty: one is made
}

// SimulatedMchID is the number of the generated merchant. Real ones do not
// begin with 1900000.
const SimulatedMchID = "1900000001"

const (
	keyBits = 2048
	// clockTolerance makes new certificates valid for clocks that are behind.
	clockTolerance = time.Minute
)

func generateKey() (*Key, error) { return rsa.GenerateKey(rand.Reader, keyBits) }

// serial is the merchant certificate's serial number as WeChat Pay writes it.
func (m *Merchant) serial() string { return wire.CertificateSerial(m.Certificate) }

func (m *Merchant) publicKey() *rsa.PublicKey { return m.Certificate.PublicKey.(*rsa.PublicKey) }

// check makes sure that a merchant given from outside can be used.
func (m *Merchant) check() error {
	if !mchIDPattern.MatchString(m.MchID) {
		return fmt.Errorf("mchid %.64q is not 8 to 10 digits", m.MchID)
	}
	if m.Certificate == nil {
		return fmt.Errorf("merchant %s has no certificate", m.MchID)
	}
	public, ok := m.Certificate.PublicKey.(*rsa.PublicKey)
	if !ok {
		return fmt.Errorf("certificate of merchant %s is not RSA", m.MchID)
	}
	if m.PrivateKey != nil && !m.PrivateKey.PublicKey.Equal(public) {
		return fmt.Errorf("private key and certificate of merchant %s are not a pair", m.MchID)
	}
	if len(m.APIv3Key) != wire.APIv3KeyLen {
		return fmt.Errorf("APIv3 key of merchant %s has %d bytes, not %d", m.MchID, len(m.APIv3Key), wire.APIv3KeyLen)
	}
	return nil
}

// prepareKeys reads the credentials of Options.Dir, generates what is missing,
// and writes back what is new. Keys are made at the same time: each takes a
// noticeable part of a second.
func (s *Sim) prepareKeys() error {
	if s.opts.Dir != "" {
		if err := s.takeOver(); err != nil {
			return err
		}
	}
	s.merchants = append(s.merchants, s.opts.Merchants...)
	s.platform = &platform{}
	for _, k := range s.opts.Platform {
		if err := s.platform.add(k); err != nil {
			return err
		}
	}
	if err := s.generateMissing(); err != nil {
		return err
	}
	s.byMchID = make(map[string]*Merchant, len(s.merchants))
	for i := range s.merchants {
		m := &s.merchants[i]
		if err := m.check(); err != nil {
			return err
		}
		if s.byMchID[m.MchID] != nil {
			return fmt.Errorf("merchant %s is given twice", m.MchID)
		}
		s.byMchID[m.MchID] = m
	}
	if s.opts.Dir != "" {
		return s.writeKeys(s.opts.Dir)
	}
	return nil
}

// takeOver uses the credentials of an earlier start. Without a certificate the
// directory has none; with one, what else is missing is a mistake that must not
// be papered over with new keys.
func (s *Sim) takeOver() error {
	_, err := os.Stat(filepath.Join(s.opts.Dir, fileCertificate))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	kept, err := ReadDir(s.opts.Dir)
	if err != nil {
		return err
	}
	s.opts.Merchants, s.opts.Platform = kept.Merchants, kept.Platform
	return nil
}

func (s *Sim) generateMissing() error {
	s.addMerchants()
	var (
		newKey = s.keys()
		tasks  sync.WaitGroup
		made   [2]PlatformKey
		errs   = make([]error, len(s.merchants)+len(made))
	)
	for i := range s.merchants {
		tasks.Go(func() { errs[i] = s.completeMerchant(&s.merchants[i], func() (*Key, error) { return newKey(i) }) })
	}
	if len(s.platform.certificates) == 0 {
		tasks.Go(func() { made[0], errs[len(s.merchants)] = s.newCertificate() })
	}
	if s.platform.public == nil {
		tasks.Go(func() { made[1], errs[len(s.merchants)+1] = s.newPublicKey() })
	}
	tasks.Wait()
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("generating keys: %w", err)
	}
	for _, k := range made {
		if k.PrivateKey == nil {
			continue
		}
		if err := s.platform.add(k); err != nil {
			return err
		}
	}
	return nil
}

func (s *Sim) completeMerchant(m *Merchant, newKey func() (*Key, error)) error {
	if m.APIv3Key == "" {
		m.APIv3Key = randomHex(wire.APIv3KeyLen)
	}
	if m.Certificate != nil {
		return nil
	}
	key, err := newKey()
	if err != nil {
		return err
	}
	subject := pkix.Name{
		CommonName:         m.MchID,
		Organization:       []string{"微信商户系统"},
		OrganizationalUnit: []string{"simulated merchant, not a real one"},
		Locality:           []string{"Shenzhen"},
		Country:            []string{"CN"},
	}
	m.PrivateKey = key
	m.Certificate, err = issue(subject, key, s.now().Add(-clockTolerance))
	return err
}

// issue makes a certificate that looks as WeChat Pay's do: five years, a
// 20-byte serial number, issued by a root that nobody checks.
func issue(subject pkix.Name, key *Key, begin time.Time) (*x509.Certificate, error) {
	number := make([]byte, 20)
	if _, err := rand.Read(number); err != nil {
		return nil, err
	}
	number[0] = number[0]&0x3f | 0x40 // positive, and 40 hexadecimal digits
	template := &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(number),
		Subject:      subject,
		NotBefore:    begin,
		NotAfter:     begin.AddDate(5, 0, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature | x509.KeyUsageDataEncipherment,
	}
	root := &x509.Certificate{Subject: pkix.Name{
		CommonName:         "Tenpay.com Root CA",
		Organization:       []string{"Tenpay.com"},
		OrganizationalUnit: []string{"wxproxy simulator"},
		Locality:           []string{"Shenzhen"},
		Country:            []string{"CN"},
	}}
	der, err := x509.CreateCertificate(rand.Reader, template, root, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("issuing a certificate: %w", err)
	}
	return x509.ParseCertificate(der)
}

var mchIDPattern = regexp.MustCompile(`^[0-9]{8,10}$`)
