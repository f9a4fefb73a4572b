package endpoint

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/wxproxy/wxproxy/internal/jsonedit"
)

// Sensitive says which values of a call are encrypted one by one with
// RSAES-OAEP: a request's with a key of WeChat Pay, an answer's with the
// merchant's.
type Sensitive struct {
	Request  *jsonedit.Paths // in the body, or in the part meta of an upload; nil: none
	Query    []string        // names of query parameters, sorted; shared, not to be changed
	Response *jsonedit.Paths // nil: none

	request, response []string // the paths
}

// sensitive returns e's fields, to add to.
func (e *Endpoint) sensitive() *Sensitive {
	if e.Sensitive == nil {
		e.Sensitive = &Sensitive{}
	}
	return e.Sensitive
}

// compileSensitive makes the paths ready for use. Calls with the same fields,
// of which there are many, share them.
func (t *Table) compileSensitive() error {
	made := make(map[string]*jsonedit.Paths)
	compile := func(paths []string) (p *jsonedit.Paths, err error) {
		id := strings.Join(paths, " ")
		if p = made[id]; p == nil && len(paths) > 0 {
			p, err = jsonedit.Compile(paths...)
			made[id] = p
		}
		return p, err
	}
	for _, e := range t.all {
		s := e.Sensitive
		if s == nil {
			continue
		}
		var err error
		if s.Request, err = compile(s.request); err == nil {
			s.Response, err = compile(s.response)
		}
		if err != nil {
			return fmt.Errorf("sensitive fields of %s %s: %w", e.Method, e.Template, err)
		}
		slices.Sort(s.Query)
		if s.Request == nil && s.Response == nil && len(s.Query) == 0 {
			e.Sensitive = nil
		}
	}
	return nil
}

// changeFields adds names to a list, or takes away those written with a - in
// front. One that is there already may be added: the table may come to know it.
func changeFields(list, changes []string) ([]string, error) {
	list = slices.Clone(list)
	for _, c := range changes {
		name, remove := strings.CutPrefix(c, "-")
		i := slices.Index(list, name)
		switch {
		case remove && i < 0:
			return nil, fmt.Errorf("sensitive field %q is not in the table, so it cannot be taken away; there are: %s", name, cmp.Or(strings.Join(list, ", "), "none"))
		case remove:
			list = slices.Delete(list, i, i+1)
		case i < 0:
			list = append(list, name)
		}
	}
	return list, nil
}
