package proxy

import (
	"fmt"
	"strings"
)

// Pattern allows a method on paths: "POST /v3/pay/transactions/**". The method
// is exact or "*"; in the path "*" stands for one segment and "**", at the
// end, for all that follow, at least one.
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
	rest, more := strings.CutPrefix(path, "/")
	for _, want := range p.segments {
		if !more {
			return false // no segment is left, which is not the same as an empty one
		}
		if want == "**" {
			return rest != ""
		}
		var segment string
		segment, rest, more = strings.Cut(rest, "/")
		if want != segment && (want != "*" || segment == "") {
			return false
		}
	}
	return !more
}
