package endpoint

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// ErrBadOverride is wrapped by every complaint of New about an override.
var ErrBadOverride = errors.New("bad endpoint override")

// Override changes a row of the table, or adds one. A zero field leaves what
// the table says.
type Override struct {
	Method   string // GET, POST, PUT, PATCH or DELETE
	Template string // as /v3/new-thing/{id}; a variable fills a whole segment

	Label string // in metrics and logs

	// Unsigned: true lets successful answers pass without a signature, false
	// requires one.
	Unsigned *bool
	// IdempotencyKey names the body field that makes a repeat harmless. One
	// that no body has withdraws the table's claim.
	IdempotencyKey string
}

var (
	methods   = []string{"GET", "POST", "PUT", "PATCH", "DELETE"}
	prefixes  = []string{"/v3/", "/hk/v3/", "/brand/"}
	literal   = regexp.MustCompile(`^([A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-F]{2})+$`)
	variable  = regexp.MustCompile(`^\{[a-z][a-z0-9_]*\}$`)
	label     = regexp.MustCompile(`^[A-Za-z0-9._/{}-]{1,128}$`)
	fieldName = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
)

func (t *Table) override(overrides []Override) error {
	var errs []error
	seen := make(map[*Endpoint]bool)
	for _, o := range overrides {
		if err := o.check(); err != nil {
			errs = append(errs, fmt.Errorf("%w %q %q: %w", ErrBadOverride, o.Method, o.Template, err))
			continue
		}
		e := t.at(o.Method, o.Template)
		if seen[e] {
			errs = append(errs, fmt.Errorf("%w %q %q: given twice; keep one", ErrBadOverride, o.Method, o.Template))
			continue
		}
		seen[e] = true
		o.apply(e)
	}
	return errors.Join(errs...)
}

func (o Override) apply(e *Endpoint) {
	if o.Unsigned != nil {
		e.Unsigned = *o.Unsigned
		e.Statement = e.Statement && !e.Unsigned
	}
	e.label = cmp.Or(o.Label, e.label)
	e.IdempotencyKey = cmp.Or(o.IdempotencyKey, e.IdempotencyKey)
}

func (o Override) check() error {
	if !slices.Contains(methods, o.Method) {
		return fmt.Errorf("method must be one of %s, in upper case", strings.Join(methods, ", "))
	}
	if err := checkTemplate(o.Template); err != nil {
		return err
	}
	if o.Label != "" && !label.MatchString(o.Label) {
		return fmt.Errorf("label %q must be at most 128 of the characters A-Z a-z 0-9 . _ / { } -", o.Label)
	}
	if o.IdempotencyKey == "" {
		return nil
	}
	if reads(o.Method) {
		return errors.New("a GET needs no idempotency key; it may always be repeated")
	}
	if !fieldName.MatchString(o.IdempotencyKey) {
		return fmt.Errorf("idempotency key %q must be the name of a body field, as out_trade_no", o.IdempotencyKey)
	}
	return nil
}

func checkTemplate(template string) error {
	if !slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(template, p) }) {
		return fmt.Errorf("path must begin with %s", strings.Join(prefixes, ", "))
	}
	segments := strings.Split(template[1:], "/")
	if last := len(segments) - 1; segments[last] == "" {
		segments = segments[:last] // a trailing slash is part of some names
	}
	for _, s := range segments {
		if !variable.MatchString(s) && (!literal.MatchString(s) || !fillsVariable(s)) {
			return fmt.Errorf("path segment %q must be text or a {variable}", s)
		}
	}
	return nil
}
