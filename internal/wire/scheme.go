package wire

import "strings"

// Credential schemes: how a request names who signed it, and, in
// Wechatpay-Signature-Type, how WeChat Pay signs for him.
const (
	// SchemeRSA is that of ordinary merchants.
	SchemeRSA = "WECHATPAY2-SHA256-RSA2048"
	// SchemeBrand is that of brands (品牌), for calls under /brand/.
	SchemeBrand = "WECHATPAY-BRAND-SHA256-RSA2048"
)

// schemes holds what differs between them; the signed message is the same. A
// scheme of another algorithm (SM2) would be a row here, and needs a signer and
// a verifier of its own.
var schemes = []struct {
	name   string
	idName string // the field of Authorization that names who signs
	prefix string // of the paths that want the scheme
}{
	{SchemeBrand, "brand_id", "/brand/"},
	{SchemeRSA, "mchid", "/"},
}

// SchemeOf is the scheme that a path wants.
func SchemeOf(path string) string {
	for _, s := range schemes {
		if strings.HasPrefix(path, s.prefix) {
			return s.name
		}
	}
	return SchemeRSA
}

// KnownScheme reports whether this build signs and verifies a scheme.
func KnownScheme(scheme string) bool { return idName(scheme) != "" }

// IDName is what a scheme calls the number of who signs: mchid or brand_id.
// Schemes that are not known are read as mchid's: all others of APIv3 are.
func IDName(scheme string) string {
	if name := idName(scheme); name != "" {
		return name
	}
	return "mchid"
}

func idName(scheme string) string {
	for _, s := range schemes {
		if s.name == scheme {
			return s.idName
		}
	}
	return ""
}
