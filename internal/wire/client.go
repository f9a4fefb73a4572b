package wire

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// ErrPair: a name or value cannot stand in APIv2's text.
var ErrPair = errors.New("not a name and value of an APIv2 signature")

// ClientMessage is what the signatures cover that a page or app hands to
// WeChat: appid, timestamp, nonce and what the signature is for, as
// prepay_id=…, each ended by a line feed.
func ClientMessage(appID, timestamp, nonce string, lines ...string) []byte {
	text := append([]string{appID, timestamp, nonce}, lines...)
	return []byte(strings.Join(text, "\n") + "\n")
}

// SignPairs is APIv2's HMAC-SHA256 over name=value in the order of the names,
// joined by & and ended by &key= and the APIv2 key; in upper-case hexadecimal.
// A pair that is empty or has & or = or a control character is ErrPair: the
// text could be taken for that of other pairs.
func SignPairs(pairs map[string]string, key []byte) (string, error) {
	mac := hmac.New(sha256.New, key)
	for _, name := range slices.Sorted(maps.Keys(pairs)) {
		value := pairs[name]
		if !isPairText(name) || !isPairText(value) {
			return "", fmt.Errorf("%w: %.64q", ErrPair, name)
		}
		mac.Write([]byte(name + "=" + value + "&"))
	}
	mac.Write([]byte("key="))
	mac.Write(key)
	return strings.ToUpper(hex.EncodeToString(mac.Sum(nil))), nil
}

func isPairText(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == '&' || r == '=' })
}
