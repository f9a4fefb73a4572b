package check

import (
	"context"

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
		default:
			own.add(f.Name, f)
		}
	}
	return own.checks
}

// add takes over a finding. One that is wrong without stopping the material,
// such as an expired certificate, is a failure here: the user asked.
func (l *list) add(name string, f merchant.Finding) {
	l.checks = append(l.checks, Check{Group: l.group, Name: name, OK: f.OK, Warn: f.OK && f.Warn, Detail: f.Detail, Fix: f.Fix})
}
