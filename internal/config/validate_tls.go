package config

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"
)

func (k *checker) notifyTLS() {
	n, t := k.c.Notify, k.c.Notify.TLS
	k.tlsNames(t)
	switch t.Mode {
	case TLSFiles:
		for _, ref := range []struct {
			key string
			ref Ref
		}{{"certificate", t.Certificate}, {"private_key", t.PrivateKey}} {
			if ref.ref.IsZero() {
				k.fault("notify.tls."+ref.key, "is missing for mode files", "write "+ref.key+": file:PATH, PEM")
			}
		}
	case TLSACME:
		k.acme(n)
		k.storage(t)
	case TLSInternal:
		k.storage(t)
		for i, name := range n.TLSNames() {
			if !PrivateName(name) {
				k.fault(nameKey(n, i), "is a public name, for which a development certificate is never made",
					"use mode acme or files, or a name like pay.localhost")
			}
		}
	}
	if t.Mode != TLSOff && strings.HasPrefix(n.PublicURL, "http://") {
		k.fault("notify.public_url", "is http://, and notify.tls has the port speak TLS", "write https://")
	}
}

func (k *checker) tlsNames(t NotifyTLS) {
	seen := map[string]string{}
	for i, name := range t.Names {
		key := fmt.Sprintf("notify.tls.names[%d]", i)
		if strings.HasPrefix(name, "*.") && t.Mode == TLSACME {
			k.fault(key, "is a wildcard, which authorities certify by DNS-01 alone, and this build has no DNS provider", "list each name")
			continue
		}
		if strings.HasPrefix(name, "*.") {
			k.fault(key, "is a wildcard, and handshakes are answered for whole names alone", "list each name; with mode files those in the certificate are answered for where names is left out")
			continue
		}
		if !isHost(name) {
			k.fault(key, "is neither a host name nor an IP address", "write the name alone, as in pay.example.com")
			continue
		}
		k.unique(seen, key, canonicalName(name), "list each name once")
	}
	if t.DefaultName == "" {
		return
	}
	if slices.Contains(k.c.Notify.TLSNames(), k.c.Notify.DefaultTLSName()) {
		return
	}
	if t.Mode != TLSFiles || len(k.c.Notify.TLSNames()) > 0 {
		k.fault("notify.tls.default_name", "is not one of the names that this port answers for", "write one of notify.tls.names")
	}
}

func (k *checker) acme(n Notify) {
	a := n.TLS.ACME
	if len(n.TLSNames()) == 0 {
		k.fault("notify.tls.names", "is missing, and so is public_url: it is not known whose certificate to ask for", "write public_url or names, as in names: [pay.example.com]")
	}
	for i, name := range n.TLSNames() {
		if a.Directory == letsEncrypt && PrivateName(name) {
			k.fault(nameKey(n, i), "is a private name, for which Let's Encrypt gives no certificate", "write a public name, use another acme.directory, or mode internal")
		}
	}
	k.acmeDirectory("notify.tls.acme.directory", a.Directory)
	if a.TestDirectory != "" {
		k.acmeDirectory("notify.tls.acme.test_directory", a.TestDirectory)
	}
	if !a.TermsAgreed {
		k.fault("notify.tls.acme.terms_agreed", "is not true", "read the authority's terms of service, and write terms_agreed: true if you agree")
	}
	if a.Email != "" && (strings.Count(a.Email, "@") != 1 || strings.ContainsAny(a.Email, " <>,:")) {
		k.fault("notify.tls.acme.email", "is not a plain e-mail address", "write the address alone, as in ops@example.com")
	}
	if (a.EAB.KeyID == "") != a.EAB.HMACKey.IsZero() {
		k.fault("notify.tls.acme.eab.hmac_key", "and key_id are given together or not at all", "give both, or neither")
	}
	k.duration("notify.tls.acme.check_every", a.CheckEvery, time.Second, 24*time.Hour)
	if a.HTTPListen != "" {
		if k.address("notify.tls.acme.http_listen", a.HTTPListen) && strings.HasPrefix(a.HTTPListen, unixPrefix) {
			k.fault("notify.tls.acme.http_listen", "is a Unix socket, which the authority cannot reach", "write host:port, as in :80")
		}
	} else if strings.HasPrefix(n.Listen, unixPrefix) {
		k.fault("notify.tls.acme.http_listen", "is missing, and notify.listen is a Unix socket, which the authority cannot reach", "write http_listen: :80, or a host:port in notify.listen")
	}
}

func (k *checker) acmeDirectory(key, text string) {
	u, err := parseURL(text)
	if err == nil && u.Scheme != "https" {
		err = fmt.Errorf("is not https://")
	}
	if err != nil {
		k.fault(key, missingOr(text, err.Error()), "write the authority's directory URL, as in "+letsEncrypt)
	}
}

func (k *checker) storage(t NotifyTLS) {
	const key, fix = "notify.tls.storage", "write file:PATH, as in file:/var/lib/wxproxy/acme, or give state_dir"
	dir, ok := t.StorageDir()
	switch {
	case t.Storage == "":
		k.fault(key, "is missing, and so is state_dir: keys and certificates must outlive a restart", fix)
	case !ok || dir == "":
		k.fault(key, "is not a storage that this build knows", fix)
	default:
		if info, err := os.Stat(dir); err == nil && !info.IsDir() {
			k.fault(key, shown(dir)+" is not a directory", fix)
		}
	}
}

// nameKey is the key that the i-th of Notify.TLSNames comes from.
func nameKey(n Notify, i int) string {
	if len(n.TLS.Names) > 0 {
		return fmt.Sprintf("notify.tls.names[%d]", i)
	}
	return "notify.public_url"
}

// PrivateName reports whether a name or address means something else, or
// nothing, elsewhere: no public authority certifies it.
func PrivateName(name string) bool {
	name = strings.ToLower(name)
	if ip, err := netip.ParseAddr(name); err == nil {
		ip = ip.Unmap()
		return ip.IsLoopback() || ip.IsPrivate()
	}
	for _, suffix := range []string{"localhost", "test", "internal", "local", "home.arpa"} {
		if name == suffix || strings.HasSuffix(name, "."+suffix) {
			return true
		}
	}
	return false
}
