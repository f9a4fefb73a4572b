package merchant

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// ErrMaterial: a merchant's key material is missing, unusable or does not fit
// together.
var ErrMaterial = errors.New("key material not usable")

// Finding is the result of one check. It never holds a secret.
type Finding struct {
	Name   string // what was checked, as in "private_key"
	OK     bool   // nothing is wrong
	Warn   bool   // with OK: worth attention; without: wrong, but Reload takes the material all the same
	Unread bool   // neither right nor wrong: the reference was left alone on purpose (secret.ErrUnread)
	Detail string // what was found, naming the reference
	Fix    string // what to do; empty when nothing is wrong
}

// Inspect runs every check that Reload makes and lists them one by one. A
// check whose ground failed is left out: no key, no comparison with the
// certificate.
//
// The zero now means time.Now.
func Inspect(ctx context.Context, spec Spec, reader reader, now func() time.Time) []Finding {
	if now == nil {
		now = time.Now
	}
	_, findings := inspect(ctx, spec, reader, now, nil)
	return findings
}

// stops reports whether the material cannot be used.
func (f Finding) stops() bool { return !f.OK && !f.Warn }

// failures joins what stops the material from being used.
func failures(name string, findings []Finding) error {
	var errs []error
	for _, f := range findings {
		if f.stops() {
			errs = append(errs, fmt.Errorf("merchant %s: %s: %s; %s", name, f.Name, f.Detail, f.Fix))
		}
	}
	if len(errs) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrMaterial, errors.Join(errs...))
}

// warnings are the findings that deserve attention and stop nothing.
func warnings(findings []Finding) []Finding {
	var list []Finding
	for _, f := range findings {
		if f.Warn {
			list = append(list, f)
		}
	}
	return list
}

func hasFinding(list []Finding, f Finding) bool { return slices.Contains(list, f) }
