package sim

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
)

// randomHex returns n lower-case hexadecimal digits. crypto/rand.Read does not
// fail: it ends the program instead.
func randomHex(n int) string {
	b := make([]byte, (n+1)/2)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)[:n]
}

// randomDigits returns n decimal digits; that they are not quite evenly spread
// does not matter to an order number.
func randomDigits(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	for i := range b {
		b[i] = '0' + b[i]%10
	}
	return string(b)
}

// randomUUID names a notify, as WeChat Pay does.
func randomUUID() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
