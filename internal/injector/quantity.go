package injector

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// milli is an amount of CPU or memory in thousandths, as Kubernetes writes it:
// 100m, 0.5, 64Mi. Kubernetes' own parser takes more (exponents, E, Ti) and
// costs six modules and 0.6 MB in every sidecar; what pods may ask for their
// sidecar needs none of it.
type milli int64

var plainQuantity = regexp.MustCompile(`^([0-9]{1,9})(?:\.([0-9]{1,3}))?(m|k|M|G|Ki|Mi|Gi)?$`)

// parseQuantity reads an amount above 0.
func parseQuantity(s string) (milli, error) {
	part := plainQuantity.FindStringSubmatch(s)
	if part == nil {
		return 0, fmt.Errorf("%s is not a quantity, as in 100m, 0.5 or 64Mi", shown(s))
	}
	digits := part[1] + (part[2] + "000")[:3] // thousandths
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s is not a quantity: %w", shown(s), err)
	}
	switch unit := part[3]; {
	case unit == "m":
		n = (n + 999) / 1000 // rounded up, as Kubernetes does
	case unit != "":
		base, power := int64(1000), strings.Index("kMG", unit[:1])+1
		if strings.HasSuffix(unit, "i") {
			base, power = 1024, strings.Index("KMG", unit[:1])+1
		}
		for range power {
			if n > 1<<62/base {
				return 0, fmt.Errorf("%s is too large", shown(s))
			}
			n *= base
		}
	}
	if n <= 0 {
		return 0, fmt.Errorf("%s is not more than 0", shown(s))
	}
	return milli(n), nil
}

// units is the amount rounded up to whole ones: bytes, or CPUs.
func (m milli) units() int64 { return (int64(m) + 999) / 1000 }
