package endpoint

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/wxproxy/wxproxy/internal/jsonedit"
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
	// FileUnchecked: the file of an upload is sent whatever digest its meta
	// part promises.
	FileUnchecked bool
	// IdempotencyKey names the body field that makes a repeat harmless. One
	// that no body has withdraws the table's claim.
	IdempotencyKey string

	// SensitiveOff: nothing of the call is encrypted or decrypted.
	SensitiveOff bool
	// Fields to encrypt in the body, to encrypt in the query, and to decrypt
	// in the answer: paths such as receivers[].name, and names of parameters.
	// They are added to the table's; with a - in front they are taken away.
	SensitiveRequest, SensitiveQuery, SensitiveResponse []string
	// Download is where a successful answer has links to files, as in
	// files[].download_url.
	Download string
	// Notify names the member of the body that takes the notify URL; "none"
	// withdraws the table's claim.
	Notify string
	// Family is the rate family.
	Family string
	// Repeatable: a repeat is harmless whatever the body holds.
	Repeatable *bool
	// Executed are the error statuses after which a call may have taken effect.
	Executed []int
	// Statement: what is signed of an answer is its Wechatpay-Statement-Sha1.
	Statement *bool
	// Encrypted names the query parameter that asks for encrypted files.
	Encrypted string
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
		if err := o.apply(e); err != nil {
			errs = append(errs, fmt.Errorf("%w %q %q: %w", ErrBadOverride, o.Method, o.Template, err))
		}
	}
	return errors.Join(errs...)
}

func (o Override) apply(e *Endpoint) error {
	if o.Unsigned != nil {
		e.Unsigned = *o.Unsigned
		e.Statement = e.Statement && !e.Unsigned
	}
	if o.Statement != nil {
		e.Statement = *o.Statement
	}
	if o.Repeatable != nil {
		e.Repeatable = *o.Repeatable
	}
	if o.Executed != nil {
		e.executed = slices.Clone(o.Executed)
	}
	e.EncryptedBy = cmp.Or(o.Encrypted, e.EncryptedBy)
	e.FileUnchecked = o.FileUnchecked
	e.label = cmp.Or(o.Label, e.label)
	e.IdempotencyKey = cmp.Or(o.IdempotencyKey, e.IdempotencyKey)
	e.Family = cmp.Or(o.Family, e.Family)
	if o.Download != "" {
		if err := e.setDownload(o.Download); err != nil {
			return err
		}
	}
	o.applyNotify(e)
	return o.applySensitive(e)
}

func (o Override) applyNotify(e *Endpoint) {
	if o.Notify == "" {
		return
	}
	if e.Body == nil {
		e.Body = &Body{}
	}
	if e.Body.Notify = o.Notify; o.Notify == "none" {
		e.Body.Notify = ""
	}
}

func (o Override) applySensitive(e *Endpoint) (err error) {
	if o.SensitiveOff {
		e.Sensitive = nil
		return nil
	}
	s := e.sensitive()
	if s.request, err = changeFields(s.request, o.SensitiveRequest); err != nil {
		return err
	}
	if s.Query, err = changeFields(s.Query, o.SensitiveQuery); err != nil {
		return err
	}
	s.response, err = changeFields(s.response, o.SensitiveResponse)
	return err
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
	if err := o.checkSensitive(); err != nil {
		return err
	}
	if err := o.checkFacts(); err != nil {
		return err
	}
	if o.Notify != "" && !fieldName.MatchString(o.Notify) {
		return fmt.Errorf("notify URL %q must be the name of a body field, as notify_url, or none", o.Notify)
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

func (o Override) checkFacts() error {
	switch {
	case o.Family != "" && !slices.Contains(families, o.Family):
		return fmt.Errorf("rate family %q must be one of %s", o.Family, strings.Join(families, ", "))
	case o.Statement != nil && *o.Statement && o.Unsigned != nil && *o.Unsigned:
		return errors.New("an answer that is unsigned is no signed statement; keep one of the two")
	case reads(o.Method) && len(o.Executed) > 0:
		return errors.New("a GET executes nothing")
	case slices.ContainsFunc(o.Executed, func(status int) bool { return status < 400 || status > 599 }):
		return errors.New("executed has error statuses only, from 400 to 599")
	case o.Encrypted != "" && !fieldName.MatchString(o.Encrypted):
		return fmt.Errorf("encrypted %q must be the name of a query parameter, as algorithm", o.Encrypted)
	}
	return nil
}

func (o Override) checkSensitive() error {
	if o.SensitiveOff && len(o.SensitiveRequest)+len(o.SensitiveQuery)+len(o.SensitiveResponse) > 0 {
		return errors.New("sensitive fields are given, and sensitive is off; keep one of the two")
	}
	if reads(o.Method) && len(o.SensitiveRequest) > 0 {
		return errors.New("a GET has no body whose fields could be encrypted; those of the query stand in sensitive_query")
	}
	for _, path := range slices.Concat(o.SensitiveRequest, o.SensitiveResponse) {
		if _, err := jsonedit.Compile(strings.TrimPrefix(path, "-")); err != nil {
			return fmt.Errorf("sensitive field %q must be a path such as payer.name, receivers[].name or **.name", path)
		}
	}
	for _, name := range o.SensitiveQuery {
		if !fieldName.MatchString(strings.TrimPrefix(name, "-")) {
			return fmt.Errorf("sensitive query parameter %q must be a name, as card_no", name)
		}
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
