package certcache

import (
	"fmt"
	"time"
)

// Source says how a key came to be trusted.
type Source string

const (
	SourcePinned      Source = "public_key"  // configured by the user
	SourceCertificate Source = "certificate" // downloaded
)

// Mode says whether certificates are downloaded.
type Mode string

const (
	ModeAuto Mode = "auto" // downloaded and rotated
	ModeNone Mode = "none" // WeChat Pay says that the merchant has none
	ModeOff  Mode = "off"  // turned off in the config
)

// Key is one trusted platform key. The times are zero for a pinned key, which
// has no end.
type Key struct {
	Serial    string    `json:"serial"`
	Source    Source    `json:"source"`
	Preferred bool      `json:"preferred"`
	Effective time.Time `json:"effective,omitzero"`
	Expire    time.Time `json:"expire,omitzero"`    // new use ends
	NotAfter  time.Time `json:"not_after,omitzero"` // verification ends
}

// Status is a view of the moment, for readiness, metrics and people.
type Status struct {
	Name        string    `json:"merchant"`
	Mode        Mode      `json:"mode"`
	Keys        []Key     `json:"keys"`                  // those that verify now: pinned first, then the youngest
	LastRefresh time.Time `json:"last_refresh,omitzero"` // the last successful one
	LastError   string    `json:"last_error,omitempty"`  // of the last refresh; empty after a success
}

// Status never waits for a download.
func (c *Cache) Status() Status {
	last := c.attempts()
	s := Status{Name: c.options.Name, Mode: c.mode(last), LastRefresh: last.success}
	if last.err != nil {
		s.LastError = last.err.Error()
	}
	preferred, _, _ := c.Preferred()
	if id, _ := c.options.Pinned(); id != "" {
		s.Keys = append(s.Keys, Key{Serial: id, Source: SourcePinned, Preferred: id == preferred})
	}
	now := c.now()
	for _, e := range c.trusted.Load().sorted() {
		if e.verifies(now) {
			s.Keys = append(s.Keys, Key{
				Serial: e.serial, Source: SourceCertificate, Preferred: e.serial == preferred,
				Effective: e.effective, Expire: e.expire, NotAfter: e.notAfter,
			})
		}
	}
	return s
}

// Ready is nil when a platform key is trusted; otherwise the error says what
// to do.
func (c *Cache) Ready() error {
	if id, _ := c.options.Pinned(); id != "" || c.trusted.Load().usable(c.now()) {
		return nil
	}
	last := c.attempts()
	name := c.options.Name
	switch mode := c.mode(last); {
	case mode == ModeOff:
		return fmt.Errorf("%w for merchant %s: platform.certificates is off and no WeChat Pay public key is loaded", ErrNoKey, name)
	case mode == ModeNone:
		return fmt.Errorf("%w for merchant %s: WeChat Pay says that it has no platform certificates; download the WeChat Pay public key (pub_key.pem) from the merchant console and set platform.public_key and platform.public_key_id",
			ErrNoKey, name)
	case last.err != nil:
		return fmt.Errorf("%w for merchant %s: %w", ErrNoKey, name, last.err)
	default:
		return fmt.Errorf("%w for merchant %s: platform certificates have not been downloaded yet", ErrNoKey, name)
	}
}

func (c *Cache) mode(last attempts) Mode {
	switch {
	case !c.options.Certificates:
		return ModeOff
	case last.none:
		return ModeNone
	default:
		return ModeAuto
	}
}
