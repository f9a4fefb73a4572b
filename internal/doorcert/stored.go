package doorcert

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"

	"github.com/caddyserver/certmagic"
)

// Stored reads the chain that a storage holds for a name, without touching
// anything; nil if there is none.
func Stored(ctx context.Context, s certmagic.Storage, directory, name string) ([]*x509.Certificate, error) {
	issuer := certmagic.ACMEIssuer{CA: directory}
	text, err := s.Load(ctx, certmagic.StorageKeys.SiteCert(issuer.IssuerKey(), name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("reading the stored certificate of %s: %w", name, err)
	}
	var chain []*x509.Certificate
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("the stored certificate of %s is malformed: %w", name, err)
		}
		chain = append(chain, c)
	}
	if len(chain) == 0 {
		return nil, fmt.Errorf("the stored certificate of %s is malformed", name)
	}
	return chain, nil
}

// Chain is what is shown, the server's own certificate first.
func (f *Files) Chain() ([]*x509.Certificate, error) {
	var chain []*x509.Certificate
	for _, der := range f.pair.current.Load().Certificate {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		chain = append(chain, c)
	}
	return chain, nil
}
