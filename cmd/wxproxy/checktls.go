package main

import (
	"context"
	"crypto/x509"
	"strings"

	"github.com/wxproxy/wxproxy/internal/check"
	"github.com/wxproxy/wxproxy/internal/config"
	"github.com/wxproxy/wxproxy/internal/doorcert"
)

// checkedCallback is the TLS of the notify port. It makes nothing: neither an
// order nor a development CA.
func (s *sidecar) checkedCallback() check.Callback {
	t := s.cfg.Notify.TLS
	c := check.Callback{
		Mode: t.Mode, Names: s.cfg.Notify.TLSNames(), Directory: t.ACME.Directory, TestDirectory: t.ACME.Staging(),
		Bound: t.ACME.EAB.KeyID != "", Profile: t.ACME.Profile,
	}
	if t.Mode == config.TLSACME || t.Mode == config.TLSInternal {
		c.Storage, _ = t.StorageDir()
	}
	switch t.Mode {
	case config.TLSFiles:
		c.Certificates = []check.CallbackCertificate{{Name: strings.Join(c.Names, ", "), Load: s.callbackFiles, Fix: "correct notify.tls"}}
	case config.TLSACME:
		c.Roots, _ = acmeRoots(t.ACME) // nil also when the file cannot be used: a trial says so
		storage := certificateStorage(s.cfg)
		for _, name := range c.Names {
			c.Certificates = append(c.Certificates, check.CallbackCertificate{
				Name: name, Fix: "start serve: it sets aside what it cannot use and orders a new one, where it may read and write notify.tls.storage",
				Load: func(ctx context.Context) ([]*x509.Certificate, error) {
					return doorcert.Stored(ctx, storage, t.ACME.Directory, name)
				},
			})
		}
	}
	return c
}

func (s *sidecar) callbackFiles(ctx context.Context) ([]*x509.Certificate, error) {
	t := s.cfg.Notify.TLS
	files, err := doorcert.NewFiles(ctx, doorOptions(s.cfg), doorcert.FilesOptions{
		Certificate: t.Certificate, PrivateKey: t.PrivateKey, Reader: &s.reader,
	})
	if err != nil {
		return nil, err
	}
	return files.Chain()
}
