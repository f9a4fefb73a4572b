package check

import (
	"context"
	"slices"

	"github.com/wxproxy/wxproxy/internal/merchant"
)

// merchant lists what loading the merchant's key material finds. What is about
// WeChat Pay's public key goes to the list of platform keys.
func (c *checker) merchant(ctx context.Context, m Merchant, platform *list) []Check {
	own := list{group: "merchant " + m.Name}
	for _, f := range merchant.Inspect(ctx, m.Spec, c.Reader, c.Now) {
		switch f.Name {
		case "public_key", "public_key_id":
			platform.add(m.Name+" "+f.Name, f)
		case "signer":
			if own.failed() {
				continue // it repeats what is wrong above
			}
			own.add(f.Name, f)
		default:
			own.add(f.Name, f)
		}
	}
	return own.checks
}

// add takes over a finding. One that is wrong without stopping the material,
// such as an expired certificate, is a failure here: the user asked.
//
// Of several findings about one thing the last, which knows the most, stays.
func (l *list) add(name string, f merchant.Finding) {
	c := Check{Group: l.group, Name: name, OK: f.OK || f.Unread, Warn: f.OK && f.Warn || f.Unread, Detail: f.Detail, Fix: f.Fix}
	if i := slices.IndexFunc(l.checks, func(c Check) bool { return c.Name == name }); i >= 0 {
		l.checks[i] = c
		return
	}
	l.checks = append(l.checks, c)
}

func (l *list) failed() bool {
	return slices.ContainsFunc(l.checks, func(c Check) bool { return !c.OK })
}
