// Package endpoint is the one table that knows WeChat Pay's API: which call a
// request is, whether its answer is signed, whether it may be repeated, and
// how each kind of notify is delivered and answered.
//
// The rows are data, embedded, and made by the generator in gen from the
// files in source, which name where each fact was read. An endpoint or an
// event that is not in the table works: it is signed, verified, forwarded,
// and labelled "other".
package endpoint

import (
	"cmp"
	"slices"
	"strings"

	"github.com/wxproxy/wxproxy/internal/jsonedit"
)

//go:generate go run ./gen

// Table is immutable after New and safe for concurrent use.
type Table struct {
	roots map[string]*node // by method
	all   []*Endpoint

	otherRead  *Endpoint
	otherWrite *Endpoint

	events   map[string]Event
	families []family // longest pattern first

	digests     []digestRule
	digestPaths *jsonedit.Paths
}

// New returns the embedded table with the user's overrides on top. It reports
// every bad override, not only the first.
func New(overrides []Override) (*Table, error) {
	t := &Table{
		roots:      make(map[string]*node),
		otherRead:  newEndpoint("GET", ""),
		otherWrite: newEndpoint("POST", ""),
	}
	t.otherRead.Method, t.otherWrite.Method = "", ""
	if err := t.load(); err != nil {
		return nil, err
	}
	if err := t.override(overrides); err != nil {
		return nil, err
	}
	if err := t.compileSensitive(); err != nil {
		return nil, err
	}
	slices.SortFunc(t.all, func(a, b *Endpoint) int {
		return cmp.Or(strings.Compare(a.Template, b.Template), strings.Compare(a.Method, b.Method))
	})
	return t, nil
}

// Lookup returns the endpoint of a request, given its method and its path as
// escaped on the wire, without the query. It never returns nil and does not
// allocate. Letter case and a trailing slash matter, because they do to
// WeChat Pay; an escaped literal is not the literal.
func (t *Table) Lookup(method, escapedPath string) *Endpoint {
	root := t.roots[method]
	if root != nil && strings.HasPrefix(escapedPath, "/") {
		if e := root.find(escapedPath[1:]); e != nil {
			return e
		}
	}
	if reads(method) {
		return t.otherRead
	}
	return t.otherWrite
}

// Endpoints returns every row, sorted by template and method.
func (t *Table) Endpoints() []*Endpoint { return slices.Clone(t.all) }

// at returns the row of a template, made if there is none yet. A template
// that differs only in its variables' names is the same row and keeps the
// first spelling.
func (t *Table) at(method, template string) *Endpoint {
	if t.roots[method] == nil {
		t.roots[method] = &node{}
	}
	n := t.roots[method].place(template[1:])
	if n.endpoint == nil {
		n.endpoint = newEndpoint(method, template)
		t.all = append(t.all, n.endpoint)
	}
	return n.endpoint
}
