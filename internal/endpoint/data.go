package endpoint

import (
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

//go:embed endpoints.tsv
var endpointsTSV string

//go:embed events.tsv
var eventsTSV string

//go:embed source/event_families.tsv
var familiesTSV string

// load reads the embedded rows. It fails only if the generator and this
// reader disagree, which a test rules out.
func (t *Table) load() error {
	for i, row := range rows(endpointsTSV) {
		if err := t.loadEndpoint(row); err != nil {
			return fmt.Errorf("reading endpoints.tsv, row %d: %w", i+1, err)
		}
	}
	for i, row := range rows(familiesTSV) {
		if err := t.loadFamily(row); err != nil {
			return fmt.Errorf("reading event_families.tsv, row %d: %w", i+1, err)
		}
	}
	t.sortFamilies()
	if err := t.loadDigests(); err != nil {
		return err
	}
	if err := t.loadBodies(); err != nil {
		return err
	}
	return t.loadEvents()
}

// rows splits a table into its fields, leaving out comments and the header.
func rows(tsv string) [][]string {
	var out [][]string
	for line := range strings.Lines(tsv) {
		if !strings.HasPrefix(line, "#") {
			out = append(out, strings.Split(strings.TrimSuffix(line, "\n"), "\t"))
		}
	}
	return out[1:]
}

func (t *Table) loadEndpoint(row []string) error {
	if len(row) != 3 {
		return fmt.Errorf("%d columns, want 3", len(row))
	}
	e := t.at(row[0], row[1])
	for attribute := range strings.FieldsSeq(row[2]) {
		if err := e.set(attribute); err != nil {
			return err
		}
	}
	return nil
}

// set gives e one attribute, written name or name=value.
func (e *Endpoint) set(attribute string) error {
	name, value, _ := strings.Cut(attribute, "=")
	switch name {
	case "unsigned":
		e.Unsigned = true
	case "statement":
		e.Statement = true
	case "repeatable":
		e.Repeatable = true
	case "key":
		e.IdempotencyKey = value
	case "executed":
		return e.setExecuted(value)
	case "family":
		if !slices.Contains(families, value) {
			return fmt.Errorf("unknown rate family %q", value)
		}
		e.Family = value
	case "encrypt":
		e.sensitive().request = append(e.Sensitive.request, value)
	case "encrypt-query":
		e.sensitive().Query = append(e.Sensitive.Query, value)
	case "decrypt":
		e.sensitive().response = append(e.Sensitive.response, value)
	case "download":
		return e.setDownload(value)
	case "encrypted":
		e.EncryptedBy = value
	default:
		return fmt.Errorf("unknown attribute %q", name)
	}
	return nil
}

func (e *Endpoint) setExecuted(list string) error {
	e.executed = nil
	for s := range strings.SplitSeq(list, ",") {
		status, err := strconv.Atoi(s)
		if err != nil {
			return fmt.Errorf("reading status: %w", err)
		}
		e.executed = append(e.executed, status)
	}
	return nil
}
