package main

import (
	"bytes"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// key identifies a row whatever its variables are called: a request cannot
// tell /policies/{policy_id} from /policies/{out_insurance_no}.
type key struct{ path, method string }

type row struct {
	names      [][]string // of each variable, in order; more than one where sources differ
	attributes []string
}

type endpoints map[key]*row

var variable = regexp.MustCompile(`\{([a-z0-9_]+)\}`)

// makeEndpoints merges the calls, what is known of them, and their sensitive
// fields.
func makeEndpoints(pathsFile, attributesFile, sensitiveFile string) ([]byte, error) {
	paths, err := readTSV(pathsFile, "method", "path_template", "family", "host_note", "title_zh", "sources")
	if err != nil {
		return nil, err
	}
	attributes, err := readTSV(attributesFile, "method", "template", "attribute", "value", "source")
	if err != nil {
		return nil, err
	}
	table := make(endpoints)
	for _, p := range paths {
		table.add(p[0], p[1])
	}
	for _, a := range attributes {
		if a[2] == "row" {
			table.add(a[0], a[1])
		}
	}
	for _, a := range attributes {
		if err := table.give(a[0], a[1], a[2], a[3]); err != nil {
			return nil, fmt.Errorf("%s: %s %s: %w", attributesFile, a[0], a[1], err)
		}
	}
	if err := table.addSensitive(sensitiveFile); err != nil {
		return nil, err
	}
	return table.write(), nil
}

// addSensitive gives the calls their fields that are encrypted with RSA. Of an
// upload it is the part meta that has them, and no other body.
func (t endpoints) addSensitive(file string) error {
	fields, err := readTSV(file, "method", "path_template", "json_path", "direction", "location", "required", "field_zh", "sources")
	if err != nil {
		return err
	}
	names := map[[2]string]string{
		{"request", "body"}: "encrypt", {"request", "multipart:meta"}: "encrypt",
		{"request", "query"}: "encrypt-query", {"response", "body"}: "decrypt",
	}
	for _, f := range fields {
		name, ok := names[[2]string{f[3], f[4]}]
		if !ok {
			return fmt.Errorf("%s: %s %s: no field can be in %s %s", file, f[0], f[1], f[3], f[4])
		}
		if err := t.give(f[0], f[1], name, f[2]); err != nil {
			return fmt.Errorf("%s: %s %s: %w", file, f[0], f[1], err)
		}
	}
	return nil
}

func keyOf(method, template string) key {
	return key{variable.ReplaceAllString(template, "{}"), method}
}

func (t endpoints) add(method, template string) {
	k := keyOf(method, template)
	if t[k] == nil {
		t[k] = &row{}
	}
	for i, match := range variable.FindAllStringSubmatch(template, -1) {
		if i == len(t[k].names) {
			t[k].names = append(t[k].names, nil)
		}
		if !slices.Contains(t[k].names[i], match[1]) {
			t[k].names[i] = append(t[k].names[i], match[1])
		}
	}
}

func (t endpoints) give(method, template, attribute, value string) error {
	r := t[keyOf(method, template)]
	if r == nil {
		return fmt.Errorf("no such row; add it with the attribute row")
	}
	switch attribute {
	case "row":
		return nil
	case "unsigned", "statement", "repeatable":
	case "key", "executed", "family", "encrypt", "encrypt-query", "decrypt", "download", "encrypted":
		attribute += "=" + value
	default:
		return fmt.Errorf("unknown attribute %q", attribute)
	}
	r.attributes = append(r.attributes, attribute)
	return nil
}

func (t endpoints) write() []byte {
	var b bytes.Buffer
	b.WriteString(header + "method\ttemplate\tattributes\n")
	keys := slices.SortedFunc(maps.Keys(t), func(a, b key) int {
		return strings.Compare(a.path+" "+a.method, b.path+" "+b.method)
	})
	for _, k := range keys {
		r := t[k]
		slices.Sort(r.attributes)
		r.attributes = slices.Compact(r.attributes)
		fmt.Fprintf(&b, "%s\t%s\t%s\n", k.method, r.template(k.path), strings.Join(r.attributes, " "))
	}
	return b.Bytes()
}

// template puts the variables' names back, all of them where sources differ.
func (r *row) template(path string) string {
	for _, names := range r.names {
		path = strings.Replace(path, "{}", "{"+strings.Join(names, "_or_")+"}", 1)
	}
	return path
}
