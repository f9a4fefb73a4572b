package wire

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
)

// ErrSerial: a text is neither a certificate's serial number nor the ID of a
// WeChat Pay public key.
var ErrSerial = errors.New("not a serial number")

// PublicKeyIDPrefix begins the ID of a WeChat Pay public key, which stands
// where a certificate's serial number would.
const PublicKeyIDPrefix = "PUB_KEY_ID_"

const maxSerial = 64

// CheckSerial accepts what may stand in Wechatpay-Serial: 1 to 64 hexadecimal
// digits, or PUB_KEY_ID_ and up to 53 letters and digits.
func CheckSerial(s string) error {
	if s == "" || len(s) > maxSerial {
		return fmt.Errorf("%w: must have 1 to %d characters", ErrSerial, maxSerial)
	}
	if id, ok := strings.CutPrefix(s, PublicKeyIDPrefix); ok {
		if id == "" || strings.IndexFunc(id, notAlphanumeric) >= 0 {
			return fmt.Errorf("%w: %s must be followed by digits or letters", ErrSerial, PublicKeyIDPrefix)
		}
		return nil
	}
	if strings.IndexFunc(s, notHex) >= 0 {
		return fmt.Errorf("%w: must be hexadecimal or start with %s", ErrSerial, PublicKeyIDPrefix)
	}
	return nil
}

// CanonicalSerial makes two spellings of one serial number comparable: upper
// case, no leading zeros. Public key IDs are exact and stay as they are.
func CanonicalSerial(s string) string {
	if strings.HasPrefix(s, PublicKeyIDPrefix) {
		return s
	}
	t := strings.TrimLeft(strings.ToUpper(s), "0")
	if t == "" && s != "" {
		return "0"
	}
	return t
}

// CertificateSerial is the serial number as WeChat Pay writes it: upper case
// hexadecimal, two digits a byte.
func CertificateSerial(c *x509.Certificate) string {
	return fmt.Sprintf("%X", c.SerialNumber.Bytes())
}

func notHex(r rune) bool {
	return (r < '0' || r > '9') && (r < 'a' || r > 'f') && (r < 'A' || r > 'F')
}

func notAlphanumeric(r rune) bool {
	return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
}
