package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Fault is one thing wrong with a config, and what to do about it. It never
// holds the text of a secret field.
type Fault struct {
	File    string // the config file, $VARIABLE or --flag the value came from
	Line    int    // line in File; 0 when it has none
	Key     string // key path, as in merchants[0].serial_no; empty for the file as a whole
	Problem string
	Fix     string
}

// Error is one line: "wxproxy.yaml:12: merchants[0].serial_no: …; fix: …".
func (f Fault) Error() string {
	var b strings.Builder
	b.WriteString(f.File)
	if f.Line > 0 {
		fmt.Fprintf(&b, ":%d", f.Line)
	}
	for _, part := range []string{f.Key, f.Problem} {
		if part == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteString(": ")
		}
		b.WriteString(part)
	}
	if f.Fix != "" {
		b.WriteString("; fix: " + f.Fix)
	}
	return b.String()
}

// Errors is every fault of a config, sorted by line.
type Errors []Fault

// Error is one line a fault.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, f := range e {
		lines[i] = f.Error()
	}
	return strings.Join(lines, "\n")
}

// sorted puts faults in the order of reading: the file's by line, then those
// of variables and flags, which have none.
func (e Errors) sorted() Errors {
	slices.SortStableFunc(e, func(a, b Fault) int {
		if (a.Line == 0) != (b.Line == 0) {
			return cmp.Compare(b.Line, a.Line)
		}
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.File, b.File), cmp.Compare(a.Key, b.Key))
	})
	return e
}
