package config

import (
	"net/netip"
	"strings"
	"time"
)

// Modes of NotifyTLS.
const (
	TLSOff      = "off"
	TLSFiles    = "files"
	TLSACME     = "acme"
	TLSInternal = "internal"
)

const (
	letsEncrypt        = "https://acme-v02.api.letsencrypt.org/directory"
	letsEncryptStaging = "https://acme-staging-v02.api.letsencrypt.org/directory"
)

// NotifyTLS says who speaks TLS with WeChat Pay.
type NotifyTLS struct {
	// off: plain HTTP; an ingress or load balancer before us speaks TLS. files: with certificate
	// and private_key. acme: a certificate is obtained and renewed by itself. internal: for
	// development, signed by a CA of its own that your machine can be told to trust. Default: off.
	Mode string `yaml:"mode" enum:"off,files,acme,internal"`
	// Names that the port answers for; handshakes for others are refused. Default: the host of
	// public_url; with files those in the certificate; with internal localhost.
	Names []string `yaml:"names"`
	// Name whose certificate a client gets that names none (no SNI). Default: none, such
	// handshakes are refused, unless one of names is an IP address: clients name no addresses.
	DefaultName string `yaml:"default_name"`
	// files: reference to the certificate chain, PEM, the server's own first.
	Certificate Ref `yaml:"certificate" kind:"public"`
	// files: reference to its private key, PEM.
	PrivateKey Ref `yaml:"private_key"`
	// acme, internal: where keys and certificates are kept, as in file:/var/lib/wxproxy/acme.
	// Replicas that share it share one certificate. Default: a directory below state_dir.
	Storage string `yaml:"storage"`
	// acme: whom we ask, and how.
	ACME ACME `yaml:"acme"`
}

// ACME is how a certificate is obtained (RFC 8555).
type ACME struct {
	// Directory of the certificate authority. Default: Let's Encrypt.
	Directory string `yaml:"directory"`
	// Directory that is tried after a failure, until it succeeds, to spare the limits of the
	// first. Default: Let's Encrypt's staging directory when directory is Let's Encrypt, else none.
	TestDirectory string `yaml:"test_directory"`
	// PEM file of the certificates that may sign the directories'. Default: the system's.
	CA string `yaml:"ca" kind:"path"`
	// Whom the authority writes to. Default: none.
	Email string `yaml:"email"`
	// true: you agree to the authority's terms of service. Required with mode acme.
	TermsAgreed bool `yaml:"terms_agreed"`
	// External account binding, where the authority asks for one.
	EAB EAB `yaml:"eab"`
	// Kind of the certificate's key. Default: p256.
	KeyType string `yaml:"key_type" enum:"p256,p384,rsa2048,rsa4096"`
	// Profile of certificate, one of those that the directory lists. Default: the authority's choice.
	Profile string `yaml:"profile"`
	// Address that gets port 80 of the public names, for HTTP-01. host:port. Default: none; port
	// 443 of the public names must reach notify.listen, for TLS-ALPN-01.
	HTTPListen string `yaml:"http_listen"`
	// How often validity and revocation are looked at; less only for certificates that live
	// less than a day. Default: 10m.
	CheckEvery time.Duration `yaml:"check_every"`
}

// EAB binds the ACME account to one that the authority knows.
type EAB struct {
	// Key identifier, as the authority gave it. Given together with hmac_key.
	KeyID string `yaml:"key_id"`
	// Reference to the key, base64url, as the authority gave it.
	HMACKey Ref `yaml:"hmac_key"`
}

// Staging is the directory to try after a failure, empty if there is none.
func (a ACME) Staging() string {
	if a.TestDirectory == "" && a.Directory == letsEncrypt {
		return letsEncryptStaging
	}
	return a.TestDirectory
}

// TLSNames are the names that the notify port answers for, as canonicalName
// writes them. None: those in the certificate.
func (n Notify) TLSNames() []string {
	var names []string
	for _, name := range n.TLS.Names {
		names = append(names, canonicalName(name))
	}
	if len(names) > 0 {
		return names
	}
	if u, err := parseURL(n.PublicURL); err == nil {
		return []string{canonicalName(u.Hostname())}
	}
	if n.TLS.Mode == TLSInternal {
		return []string{"localhost"}
	}
	return nil
}

// DefaultTLSName is default_name as TLSNames has it.
func (n Notify) DefaultTLSName() string { return canonicalName(n.TLS.DefaultName) }

// canonicalName is a name in lower case, or an address as clients and
// authorities write it: 2001:DB8:0::1 is 2001:db8::1.
func canonicalName(name string) string {
	if ip, err := netip.ParseAddr(name); err == nil {
		return ip.Unmap().String()
	}
	return strings.ToLower(name)
}

// StorageDir is the directory of a file: storage, and whether it is one.
func (t NotifyTLS) StorageDir() (dir string, ok bool) {
	return strings.CutPrefix(t.Storage, "file:")
}

func defaultNotifyTLS() NotifyTLS {
	return NotifyTLS{Mode: TLSOff, ACME: ACME{Directory: letsEncrypt, KeyType: "p256", CheckEvery: 10 * time.Minute}}
}

// deriveTLS fills in what follows from other keys.
func (c *Config) deriveTLS(dir string) {
	t := &c.Notify.TLS
	if path, ok := t.StorageDir(); ok && path != "" {
		t.Storage = "file:" + absolute(dir, path)
	}
	if t.Storage == "" && c.StateDir != "" && (t.Mode == TLSACME || t.Mode == TLSInternal) {
		t.Storage = "file:" + absolute(c.StateDir, "tls-"+t.Mode)
	}
}
