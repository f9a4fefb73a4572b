package config

import (
	"fmt"
	"io/fs"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strings"

	"github.com/wxproxy/wxproxy/internal/secret"
)

// For every user of the machine.
const (
	othersRead  fs.FileMode = 0o004
	othersWrite fs.FileMode = 0o002
)

// Warnings reports what is allowed but hardly meant, such as a private key
// that every user of the machine can read.
func (c *Config) Warnings() []Fault {
	k := &checker{c: c}
	k.readableSecrets()
	if c.Outbound.SocketMode&othersWrite != 0 && len(c.Outbound.Callers) == 0 && anySocket(c.Outbound.Listen) {
		k.fault("outbound.socket_mode", "lets every user of this machine ask for signatures", "write 0660, or list outbound.callers")
	}
	if c.Notify.Listen != "" && len(c.Notify.Routes) == 0 {
		k.fault("notify.listen", "is open and there are no routes: every notify is answered 503", "add notify.routes, or remove it")
	}
	for i, p := range c.Notify.TrustedProxies {
		if p.Bits() == 0 {
			k.fault(fmt.Sprintf("notify.trusted_proxies[%d]", i), "believes X-Forwarded-For of anyone", "list the networks of your own proxies")
		}
	}
	k.transitKeys()
	k.unusedTLS(c.Notify.TLS)
	for i, e := range c.Endpoints {
		if e.Unsigned != nil && *e.Unsigned {
			k.fault(fmt.Sprintf("endpoints[%d].unsigned", i), "lets answers of this endpoint pass unverified", "remove it unless WeChat Pay really does not sign them")
		}
	}
	return k.faults.sorted()
}

// transitKeys tells what a key that stays in Vault cannot do.
func (k *checker) transitKeys() {
	for i, m := range k.c.Merchants {
		if m.PrivateKey.Scheme == secret.SchemeTransit {
			k.fault(fmt.Sprintf("merchants[%d].private_key", i),
				"stays in Vault's Transit, which cannot decrypt sensitive fields (RSA-OAEP with SHA-1): those of answers and notifies stay encrypted",
				"fine if the app does not read them; else keep the key as vault: or file:, or let the app decrypt them")
		}
	}
}

// unusedTLS names keys that do nothing in this mode: who sets them believes
// that they do.
func (k *checker) unusedTLS(t NotifyTLS) {
	for _, row := range []struct {
		key   string
		set   bool
		modes []string
	}{
		{"certificate", !t.Certificate.IsZero(), []string{TLSFiles}},
		{"private_key", !t.PrivateKey.IsZero(), []string{TLSFiles}},
		{"storage", t.Storage != "", []string{TLSACME, TLSInternal}},
		{"acme", t.ACME != defaultNotifyTLS().ACME, []string{TLSACME}},
		{"names", len(t.Names) > 0, []string{TLSFiles, TLSACME, TLSInternal}},
		{"default_name", t.DefaultName != "", []string{TLSFiles, TLSACME, TLSInternal}},
	} {
		if row.set && !slices.Contains(row.modes, t.Mode) {
			k.fault("notify.tls."+row.key, "is given, and mode "+t.Mode+" does not use it", "remove it, or write mode: "+strings.Join(row.modes, " or "))
		}
	}
}

// readableSecrets looks at files that hold secrets; certificates and public
// keys may be read by all.
func (k *checker) readableSecrets() {
	if runtime.GOOS == "windows" { // permission bits say nothing there
		return
	}
	everything(reflect.ValueOf(k.c).Elem(), "", func(key string, v reflect.Value, tag reflect.StructTag) {
		ref, ok := reflect.TypeAssert[Ref](v)
		if !ok || ref.Scheme != "file" || tag.Get("kind") == "public" {
			return
		}
		if info, err := os.Stat(ref.Target); err == nil && info.Mode()&othersRead != 0 {
			k.fault(key, ref.Target+" can be read by every user of this machine", "chmod 600, owned by the user that runs wxproxy")
		}
	})
}
