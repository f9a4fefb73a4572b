package injector

import (
	"fmt"
	"strconv"
	"strings"
)

// asker collects what is wrong with a pod; each problem says what to change.
type asker struct {
	s         *Settings
	p         *pod
	namespace string
	problems  []string
}

// Bounds on what a pod says to us, which Kubernetes bounds only after we have
// seen it, and on what we say.
const (
	maxOurs     = 32       // annotations; there are fewer kinds
	maxValue    = 64 << 10 // bytes of one: a thousand merchants
	maxProblems = 10
	maxProblem  = 2 << 10 // bytes
	maxMessage  = 4 << 10 // bytes
)

func (a *asker) refuse(format string, args ...any) {
	if !a.full() {
		a.problems = append(a.problems, clip(fmt.Sprintf(format, args...), maxProblem))
	}
}

// full: there is no use in looking for more problems.
func (a *asker) full() bool { return len(a.problems) > maxProblems }

func (a *asker) get(name string) (string, bool) {
	v, ok := a.p.Metadata.Annotations[prefix+name]
	return v, ok
}

// inBounds refuses annotations that are not worth to be looked at one by one.
func (a *asker) inBounds() bool {
	ours := 0
	for key, value := range a.p.Metadata.Annotations {
		if !strings.HasPrefix(key, prefix) {
			continue
		}
		ours++
		if len(value) > maxValue {
			a.refuse("annotation %s has %d bytes, at most %d are read; shorten it", shown(key), len(value), maxValue)
		}
	}
	if ours > maxOurs {
		a.refuse("the pod has %d annotations that begin with %s, at most %d are read; pods may set %s", ours, prefix, maxOurs, known())
	}
	return len(a.problems) == 0
}

// refusal is one text of all problems, empty without any.
func refusal(problems []string) string {
	switch len(problems) {
	case 0:
		return ""
	case 1:
		return clip("wxproxy: "+problems[0], maxMessage)
	}
	var b strings.Builder
	b.WriteString("wxproxy: ")
	if len(problems) > maxProblems {
		b.WriteString("more than ")
		problems = problems[:maxProblems]
	}
	fmt.Fprintf(&b, "%d problems", len(problems))
	for i, p := range problems {
		fmt.Fprintf(&b, "; (%d) %s", i+1, p)
	}
	return clip(b.String(), maxMessage)
}

// some lists names, the first of many.
func some(list []string) string {
	const most = 16
	switch n := len(list); {
	case n == 0:
		return "none"
	case n > most:
		return fmt.Sprintf("%s and %d more", strings.Join(list[:most], ", "), n-most)
	}
	return strings.Join(list, ", ")
}

// shown quotes what came from outside, cut at 64 characters.
func shown(v string) string {
	if len(v) > 64 {
		v = v[:64] + "…"
	}
	return strconv.QuoteToASCII(v)
}

// clip cuts a text that may be long at a number of bytes.
func clip(v string, most int) string {
	if len(v) <= most {
		return v
	}
	return strings.ToValidUTF8(v[:most-len("…")], "") + "…"
}
