package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/wxproxy/wxproxy/internal/config"
)

// expansion matches a text with ${NAME}: its type is known only when wxproxy
// starts, so an editor must let it pass.
const expansion = `\$\{`

// required finds what the comments call required without a condition.
var required = regexp.MustCompile(`\bRequired[.,]`)

type object = map[string]any

type generator struct {
	docs map[string]string
}

func generate(src string) ([]byte, error) {
	docs, err := comments(src)
	if err != nil {
		return nil, err
	}
	g := generator{docs: docs}
	root, err := g.section(reflect.TypeFor[config.Config]())
	if err != nil {
		return nil, err
	}
	root["$schema"] = "http://json-schema.org/draft-07/schema#"
	root["title"] = "wxproxy config"
	root["type"] = "object"
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(root); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// section describes a struct. It may be null: all of its keys commented out.
func (g generator) section(t reflect.Type) (object, error) {
	properties, needed := object{}, []string{}
	for field := range t.Fields() {
		key := field.Tag.Get("yaml")
		if key == "" {
			continue
		}
		name := t.Name() + "." + field.Name
		doc := g.docs[name]
		if doc == "" {
			return nil, fmt.Errorf("%s has no comment", name)
		}
		property, err := g.value(field.Type, field.Tag)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		property["description"] = doc
		properties[key] = property
		if required.MatchString(doc) {
			needed = append(needed, key)
		}
	}
	s := object{"type": []string{"object", "null"}, "additionalProperties": false, "properties": properties}
	if len(needed) > 0 {
		slices.Sort(needed)
		s["required"] = needed
	}
	return s, nil
}

func (g generator) value(t reflect.Type, tag reflect.StructTag) (object, error) {
	if s := scalar(t, tag); s != nil {
		return s, nil
	}
	switch t.Kind() {
	case reflect.Struct:
		return g.section(t)
	case reflect.Slice:
		return g.list(t, tag)
	default:
		return nil, fmt.Errorf("no schema for %v", t)
	}
}

func (g generator) list(t reflect.Type, tag reflect.StructTag) (object, error) {
	item, err := g.value(t.Elem(), tag)
	if err != nil {
		return nil, err
	}
	if item["type"] != nil && t.Elem().Kind() == reflect.Struct {
		item["type"] = "object" // an empty list item is a mistake
	}
	text := object{"type": "string"}
	single := tag.Get("single") != ""
	if single && t.Elem().Kind() == reflect.Struct {
		item = object{"anyOf": []object{text, item}}
	}
	list := object{"type": []string{"array", "null"}, "items": item}
	if single {
		return object{"anyOf": []object{text, list}}, nil
	}
	return list, nil
}

// scalar describes a single value, or returns nil.
func scalar(t reflect.Type, tag reflect.StructTag) object {
	switch t {
	case reflect.TypeFor[config.Ref]():
		return text(`^(file:.+|env:[A-Za-z_][A-Za-z0-9_]*)$`)
	case reflect.TypeFor[time.Duration]():
		return orExpansion(text(`^(0|([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+)$`), object{"const": 0})
	case reflect.TypeFor[config.Size]():
		return orExpansion(object{"type": "integer", "minimum": 0}, text(`^[0-9]+(B|KB|KiB|MB|MiB|GB|GiB)?$`))
	case reflect.TypeFor[fs.FileMode]():
		return orExpansion(object{"type": "integer", "minimum": 0}, text(`^[0-7]{3,4}$`))
	case reflect.TypeFor[netip.Prefix]():
		return orExpansion(text(`^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$`))
	}
	switch t.Kind() {
	case reflect.Pointer:
		return scalar(t.Elem(), tag)
	case reflect.Bool:
		return orExpansion(object{"type": "boolean"})
	case reflect.Int:
		return orExpansion(object{"type": "integer"})
	case reflect.Float64:
		return orExpansion(object{"type": "number", "minimum": 0})
	case reflect.String:
		if enum := tag.Get("enum"); enum != "" {
			return orExpansion(object{"enum": strings.Split(enum, ",")})
		}
		return object{"type": []string{"string", "number"}} // mchid: 1900000001 is read as text
	default:
		return nil
	}
}

func text(pattern string) object { return object{"type": "string", "pattern": pattern} }

func orExpansion(alternatives ...object) object {
	return object{"anyOf": append(alternatives, text(expansion))}
}
