package doorcert

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"sync"
)

// Internal is a Door for development: a CA of its own, made on first use,
// signs a certificate for each name.
type Internal struct {
	*Door

	// Root is the file of the CA's certificate, which clients are told to trust.
	Root string
}

// NewInternal opens the CA in a directory, or makes it. Every name must be
// private: for a public one the CA would be a way to pose as somebody else.
func NewInternal(o Options, dir string) (*Internal, error) {
	o.setDefaults()
	for _, name := range o.Names {
		if !private(name) {
			return nil, fmt.Errorf("%s %w; a development CA signs for names like pay.localhost alone", name, ErrPublicName)
		}
	}
	ca, err := openCA(dir, o.Now())
	if err != nil {
		return nil, err
	}
	d := &development{ca: ca, opts: o, leaves: make(map[string]*tls.Certificate)}
	for _, name := range o.Names {
		if _, err := d.get(nil, name); err != nil {
			return nil, err
		}
	}
	return &Internal{newDoor(o, d), ca.file}, nil
}

// development is the source of Internal.
type development struct {
	ca   *devCA
	opts Options

	mu sync.Mutex

	leaves map[string]*tls.Certificate
}

// get makes a new leaf when a third of the old one's life is left.
func (d *development) get(_ *tls.ClientHelloInfo, name string) (*tls.Certificate, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.opts.Now()
	if c := d.leaves[name]; c != nil && c.Leaf.NotAfter.Sub(now) > leafLife/3 {
		return c, nil
	}
	der, key, err := d.ca.sign(name, now)
	if err != nil {
		return nil, fmt.Errorf("signing for %s: %w", name, err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("signing for %s: %w", name, err)
	}
	c := &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
	d.leaves[name] = c
	return c, nil
}

func (d *development) names() []string { return d.opts.Names }

func (d *development) leaf(name string) *x509.Certificate {
	if c, err := d.get(nil, name); err == nil {
		return c.Leaf
	}
	return nil
}

func (d *development) problem(string) string { return "" }

func (d *development) run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}
