package doorcert

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// challenged is the name that an authority means, which cannot name an address
// and so asks for its reverse name (RFC 8738, section 6).
func (d *Door) challenged(asked string) string {
	for _, name := range d.opts.Names {
		if ip, err := netip.ParseAddr(name); err == nil && reverseName(ip) == asked {
			return name
		}
	}
	return asked
}

// reverseName is where the DNS keeps what is said about an address.
func reverseName(ip netip.Addr) string {
	var name strings.Builder
	for _, b := range slices.Backward(ip.AsSlice()) {
		if ip.Is4() {
			fmt.Fprintf(&name, "%d.", b)
		} else {
			fmt.Fprintf(&name, "%x.%x.", b&15, b>>4)
		}
	}
	if ip.Is4() {
		return name.String() + "in-addr.arpa"
	}
	return name.String() + "ip6.arpa"
}
