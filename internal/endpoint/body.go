package endpoint

import (
	_ "embed"
	"fmt"
	"strings"

	"github.com/wxproxy/wxproxy/internal/jsonedit"
)

//go:embed source/body_fields.tsv
var bodyFieldsTSV string

// Body is what is known of a call's JSON body, of the families that matter
// most: payments, refunds, transfers, profit sharing, pay score.
type Body struct {
	// Amounts are in fen, without a fraction.
	Amounts *jsonedit.Paths
	// Objects are those in which a member is required, Required their members:
	// an object's by its path, the body's own under the empty path.
	Objects  *jsonedit.Paths
	Required map[string][]string
	// Notify is the member at the top level that says where WeChat Pay sends
	// the notifies of what the call makes. Empty: the call has none.
	Notify string

	amounts, objects []string // the paths
}

// loadBodies reads which members of bodies are known.
func (t *Table) loadBodies() error {
	for i, row := range rows(bodyFieldsTSV) {
		if err := t.loadBodyField(row); err != nil {
			return fmt.Errorf("reading body_fields.tsv, row %d: %w", i+1, err)
		}
	}
	for _, e := range t.all {
		if e.Body == nil {
			continue
		}
		if err := e.Body.compile(); err != nil {
			return fmt.Errorf("body of %s %s: %w", e.Method, e.Template, err)
		}
	}
	return nil
}

func (t *Table) loadBodyField(row []string) error {
	if len(row) != 5 {
		return fmt.Errorf("%d columns, want 5", len(row))
	}
	e, field := t.Lookup(row[0], row[1]), row[2]
	if e.Template != row[1] {
		return fmt.Errorf("no row %s %s", row[0], row[1])
	}
	if e.Body == nil {
		e.Body = &Body{Required: make(map[string][]string)}
	}
	switch row[3] {
	case "amount":
		e.Body.amounts = append(e.Body.amounts, field)
	case "required":
		e.Body.require(field)
	case "notify":
		e.Body.Notify = field
	default:
		return fmt.Errorf("unknown fact %q", row[3])
	}
	return nil
}

func (b *Body) require(field string) {
	object, name := "", field
	if i := strings.LastIndexByte(field, '.'); i >= 0 {
		object, name = field[:i], field[i+1:]
		if b.Required[object] == nil {
			b.objects = append(b.objects, object)
		}
	}
	b.Required[object] = append(b.Required[object], name)
}

func (b *Body) compile() (err error) {
	if b.Amounts, err = jsonedit.Compile(b.amounts...); err != nil {
		return err
	}
	b.Objects, err = jsonedit.Compile(b.objects...)
	return err
}
