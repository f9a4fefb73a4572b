// Package jsonedit finds values in a JSON text by their paths and replaces
// them, leaving every other byte as it is: white space, the order of members,
// the spelling of numbers and unknown members survive.
//
// WeChat Pay signs bytes, and apps compare what they sent with what arrived;
// decoding a body and encoding it again would change both. The package knows
// nothing of WeChat Pay and does no cryptography.
package jsonedit

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

var (
	// ErrSyntax: the text is not one well-formed JSON value.
	ErrSyntax = errors.New("not well-formed JSON")
	// ErrPath: a path cannot be read.
	ErrPath = errors.New("bad path")
)

// Paths is a set of paths, to be looked for in one pass. It is immutable after
// Compile and safe for concurrent use. The nil *Paths matches nothing.
type Paths struct {
	members  map[string]*Paths
	elements *Paths
	deep     map[string]string // names that match wherever they stand, with their paths
	path     string            // of a value that matches here; empty: none
}

// Match is one value that was found.
type Match struct {
	Path       string // the path that matched, as it was compiled
	Pointer    string // where it stands, as a JSON pointer (RFC 6901)
	Start, End int    // its place in the text, in bytes
	Raw        []byte // the text from Start to End; shares the text's memory
}

// Kind is the first byte of the value: '{', '[', '"', 't', 'f', 'n', '-' or a digit.
func (m Match) Kind() byte { return m.Raw[0] }

// Compile reads paths such as payer.name, receivers[].name and sites[][].id:
// member names joined by dots, [] for every element of an array. "**.name" is a
// member of that name wherever it stands. Names are literal, and the empty
// path is an error.
func Compile(paths ...string) (*Paths, error) {
	root := &Paths{}
	for _, path := range paths {
		if err := root.add(path); err != nil {
			return nil, err
		}
	}
	return root, nil
}

func (p *Paths) add(path string) error {
	if name, ok := strings.CutPrefix(path, "**."); ok && name != "" && !strings.ContainsAny(name, ".[]*") {
		if p.deep == nil {
			p.deep = make(map[string]string)
		}
		p.deep[name] = path
		return nil
	}
	at := p
	for step := range strings.SplitSeq(path, ".") {
		name, arrays := step, 0
		for strings.HasSuffix(name, "[]") {
			name, arrays = name[:len(name)-2], arrays+1
		}
		if name == "" || strings.ContainsAny(name, "[]*") {
			return fmt.Errorf("%w: %q", ErrPath, path)
		}
		at = at.member(name)
		for range arrays {
			if at.elements == nil {
				at.elements = &Paths{}
			}
			at = at.elements
		}
	}
	at.path = path
	return nil
}

func (p *Paths) member(name string) *Paths {
	if p.members == nil {
		p.members = make(map[string]*Paths)
	}
	if p.members[name] == nil {
		p.members[name] = &Paths{}
	}
	return p.members[name]
}

// Find lists the values of text that match, in the order in which they stand.
// A member that stands twice matches twice. An error is ErrSyntax; it may come
// after matches, which then are to be dropped.
func (p *Paths) Find(text []byte) ([]Match, error) {
	var list []Match
	err := p.Walk(text, func(m Match) error {
		list = append(list, m)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

// Walk calls visit for each value of text that matches, as it reads. It ends
// at the first error: ErrSyntax, or what visit returns.
func (p *Paths) Walk(text []byte, visit func(Match) error) error {
	// A Buffer, because the decoder then reads its bytes in place.
	w := walk{text: text, visit: visit, decoder: jsontext.NewDecoder(bytes.NewBuffer(text),
		jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))}
	if p != nil {
		w.deep = p.deep
	}
	if err := w.value(p, ""); err != nil {
		return err
	}
	if w.decoder.PeekKind() != 0 || len(bytes.TrimLeft(text[w.decoder.InputOffset():], " \t\r\n")) > 0 {
		return ErrSyntax // something follows the value
	}
	return nil
}

type walk struct {
	text    []byte
	decoder *jsontext.Decoder
	deep    map[string]string
	visit   func(Match) error
}

// value reads the next value, whose place in the paths is at, nil where only
// deep names can still match. A match is not searched for further ones.
func (w *walk) value(at *Paths, path string) error {
	if at != nil && at.path != "" {
		path = at.path
	}
	kind := w.decoder.PeekKind()
	switch {
	case path != "":
		return w.found(path)
	case kind == jsontext.KindBeginObject && (at != nil && at.members != nil || w.deep != nil):
		return w.object(at)
	case kind == jsontext.KindBeginArray && (at != nil && at.elements != nil || w.deep != nil):
		return w.array(at)
	default:
		return syntax(w.decoder.SkipValue())
	}
}

func (w *walk) found(path string) error {
	raw, err := w.decoder.ReadValue()
	if err != nil {
		return ErrSyntax
	}
	end := int(w.decoder.InputOffset())
	start := end - len(raw)
	return w.visit(Match{Path: path, Pointer: string(w.decoder.StackPointer()), Start: start, End: end, Raw: w.text[start:end]})
}

func (w *walk) object(at *Paths) error {
	if _, err := w.decoder.ReadToken(); err != nil {
		return ErrSyntax
	}
	for w.decoder.PeekKind() == jsontext.KindString {
		name, err := w.decoder.ReadToken()
		if err != nil {
			return ErrSyntax
		}
		var next *Paths
		text := name.String()
		if at != nil {
			next = at.members[text]
		}
		if err := w.value(next, w.deep[text]); err != nil {
			return err
		}
	}
	_, err := w.decoder.ReadToken()
	return syntax(err)
}

func (w *walk) array(at *Paths) error {
	if _, err := w.decoder.ReadToken(); err != nil {
		return ErrSyntax
	}
	var next *Paths
	if at != nil {
		next = at.elements
	}
	for {
		kind := w.decoder.PeekKind()
		if kind == jsontext.KindEndArray {
			_, err := w.decoder.ReadToken()
			return syntax(err)
		}
		if kind == jsontext.KindInvalid {
			return ErrSyntax
		}
		if err := w.value(next, ""); err != nil {
			return err
		}
	}
}

// Strings lists the texts in a value that was found: the value itself, or those
// in its arrays and objects at any depth, but no member names. Pointer goes on
// from m's; Path is m's.
func Strings(m Match) []Match {
	var list []Match
	d := jsontext.NewDecoder(bytes.NewBuffer(m.Raw), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	for {
		if d.PeekKind() != jsontext.KindString {
			if _, err := d.ReadToken(); err != nil {
				return list // the end: m.Raw is well-formed
			}
			continue
		}
		raw, err := d.ReadValue()
		if err != nil {
			return list
		}
		if kind, n := d.StackIndex(d.StackDepth()); kind == jsontext.KindBeginObject && n%2 == 1 {
			continue // the name of a member
		}
		end := int(d.InputOffset())
		start := end - len(raw)
		list = append(list, Match{
			Path: m.Path, Pointer: m.Pointer + string(d.StackPointer()),
			Start: m.Start + start, End: m.Start + end, Raw: m.Raw[start:end],
		})
	}
}

func syntax(err error) error {
	if err != nil {
		return ErrSyntax
	}
	return nil
}
