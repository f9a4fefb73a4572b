package config

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// notInThisBuild lists keys that are part of the config's plan but not served
// yet. Ignoring them would promise what does not happen.
var notInThisBuild = map[string]string{
	"inbox": "use ack: app on the routes",
}

// maxItems bounds a list: items are compared with each other.
const maxItems = 4096

// A decoder fills a Config from a YAML tree. It reads exactly what the types
// declare: the depth of the walk is theirs, not the file's, and aliases are
// refused, so that no file can make it run long.
type decoder struct {
	src    *source
	dir    string // relative paths start here
	faults Errors
}

// field is where a value goes: its key path and the tags of its struct field.
type field struct {
	key string
	tag reflect.StructTag
}

// defaulter is a list item whose defaults are not all zero.
type defaulter interface{ setDefaults() }

// fault reports a value that cannot be read; Validate then passes over it.
func (d *decoder) fault(key string, line int, problem, fix string) {
	d.src.bad[key] = true
	d.report(key, line, problem, fix)
}

func (d *decoder) report(key string, line int, problem, fix string) {
	d.faults = append(d.faults, Fault{File: d.src.file, Line: line, Key: key, Problem: problem, Fix: fix})
}

// value decodes n into v, which already holds the default.
func (d *decoder) value(n *yaml.Node, v reflect.Value, f field) {
	if _, ok := d.src.lines[f.key]; !ok {
		d.src.lines[f.key] = n.Line
	}
	switch {
	case n.Kind == yaml.AliasNode:
		d.fault(f.key, n.Line, "is a YAML alias, which is not supported", "write the value out; quote a text that begins with *")
	case n.Style&yaml.TaggedStyle != 0:
		d.fault(f.key, n.Line, "has a YAML tag (!…), which is not supported", "write the plain value; quote a text that begins with !")
	case n.Kind == yaml.ScalarNode && n.Tag == "!!null":
		d.null(n, v, f)
	case isScalar(v.Type()):
		d.scalar(n, v, f)
	case v.Kind() == reflect.Slice:
		d.list(n, v, f)
	default:
		d.mapping(n, v, f)
	}
}

// null keeps the default of a section or list whose content is commented out.
// A scalar without a value is more likely forgotten.
func (d *decoder) null(n *yaml.Node, v reflect.Value, f field) {
	if isScalar(v.Type()) {
		d.fault(f.key, n.Line, "has no value", "give "+describe(v.Type(), f.tag)+", or remove the line for the default")
	}
}

func (d *decoder) scalar(n *yaml.Node, v reflect.Value, f field) {
	if n.Kind != yaml.ScalarNode {
		d.fault(f.key, n.Line, "is "+kindName(n)+", not a single value", "write "+describe(v.Type(), f.tag))
		return
	}
	text := n.Value
	if v.Type() != refType { // a reference is read before any expansion
		var err error
		if text, err = expand(text, d.src.env); err != nil {
			d.fault(f.key, n.Line, err.Error(), "set the variable, or write $${ for a literal ${")
			return
		}
	}
	if problem, fix := setScalar(v, text, f.tag, d.dir); problem != "" {
		d.fault(f.key, n.Line, problem, fix)
	}
}

func (d *decoder) list(n *yaml.Node, v reflect.Value, f field) {
	items := n.Content
	if n.Kind != yaml.SequenceNode {
		if f.tag.Get("single") == "" {
			d.fault(f.key, n.Line, "is "+kindName(n)+", not a list", "write a list: one - item a line, or [a, b]")
			return
		}
		items = []*yaml.Node{n}
	}
	if len(items) > maxItems {
		d.fault(f.key, n.Line, fmt.Sprintf("has more than %d items", maxItems), "split the config over several wxproxy processes")
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(items), len(items)))
	for i, item := range items {
		elem := field{key: fmt.Sprintf("%s[%d]", f.key, i), tag: f.tag}
		d.item(item, v.Index(i), elem)
	}
}

// item decodes a list item. Where the list's tag allows it, a bare text stands
// for a struct with one key set.
func (d *decoder) item(n *yaml.Node, v reflect.Value, f field) {
	if def, ok := reflect.TypeAssert[defaulter](v.Addr()); ok {
		def.setDefaults()
	}
	if name := f.tag.Get("single"); name != "" && v.Kind() == reflect.Struct && n.Kind == yaml.ScalarNode {
		if i, ok := fieldsOf(v.Type())[name]; ok {
			d.src.lines[f.key] = n.Line
			d.value(n, v.Field(i), field{key: join(f.key, name), tag: v.Type().Field(i).Tag})
			return
		}
	}
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		d.fault(f.key, n.Line, "is an empty list item", "fill it in or remove the -")
		return
	}
	d.value(n, v, f)
}

func (d *decoder) mapping(n *yaml.Node, v reflect.Value, f field) {
	fields := fieldsOf(v.Type())
	if n.Kind != yaml.MappingNode {
		d.fault(f.key, n.Line, "is "+kindName(n)+", not a section", "write its keys below it, indented: "+names(fields))
		return
	}
	first := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, val := n.Content[i], n.Content[i+1]
		if k.Kind != yaml.ScalarNode || k.Tag == "!!merge" {
			d.report(f.key, k.Line, "has a key that is not a plain name", "write the keys out; these are known: "+names(fields))
			continue
		}
		key := join(f.key, printable(k.Value))
		if line, ok := first[k.Value]; ok {
			d.report(key, k.Line, fmt.Sprintf("is given twice, first on line %d", line), "keep one of the two")
			continue
		}
		first[k.Value] = k.Line
		index, ok := fields[k.Value]
		if !ok {
			d.unknown(f.key, k, fields)
			continue
		}
		d.src.lines[key] = k.Line
		d.value(val, v.Field(index), field{key: key, tag: v.Type().Field(index).Tag})
	}
}

func (d *decoder) unknown(section string, k *yaml.Node, fields map[string]int) {
	key := join(section, printable(k.Value))
	if instead, ok := notInThisBuild[key]; ok {
		d.report(key, k.Line, "is not in this build", "remove it; "+instead)
		return
	}
	fix := "remove it; these are known: " + names(fields)
	if near := nearest(k.Value, fields); near != "" {
		fix = "did you mean " + near + "?"
		d.src.bad[join(section, near)] = true // it is not missing, but misspelt
	}
	d.report(key, k.Line, "is not a known key", fix)
}

// shortName is what of an unknown key is repeated. Keys of WeChat Pay have 32
// characters and more: one that slipped into the place of a name stays out of
// the message.
var shortName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,24}$`)

func printable(key string) string {
	if shortName.MatchString(key) {
		return key
	}
	return "(a key of other characters)"
}

// fieldsOf maps the YAML keys of struct type t to its fields.
func fieldsOf(t reflect.Type) map[string]int {
	fields := make(map[string]int, t.NumField())
	for i := range t.NumField() {
		if name := t.Field(i).Tag.Get("yaml"); name != "" {
			fields[name] = i
		}
	}
	return fields
}

func names(fields map[string]int) string {
	list := make([]string, 0, len(fields))
	for name := range fields {
		list = append(list, name)
	}
	slices.SortFunc(list, func(a, b string) int { return fields[a] - fields[b] })
	return strings.Join(list, ", ")
}

func kindName(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a section"
	case yaml.SequenceNode:
		return "a list"
	default:
		return "a single value"
	}
}
