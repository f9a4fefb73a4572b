package config

import (
	"fmt"
	"time"
)

// A checker collects faults. It knows the config as a whole, for references
// from one section to another.
type checker struct {
	c       *Config
	aliases map[string]bool // of merchants
	faults  Errors
}

// Validate reports every fault of c. It changes nothing; it looks at the files
// that c names and, for a loaded config, at the variables; at nothing else
// outside c.
func (c *Config) Validate() Errors {
	k := &checker{c: c, aliases: make(map[string]bool, len(c.Merchants))}
	for _, m := range c.Merchants {
		k.aliases[m.Name] = true
	}
	k.merchants()
	k.outbound()
	k.notify()
	k.admin()
	k.endpoints()
	k.vault()
	k.listeners()
	k.references()
	return k.faults.sorted()
}

// fault adds a fault, unless the key's value could not even be read.
func (k *checker) fault(key, problem, fix string) {
	if k.c.source.unread(key) {
		return
	}
	file, line := k.c.source.locate(key)
	k.faults = append(k.faults, Fault{File: file, Line: line, Key: key, Problem: problem, Fix: fix})
}

// alias checks a reference to a merchant.
func (k *checker) alias(key, name string) {
	if k.aliases[name] {
		return
	}
	fix := "write the name of an entry of merchants"
	if len(k.c.Merchants) > 0 && aliasName.MatchString(k.c.Merchants[0].Name) {
		fix += ", as in " + k.c.Merchants[0].Name
	}
	k.fault(key, "names no merchant of this config", fix)
}

func (k *checker) duration(key string, d, least, most time.Duration) {
	if d < least || (most > 0 && d > most) {
		fix := fmt.Sprintf("write a duration of at least %v", least)
		if most > 0 {
			fix += fmt.Sprintf(" and at most %v", most)
		}
		k.fault(key, "is out of range", fix)
	}
}

func (k *checker) size(key string, s, least Size) {
	if s < least {
		k.fault(key, "is too small", fmt.Sprintf("write a size of at least %v", least))
	}
}

func (k *checker) rate(key string, r Rate) {
	switch {
	case r.PerSecond < 0 || r.PerSecond != r.PerSecond:
		k.fault(join(key, "per_second"), "is not a rate", "write a number of events a second; 0 is off")
	case r.Burst < 0 || (r.PerSecond > 0 && r.Burst < 1):
		k.fault(join(key, "burst"), "must be at least 1", "write how many may come at once, as in burst: 10")
	}
}

// listeners refuses two ports at one address; what belongs to one would reach
// the other.
func (k *checker) listeners() {
	type listener struct{ key, address string }
	var all []listener
	for i, l := range k.c.Outbound.Listen {
		all = append(all, listener{fmt.Sprintf("outbound.listen[%d].address", i), l.Address})
	}
	all = append(all,
		listener{"notify.listen", k.c.Notify.Listen},
		listener{"notify.tls.acme.http_listen", k.c.Notify.TLS.ACME.HTTPListen},
		listener{"admin.listen", k.c.Admin.Listen},
		listener{"admin.control", k.c.Admin.Control})
	for i, l := range all {
		for _, before := range all[:i] {
			if sameAddress(l.address, before.address) {
				k.fault(l.key, "is the same address as "+before.key, "give each its own port or socket")
				break
			}
		}
	}
}

// address checks one listen address and reports whether it is usable.
func (k *checker) address(key, s string) bool {
	if _, _, err := ParseAddress(s); err != nil {
		k.fault(key, err.Error(), "write an address, as in 127.0.0.1:8080 or unix:/run/wxproxy/api.sock")
		return false
	}
	return true
}
