package wire

import (
	"errors"
	"fmt"
	"strings"
)

// ErrTarget: a request target is not one that may be signed.
var ErrTarget = errors.New("request target refused")

// Target is a request target in origin form, byte for byte as on the wire. It
// is never cleaned: path variables are case sensitive and may hold escapes.
type Target struct {
	Path  string // escaped
	Query string // with its "?" when there is one, else empty
}

// String is the target as sent and signed.
func (t Target) String() string { return t.Path + t.Query }

// ParseTarget checks a target that is going to be signed. Only the path
// families of APIv3 pass. Dot segments, empty segments, bytes that cannot
// stand in a target and broken escapes are refused, because two readers could
// take them for two different targets.
func ParseTarget(raw string) (Target, error) {
	for i := range len(raw) {
		if c := raw[i]; c <= ' ' || c >= 0x7f || c == '#' || c == '\\' || c == '"' || c == '<' || c == '>' {
			return Target{}, fmt.Errorf("%w: byte 0x%02X must be percent-encoded", ErrTarget, c)
		}
	}
	var t Target
	if i := strings.IndexByte(raw, '?'); i >= 0 {
		t.Path, t.Query = raw[:i], raw[i:]
	} else {
		t.Path = raw
	}
	if !strings.HasPrefix(t.Path, "/v3/") && !strings.HasPrefix(t.Path, "/hk/v3/") && !strings.HasPrefix(t.Path, "/brand/") {
		return Target{}, fmt.Errorf("%w: only /v3/, /hk/v3/ and /brand/ are signed", ErrTarget)
	}
	if strings.Contains(t.Path, "//") {
		return Target{}, fmt.Errorf("%w: // in the path", ErrTarget)
	}
	for segment := range strings.SplitSeq(t.Path, "/") {
		if err := checkSegment(segment); err != nil {
			return Target{}, err
		}
	}
	return t, nil
}

func checkSegment(s string) error {
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			continue
		}
		if i+2 >= len(s) || notHex(rune(s[i+1])) || notHex(rune(s[i+2])) {
			return fmt.Errorf("%w: broken percent-encoding in the path", ErrTarget)
		}
		if escape := strings.ToLower(s[i+1 : i+3]); escape < "20" || escape == "7f" {
			return fmt.Errorf("%w: encoded control character in the path", ErrTarget)
		}
		i += 2
	}
	if hasDots(s) {
		return fmt.Errorf("%w: dot segment in the path", ErrTarget)
	}
	return nil
}

// hasDots finds a dot segment in what a segment becomes for a reader that
// unescapes before it splits, or that drops what follows a semicolon.
func hasDots(s string) bool {
	if !strings.ContainsAny(s, ".%") {
		return false // nothing here is a dot or could become one
	}
	s = strings.NewReplacer("%2e", ".", "%2f", "/", "%5c", "/", "%3b", ";").Replace(strings.ToLower(s))
	for part := range strings.SplitSeq(s, "/") {
		part, _, _ = strings.Cut(part, ";")
		if part == "." || part == ".." {
			return true
		}
	}
	return false
}
