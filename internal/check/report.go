package check

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Groups of checks, in the order of the report. Those of a merchant stand
// between the first two, as "merchant NAME".
const (
	GroupConfig   = "Config"
	GroupPlatform = "Platform keys"
	GroupNetwork  = "Network"
	GroupClock    = "Clock"
	GroupNotify   = "Notify"
)

// Check is one line of a report. The JSON names are an interface for machines:
// they are added to and never changed.
type Check struct {
	Group  string `json:"group"`
	Name   string `json:"name"`
	OK     bool   `json:"ok"`   // nothing that stops wxproxy from doing its work
	Warn   bool   `json:"warn"` // only with OK: worth attention
	Detail string `json:"detail"`
	Fix    string `json:"fix"` // what to do; empty when nothing is wrong
}

// Report is the result of all checks.
type Report struct {
	OK     bool    `json:"ok"` // every check is OK
	Checks []Check `json:"checks"`
}

// NewReport judges a list of checks.
func NewReport(checks []Check) Report {
	r := Report{OK: true, Checks: checks}
	for _, c := range checks {
		r.OK = r.OK && c.OK
	}
	return r
}

// WriteJSON writes the report as one JSON object.
func (r Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// palette is how marks look; the zero palette is plain text.
type palette struct{ good, attention, bad, faint, end string }

// WriteText writes the report for people, in colour if the writer is a
// terminal that has it.
func (r Report) WriteText(w io.Writer, colour bool) error {
	var p palette
	if colour {
		p = palette{good: "\x1b[32m", attention: "\x1b[33m", bad: "\x1b[31m", faint: "\x1b[2m", end: "\x1b[0m"}
	}
	b := bufio.NewWriter(w)
	group := ""
	for i, c := range r.Checks {
		if c.Group != group {
			if i > 0 {
				fmt.Fprintln(b)
			}
			group = c.Group
			fmt.Fprintln(b, title(oneLine(group)))
		}
		p.write(b, c)
	}
	fmt.Fprintf(b, "\n%s\n", r.summary())
	return b.Flush()
}

func (p palette) write(w io.Writer, c Check) {
	mark, colour := "✓", p.good
	switch {
	case !c.OK:
		mark, colour = "✗", p.bad
	case c.Warn:
		mark, colour = "!", p.attention
	}
	fmt.Fprintf(w, "  %s%s%s %s%s%s", colour, mark, p.end, p.faint, oneLine(c.Name), p.end)
	if c.Detail != "" {
		fmt.Fprintf(w, "  %s", oneLine(c.Detail))
	}
	fmt.Fprintln(w)
	if c.Fix != "" {
		fmt.Fprintf(w, "      → %s\n", oneLine(c.Fix))
	}
}

func (r Report) summary() string {
	var fine, warned, failed int
	for _, c := range r.Checks {
		switch {
		case !c.OK:
			failed++
		case c.Warn:
			warned++
		default:
			fine++
		}
	}
	return fmt.Sprintf("%d fine, %d to look at, %d failed", fine, warned, failed)
}

// title begins a heading with a capital letter.
func title(s string) string {
	first, size := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(first)) + s[size:]
}

// oneLine keeps texts from outside from moving the cursor or forging lines.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return ' '
		case !unicode.IsPrint(r):
			return '?'
		}
		return r
	}, s)
}

// list gathers the checks of one group.
type list struct {
	group  string
	checks []Check
}

func (l *list) ok(name, format string, args ...any) {
	l.checks = append(l.checks, Check{Group: l.group, Name: name, OK: true, Detail: fmt.Sprintf(format, args...)})
}

func (l *list) warn(name, fix, format string, args ...any) {
	l.checks = append(l.checks, Check{Group: l.group, Name: name, OK: true, Warn: true, Detail: fmt.Sprintf(format, args...), Fix: fix})
}

func (l *list) fail(name, fix, format string, args ...any) {
	l.checks = append(l.checks, Check{Group: l.group, Name: name, Detail: fmt.Sprintf(format, args...), Fix: fix})
}
