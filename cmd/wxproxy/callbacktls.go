package main

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/caddyserver/certmagic"

	"github.com/wxproxy/wxproxy/internal/admin"
	"github.com/wxproxy/wxproxy/internal/config"
	"github.com/wxproxy/wxproxy/internal/doorcert"
)

// callbackTLS is the certificate of the notify port; zero without.
type callbackTLS struct {
	door  *doorcert.Door
	files *doorcert.Files // nil in other modes
}

// makeCallbackTLS comes after the doors: an ACME challenge arrives at one of
// them.
func (s *sidecar) makeCallbackTLS(ctx context.Context) error {
	i := s.doorOf(roleNotify)
	if s.cfg.Notify.TLS.Mode == config.TLSOff || i < 0 {
		return nil
	}
	if err := s.openCallbackTLS(ctx, s.doors[i]); err != nil {
		return fmt.Errorf("notify.tls: %w", err)
	}
	s.doors[i].server.TLSConfig = s.callback.door.TLS()
	return s.registry.Register(s.callback.door.Collector())
}

func (s *sidecar) openCallbackTLS(ctx context.Context, notify door) error {
	o := doorOptions(s.cfg)
	o.Log = s.log
	switch c := s.cfg.Notify; c.TLS.Mode {
	case config.TLSFiles:
		files, err := doorcert.NewFiles(ctx, o, doorcert.FilesOptions{
			Certificate: c.TLS.Certificate, PrivateKey: c.TLS.PrivateKey, Reader: &s.reader,
		})
		if err != nil {
			return err
		}
		s.callback = callbackTLS{files.Door, files}
	case config.TLSInternal:
		internal, err := openInternal(s.cfg, o)
		if err != nil {
			return err
		}
		s.callback.door = internal.Door
		s.log.Warn("development certificate: clients must be told to trust it", "ca", internal.Root, "how", "wxproxy trust -c FILE")
	case config.TLSACME:
		return s.openACME(ctx, o, notify.listener.Addr())
	}
	return nil
}

func doorOptions(c *config.Config) doorcert.Options {
	return doorcert.Options{Names: c.Notify.TLSNames(), DefaultName: c.Notify.DefaultTLSName()}
}

func openInternal(c *config.Config, o doorcert.Options) (*doorcert.Internal, error) {
	dir, _ := c.Notify.TLS.StorageDir() // the config takes directories alone
	return doorcert.NewInternal(o, dir)
}

// openACME opens a door for HTTP-01 too where one is configured.
func (s *sidecar) openACME(ctx context.Context, o doorcert.Options, notify net.Addr) error {
	a := s.cfg.Notify.TLS.ACME
	options := doorcert.ACMEOptions{
		Directory: a.Directory, TestDirectory: a.Staging(), Email: a.Email, TermsAgreed: a.TermsAgreed,
		EABKeyID: a.EAB.KeyID, KeyType: a.KeyType, Profile: a.Profile, Storage: certificateStorage(s.cfg),
		RenewEvery: a.CheckEvery, OCSPEvery: a.CheckEvery,
	}
	if notify.Network() == "tcp" {
		options.Listener = notify
	}
	var err error
	if options.Roots, err = acmeRoots(a); err != nil {
		return err
	}
	if !a.EAB.HMACKey.IsZero() {
		if options.EABKey, err = s.reader.Read(ctx, a.EAB.HMACKey); err != nil {
			return fmt.Errorf("acme.eab.hmac_key: %w", err)
		}
	}
	var challenges func(http.ResponseWriter, *http.Request) // set before anything is served
	if a.HTTPListen != "" {
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { challenges(w, r) })
		if err := s.open(roleChallenge, a.HTTPListen, s.cfg.Outbound.SocketMode, h); err != nil {
			return fmt.Errorf("acme.http_listen: %w", err)
		}
		door := s.doors[len(s.doors)-1]
		// Strangers reach it, and challenges have no bodies.
		boundStrangers(door.server, maxChallengers)
		door.server.ReadTimeout, door.server.WriteTimeout, door.server.IdleTimeout = challengeTimeout, challengeTimeout, challengeTimeout
		options.HTTPListener = door.listener.Addr()
	}
	managed, err := doorcert.NewACME(o, options)
	if err != nil {
		return err
	}
	challenges = managed.ChallengeHandler().ServeHTTP
	s.callback.door = managed.Door
	return nil
}

// challengeTimeout bounds one request for a challenge.
const challengeTimeout = 10 * time.Second

// acmeRoots is nil where the system's certificates are trusted.
func acmeRoots(a config.ACME) (*x509.CertPool, error) {
	if a.CA == "" {
		return nil, nil
	}
	pool, err := addCerts(x509.NewCertPool(), a.CA)
	if err != nil {
		return nil, fmt.Errorf("acme.ca: %w", err)
	}
	return pool, nil
}

// certificateStorage is the one place that knows the kinds of storage; the
// config has refused others.
func certificateStorage(c *config.Config) certmagic.Storage {
	dir, _ := c.Notify.TLS.StorageDir()
	return &certmagic.FileStorage{Path: dir}
}

func (t *callbackTLS) reload(ctx context.Context) error {
	if t.files == nil {
		return nil
	}
	if err := t.files.Reload(ctx); err != nil {
		return fmt.Errorf("notify.tls: %w", err)
	}
	return nil
}

// certificates is the state of those that the notify port shows.
func (s *sidecar) certificates() []admin.Status {
	if s.callback.door == nil {
		return nil
	}
	var list []admin.Status
	for _, c := range s.callback.door.Status() {
		list = append(list, admin.Status{Certificate: c.Name, Ready: c.Ready, Problem: c.Problem, Warning: c.Warning})
	}
	return list
}

// doorOf is the index of the first door of a role, -1 if there is none.
func (s *sidecar) doorOf(r role) int {
	for i, d := range s.doors {
		if d.role == r {
			return i
		}
	}
	return -1
}

// serve answers until the server is shut down.
func (d door) serve() error {
	if d.server.TLSConfig != nil {
		return d.server.ServeTLS(d.listener, "", "")
	}
	return d.server.Serve(d.listener)
}
