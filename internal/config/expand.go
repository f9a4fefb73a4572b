package config

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

var variable = regexp.MustCompile(`^\$\{([A-Za-z_][A-Za-z0-9_]{0,127})\}`)

// expand replaces ${NAME} by the environment variable NAME, once: what a
// variable holds is not expanded again. $${ is a literal ${, and a $ that no {
// follows is itself.
func expand(s string, env func(string) (string, bool)) (string, error) {
	var b strings.Builder
	for {
		i := strings.IndexByte(s, '$')
		if i < 0 {
			b.WriteString(s)
			return b.String(), nil
		}
		b.WriteString(s[:i])
		s = s[i:]
		if rest, ok := strings.CutPrefix(s, "$${"); ok {
			b.WriteString("${")
			s = rest
			continue
		}
		if !strings.HasPrefix(s, "${") {
			b.WriteByte('$')
			s = s[1:]
			continue
		}
		m := variable.FindStringSubmatch(s)
		if m == nil {
			return "", errors.New("has a ${ that is not followed by a variable's name and }")
		}
		value, ok := env(m[1])
		if !ok {
			return "", fmt.Errorf("uses the environment variable %s, which is not set", m[1])
		}
		b.WriteString(value)
		s = s[len(m[0]):]
	}
}
