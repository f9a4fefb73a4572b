package config

import (
	"reflect"
	"strings"
)

const envPrefix = "WXPROXY_"

// FlagKeys lists the keys that a flag or a variable can override, in the order
// of the config.
func FlagKeys() []string {
	var keys []string
	leaves(reflect.ValueOf(Default()).Elem(), "", func(key string, _ reflect.Value, _ reflect.StructTag) {
		keys = append(keys, key)
	})
	return keys
}

// EnvName is the environment variable that overrides a key: WXPROXY_ and the
// key path in capitals, as in WXPROXY_OUTBOUND_LISTEN.
func EnvName(key string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// override applies variables and flags to the single values outside lists.
// Their text is taken as it is: the shell has expanded it. An empty variable
// counts as unset, because that is how deployment tools leave one out.
func (d *decoder) override(c *Config, o Sources) {
	used := map[string]bool{}
	leaves(reflect.ValueOf(c).Elem(), "", func(key string, v reflect.Value, tag reflect.StructTag) {
		if text, ok := o.Env(EnvName(key)); ok && text != "" {
			d.set(v, text, field{key, tag}, "$"+EnvName(key))
		}
		if text, ok := o.Flags[key]; ok {
			used[key] = true
			d.set(v, text, field{key, tag}, "--"+key)
		}
	})
	for key := range o.Flags {
		if !used[key] {
			d.faults = append(d.faults, Fault{
				File:    "--" + printable(key),
				Problem: "is not a key that a flag can set",
				Fix:     "flags set single values outside lists, as in --outbound.listen; write the rest into the file",
			})
		}
	}
}

func (d *decoder) set(v reflect.Value, text string, f field, origin string) {
	d.src.overridden(f.key, origin)
	if v.Kind() == reflect.Slice {
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		v = v.Index(0)
		i := fieldsOf(v.Type())[f.tag.Get("single")]
		v, f.tag = v.Field(i), v.Type().Field(i).Tag
	}
	problem, fix := setScalar(v, text, f.tag, d.dir)
	if problem == "" {
		return
	}
	if v.Type() == refType && strings.HasPrefix(origin, "$") {
		fix += "; a variable of this name overrides the key, so keep the secret in one of another name"
	}
	d.src.bad[f.key] = true
	d.faults = append(d.faults, Fault{File: origin, Key: f.key, Problem: problem, Fix: fix})
}

// leaves calls fn for each single value outside lists, and for each list of
// structs that may be written as a single value.
func leaves(v reflect.Value, key string, fn func(string, reflect.Value, reflect.StructTag)) {
	t := v.Type()
	for i := range t.NumField() {
		tag := t.Field(i).Tag
		name := tag.Get("yaml")
		if name == "" {
			continue
		}
		f, k := v.Field(i), join(key, name)
		switch {
		case isScalar(f.Type()), f.Kind() == reflect.Slice && tag.Get("single") != "":
			fn(k, f, tag)
		case f.Kind() == reflect.Struct:
			leaves(f, k, fn)
		}
	}
}
