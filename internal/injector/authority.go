package injector

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Lifetimes of what the injector makes for itself.
type Lifetimes struct {
	CA   time.Duration // 0: 5 years
	Leaf time.Duration // 0: 90 days
	// Settle is how long every API server has to take over a new CA, once it is in the
	// webhook's configuration, before anything is signed by it. 0: 10 minutes.
	Settle time.Duration
}

func (l Lifetimes) orDefaults() Lifetimes {
	if l.CA == 0 {
		l.CA = 5 * 365 * 24 * time.Hour
	}
	if l.Leaf == 0 {
		l.Leaf = 90 * 24 * time.Hour
	}
	if l.Settle == 0 {
		l.Settle = 10 * time.Minute
	}
	return l
}

// skew is how far the clocks of a cluster may be apart.
const skew = 5 * time.Minute

// pki is what the Secret holds: the CA that signs, the one before and the one
// to come, all three trusted, and the certificate that is served.
type pki struct {
	old, ca, next, leaf *pair
}

// pair is a certificate and, but for an old CA, its key.
type pair struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// aged reports whether two thirds of a lifetime have passed.
func (p *pair) aged(now time.Time) bool {
	begin := p.cert.NotBefore.Add(skew)
	return now.Sub(begin) > p.cert.NotAfter.Sub(begin)*2/3
}

// rotate makes what is due. settled says that the API servers have known every
// CA of p for long enough; only then may the next one sign.
func (p *pki) rotate(now time.Time, l Lifetimes, names []string, settled bool) (changed bool, err error) {
	if p.ca == nil || now.After(p.ca.cert.NotAfter) {
		if p.ca, err = issue(now, l.CA, nil, nil); err != nil {
			return false, err
		}
		p.next, changed = nil, true
	}
	if p.old != nil && now.After(p.old.cert.NotAfter) {
		p.old, changed = nil, true
	}
	switch {
	case p.next == nil && p.ca.aged(now):
		if p.next, err = issue(now, l.CA, nil, nil); err != nil {
			return false, err
		}
		changed = true
	case p.next != nil && settled:
		p.old = &pair{cert: p.ca.cert}
		p.ca, p.next, p.leaf, changed = p.next, nil, nil, true
	}
	if p.leaf == nil || p.leaf.aged(now) || p.leaf.cert.CheckSignatureFrom(p.ca.cert) != nil || !slices.Equal(p.leaf.cert.DNSNames, names) {
		if p.leaf, err = issue(now, min(l.Leaf, p.ca.cert.NotAfter.Sub(now)), names, p.ca); err != nil {
			return false, err
		}
		changed = true
	}
	return changed, nil
}

// issue makes a CA, or a certificate that parent signs.
func issue(now time.Time, life time.Duration, names []string, parent *pair) (*pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject:   pkix.Name{CommonName: "wxproxy injector"},
		NotBefore: now.Add(-skew), NotAfter: now.Add(life),
		DNSNames: names, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	signer := parent
	if parent == nil {
		template.Subject.CommonName = "wxproxy injector CA"
		template.IsCA, template.KeyUsage, template.ExtKeyUsage = true, x509.KeyUsageCertSign, nil
		signer = &pair{template, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signer.cert, &key.PublicKey, signer.key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return &pair{cert, key}, err
}

// bundle is every CA that may have signed, in PEM.
func (p *pki) bundle() []byte {
	var out bytes.Buffer
	for _, c := range []*pair{p.old, p.ca, p.next} {
		if c != nil {
			out.Write(encode("CERTIFICATE", c.cert.Raw))
		}
	}
	return out.Bytes()
}

func (p *pki) served() *tls.Certificate {
	return &tls.Certificate{Certificate: [][]byte{p.leaf.cert.Raw}, PrivateKey: p.leaf.key, Leaf: p.leaf.cert}
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// fields are the names of the parts in the Secret.
func (p *pki) fields() map[string]**pair {
	return map[string]**pair{"old-ca": &p.old, "ca": &p.ca, "next-ca": &p.next, "tls": &p.leaf}
}

// data is the Secret; nil removes what is no more.
func (p *pki) data() (map[string][]byte, error) {
	data := make(map[string][]byte)
	for name, part := range p.fields() {
		data[name+".crt"], data[name+".key"] = nil, nil
		if *part == nil {
			continue
		}
		data[name+".crt"] = encode("CERTIFICATE", (*part).cert.Raw)
		if (*part).key == nil {
			continue
		}
		der, err := x509.MarshalPKCS8PrivateKey((*part).key)
		if err != nil {
			return nil, err
		}
		data[name+".key"] = encode("PRIVATE KEY", der)
	}
	return data, nil
}

// readPKI reads the Secret. A part that cannot be read is an error: to make a
// new CA over it would cut off those who trust the old one.
func readPKI(data map[string][]byte) (*pki, error) {
	p := &pki{}
	for name, part := range p.fields() {
		if len(data[name+".crt"]) == 0 {
			continue
		}
		got, err := readPair(data[name+".crt"], data[name+".key"])
		if err != nil {
			return nil, fmt.Errorf("%s.crt or %s.key: %w; empty the Secret to start anew", name, name, err)
		}
		*part = got
	}
	for name, part := range map[string]*pair{"ca": p.ca, "next-ca": p.next, "tls": p.leaf} {
		if part != nil && part.key == nil {
			return nil, fmt.Errorf("%s.key is missing; empty the Secret to start anew", name)
		}
	}
	return p, nil
}

func readPair(certPEM, keyPEM []byte) (*pair, error) {
	block, _ := pem.Decode(certPEM)
	if block == nil {
		return nil, errors.New("not PEM")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, err
	}
	p := &pair{cert: cert}
	if len(keyPEM) == 0 {
		return p, nil
	}
	if block, _ = pem.Decode(keyPEM); block == nil {
		return nil, errors.New("the key is not PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("the key cannot be read")
	}
	ours, ok := key.(*ecdsa.PrivateKey)
	if !ok || !ours.PublicKey.Equal(cert.PublicKey) {
		return nil, errors.New("the key is not the certificate's")
	}
	p.key = ours
	return p, nil
}
