package proxy

import (
	"fmt"
	"strings"
)

// Pattern allows a method on paths: "POST /v3/pay/transactions/**". The method
// is exact or "*"; in the path "*" stands for one segment and "**", at the
// end, for all that follow.
type Pattern struct {
	method   string
	segments []string
}

// ParsePattern reads a pattern.
func ParsePattern(s string) (Pattern, error) {
	method, path, ok := strings.Cut(s, " ")
	if !ok || method == "" || !strings.HasPrefix(path, "/") || strings.ContainsAny(path, " ?#") {
		return Pattern{}, fmt.Errorf("pattern %q is not \"METHOD /path\"", s)
	}
	segments := strings.Split(path[1:], "/")
	for i, segment := range segments {
		if strings.Contains(segment, "*") && segment != "*" && (segment != "**" || i != len(segments)-1) {
			return Pattern{}, fmt.Errorf("pattern %q: * stands for a whole segment and ** for the rest at the end", s)
		}
	}
	return Pattern{method: method, segments: segments}, nil
}

func (p Pattern) matches(method, path string) bool {
	if p.method != "*" && p.method != method {
		return false
	}
	rest := strings.TrimPrefix(path, "/")
	for _, want := range p.segments {
		if want == "**" {
			return rest != "" // at least one segment, as in the example
		}
		segment, after, more := strings.Cut(rest, "/")
		if want != "*" && want != segment || want == "*" && segment == "" {
			return false
		}
		if !more {
			after = "\x00" // nothing is left, which is not the same as an empty segment
		}
		rest = after
	}
	return rest == "\x00"
}
