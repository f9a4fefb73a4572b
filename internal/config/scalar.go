package config

import (
	"errors"
	"io/fs"
	"math"
	"net/netip"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/wxproxy/wxproxy/internal/secret"
)

var (
	refType      = reflect.TypeFor[Ref]()
	durationType = reflect.TypeFor[time.Duration]()
	sizeType     = reflect.TypeFor[Size]()
	modeType     = reflect.TypeFor[fs.FileMode]()
	prefixType   = reflect.TypeFor[netip.Prefix]()
)

// isScalar reports whether a value of type t is one text in YAML.
func isScalar(t reflect.Type) bool {
	switch t {
	case refType, prefixType:
		return true
	}
	return t.Kind() != reflect.Struct && t.Kind() != reflect.Slice
}

// describe names what a scalar of type t looks like, for faults.
func describe(t reflect.Type, tag reflect.StructTag) string {
	switch t {
	case refType:
		return "a reference (file:PATH, env:NAME, vault:MOUNT/PATH#FIELD or transit:MOUNT/KEYNAME)"
	case durationType:
		return "a duration with its unit, as in 30s, 500ms or 1m30s"
	case sizeType:
		return "a size, as in 8MiB, 1MB or 65536"
	case modeType:
		return "permissions in octal, as in 0660"
	case prefixType:
		return "an address or a network, as in 192.0.2.1 or 10.0.0.0/8"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return describe(t.Elem(), tag)
	case reflect.Bool:
		return "true or false"
	case reflect.Int:
		return "a whole number"
	case reflect.Float64:
		return "a number, as in 10 or 0.5"
	}
	if enum := tag.Get("enum"); enum != "" {
		return oneOf(enum)
	}
	return "a text"
}

func oneOf(enum string) string {
	return strings.Join(strings.Split(enum, ","), " or ")
}

// setScalar gives v the value that text stands for. It never repeats text: a
// secret may have slipped into the wrong place. An empty problem means that
// all is well.
func setScalar(v reflect.Value, text string, tag reflect.StructTag, dir string) (problem, fix string) {
	if v.Kind() == reflect.Pointer {
		elem := reflect.New(v.Type().Elem())
		if problem, fix = setScalar(elem.Elem(), text, tag, dir); problem == "" {
			v.Set(elem)
		}
		return problem, fix
	}
	switch v.Type() {
	case refType:
		return setRef(v, text, dir)
	case durationType, sizeType, modeType, prefixType:
		return setTyped(v, text, tag)
	}
	switch v.Kind() {
	case reflect.String:
		return setString(v, text, tag, dir)
	default:
		return setTyped(v, text, tag)
	}
}

func setRef(v reflect.Value, text, dir string) (problem, fix string) {
	ref, err := secret.ParseRef(text)
	if err != nil {
		fix = "put the secret into a file and write file:PATH, or into a variable and write env:NAME"
		if !errors.Is(err, secret.ErrLiteral) {
			fix = "write " + describe(refType, "")
		}
		return err.Error(), fix
	}
	if strings.Contains(ref.Target, "${") {
		return "has a ${…}, which is not expanded in references", "write the path out; one relative to the config file will do"
	}
	if ref.Scheme == "file" {
		ref.Target = absolute(dir, ref.Target)
	}
	v.Set(reflect.ValueOf(ref))
	return "", ""
}

func setString(v reflect.Value, text string, tag reflect.StructTag, dir string) (problem, fix string) {
	if !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
		return "has a line break or control character", "write it on one line"
	}
	enum, later := split(tag.Get("enum")), split(tag.Get("later"))
	if len(enum) == 0 && len(later) > 0 {
		fix = "remove it"
	} else {
		fix = "write " + oneOf(tag.Get("enum"))
	}
	switch {
	case slices.Contains(later, text):
		return "is " + text + ", which is not in this build", fix
	case len(enum)+len(later) > 0 && !slices.Contains(enum, text):
		return "is not a value it can take", fix
	}
	if tag.Get("kind") != "" && text != "" {
		if strings.HasPrefix(text, "file:") || strings.HasPrefix(text, "env:") || strings.Contains(text, "://") {
			return "is a reference or URL where a path belongs", "write the path alone, without file:"
		}
		text = absolute(dir, text)
	}
	v.SetString(text)
	return "", ""
}

func setTyped(v reflect.Value, text string, tag reflect.StructTag) (problem, fix string) {
	value, err := parseTyped(v.Type(), text)
	if err != nil {
		return "is not " + describe(v.Type(), tag), "write " + describe(v.Type(), tag)
	}
	v.Set(reflect.ValueOf(value).Convert(v.Type()))
	return "", ""
}

func parseTyped(t reflect.Type, text string) (any, error) {
	switch t {
	case durationType:
		return time.ParseDuration(text)
	case sizeType:
		return parseSize(text)
	case modeType:
		mode, err := strconv.ParseUint(text, 8, 9)
		return fs.FileMode(mode), err
	case prefixType:
		return parsePrefix(text)
	}
	switch t.Kind() {
	case reflect.Bool:
		return parseBool(text)
	case reflect.Int:
		return strconv.Atoi(text)
	default:
		return parseFloat(text)
	}
}

var (
	errSyntax  = errors.New("malformed")
	decimal    = regexp.MustCompile(`^[0-9]+(\.[0-9]+)?$`)
	sizeSyntax = regexp.MustCompile(`^([0-9]+)([A-Za-z]*)$`)
)

// sizeUnits are the units of a Size, the largest first.
var sizeUnits = []struct {
	name   string
	bytes  int64
	binary bool
}{
	{"GiB", 1 << 30, true}, {"GB", 1e9, false},
	{"MiB", 1 << 20, true}, {"MB", 1e6, false},
	{"KiB", 1 << 10, true}, {"KB", 1e3, false},
	{"B", 1, false}, {"", 1, false},
}

func parseSize(text string) (Size, error) {
	m := sizeSyntax.FindStringSubmatch(text)
	if m == nil {
		return 0, errSyntax
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil {
		return 0, err
	}
	for _, u := range sizeUnits {
		if u.name == m[2] && n <= math.MaxInt64/u.bytes {
			return Size(n * u.bytes), nil
		}
	}
	return 0, errSyntax
}

// parseBool leaves yes, on, 1 and their kin to be written out: YAML's versions
// disagree on them.
func parseBool(text string) (bool, error) {
	if text != "true" && text != "false" {
		return false, errSyntax
	}
	return text == "true", nil
}

func parseFloat(text string) (float64, error) {
	if !decimal.MatchString(text) {
		return 0, errSyntax
	}
	return strconv.ParseFloat(text, 64)
}

func parsePrefix(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, err
	}
	if p.Addr().Is4In6() || p != p.Masked() {
		return netip.Prefix{}, errSyntax
	}
	return p, nil
}

func absolute(dir, path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(dir, path)
}

func split(list string) []string {
	if list == "" {
		return nil
	}
	return strings.Split(list, ",")
}
