package doorcert

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/caddyserver/certmagic"
)

// errUnusable: what is stored cannot serve, and never will.
var errUnusable = errors.New("cannot be used")

// Stored reads the chain that a storage holds for a name, without touching
// anything; nil if there is none. A chain without its key is an error.
func Stored(ctx context.Context, s certmagic.Storage, directory, name string) ([]*x509.Certificate, error) {
	pair, err := storedPair(ctx, s, directory, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return parseChain(pair)
}

// storedKeys are the three entries of a certificate. A renewal writes one after
// the other, and may be killed in between.
func storedKeys(directory, name string) (chain, key, meta string) {
	issuer := (&certmagic.ACMEIssuer{CA: directory}).IssuerKey()
	b := certmagic.StorageKeys
	return b.SiteCert(issuer, name), b.SitePrivateKey(issuer, name), b.SiteMeta(issuer, name)
}

// storedPair is what certmagic would serve for a name. The error is
// fs.ErrNotExist when part of it is missing, which certmagic orders by itself;
// errUnusable when it does not fit together; else it could not be read.
func storedPair(ctx context.Context, s certmagic.Storage, directory, name string) (tls.Certificate, error) {
	chainAt, keyAt, metaAt := storedKeys(directory, name)
	var text [3][]byte
	for i, at := range []string{chainAt, keyAt, metaAt} {
		var err error
		if text[i], err = s.Load(ctx, at); err != nil {
			return tls.Certificate{}, fmt.Errorf("reading the stored certificate of %s: %w", name, err)
		}
	}
	pair, err := tls.X509KeyPair(text[0], text[1])
	if err == nil {
		err = pair.Leaf.VerifyHostname(name)
	}
	if err == nil {
		err = json.Unmarshal(text[2], new(certmagic.CertificateResource))
	}
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("the stored certificate of %s %w (%s with its .key and .json: %w)", name, errUnusable, chainAt, err)
	}
	return pair, nil
}

// renewalLock is what certmagic locks while it orders.
func renewalLock(name string) string { return "issue_cert_" + name }

// setAside takes what cannot be used out of certmagic's sight, so that it
// orders anew: it would believe that it has a certificate, and never look
// again. It waits for whoever is at work on the same entries, and spares what
// they have put right.
func (m *manager) setAside(ctx context.Context, name string) error {
	_, err := storedPair(ctx, m.acme.Storage, m.acme.Directory, name)
	if !errors.Is(err, errUnusable) {
		return nil
	}
	m.note(name, oneLine(err.Error())+"; it is set aside and a new one ordered")
	if err := m.acme.Storage.Lock(ctx, renewalLock(name)); err != nil {
		return fmt.Errorf("waiting for whoever renews: %w", err)
	}
	defer func() {
		if err := m.acme.Storage.Unlock(context.WithoutCancel(ctx), renewalLock(name)); err != nil {
			m.opts.Log.Warn("giving back the lock of a certificate", "name", name, "error", err)
		}
	}()
	_, err = storedPair(ctx, m.acme.Storage, m.acme.Directory, name)
	if !errors.Is(err, errUnusable) {
		return nil
	}
	m.opts.Log.Warn("stored callback certificate set aside; a new one is ordered", "name", name, "problem", oneLine(err.Error()), "kept_as", asideSuffix)
	chain, key, meta := storedKeys(m.acme.Directory, name)
	for _, at := range []string{chain, key, meta} { // whichever goes first, certmagic then misses it
		if err := m.rename(ctx, at, at+asideSuffix); err != nil {
			return fmt.Errorf("setting aside the stored certificate: %w", err)
		}
	}
	return nil
}

const asideSuffix = ".unusable"

func (m *manager) rename(ctx context.Context, from, to string) error {
	text, err := m.acme.Storage.Load(ctx, from)
	if err != nil {
		return err
	}
	if err := m.acme.Storage.Store(ctx, to, text); err != nil {
		return err
	}
	return m.acme.Storage.Delete(ctx, from)
}

// Chain is what is shown, the server's own certificate first.
func (f *Files) Chain() ([]*x509.Certificate, error) { return parseChain(*f.pair.current.Load()) }

func parseChain(pair tls.Certificate) ([]*x509.Certificate, error) {
	var chain []*x509.Certificate
	for _, der := range pair.Certificate {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("a certificate of the chain is malformed: %w", err)
		}
		chain = append(chain, c)
	}
	return chain, nil
}
