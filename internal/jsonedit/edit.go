package jsonedit

import (
	"bytes"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// Edit puts New in place of the bytes from Start to End. Start == End inserts.
type Edit struct {
	Start, End int
	New        []byte
}

// Apply makes the edits, which must not overlap and may come in any order. The
// text is not changed. Without edits it is returned as it is.
func Apply(text []byte, edits []Edit) []byte {
	if len(edits) == 0 {
		return text
	}
	edits = slices.Clone(edits)
	slices.SortStableFunc(edits, func(a, b Edit) int { return a.Start - b.Start })
	size := len(text)
	for _, e := range edits {
		size += len(e.New) - (e.End - e.Start)
	}
	out, at := make([]byte, 0, size), 0
	for _, e := range edits {
		out = append(out, text[at:e.Start]...)
		out = append(out, e.New...)
		at = e.End
	}
	return append(out, text[at:]...)
}

// Member makes the edit that adds a member with a text value to an object, as
// the first: object is the value as found, or the whole text of an object with
// Start 0. ok is false when it is not an object.
func Member(object Match, name, value string) (e Edit, ok bool) {
	brace := bytes.IndexByte(object.Raw, '{')
	if brace < 0 || len(bytes.TrimLeft(object.Raw[:brace], " \t\r\n")) > 0 {
		return Edit{}, false
	}
	text := append(append(Quote(name), ':'), Quote(value)...)
	if rest := bytes.TrimLeft(object.Raw[brace+1:], " \t\r\n"); len(rest) > 0 && rest[0] != '}' {
		text = append(text, ',')
	}
	at := object.Start + brace + 1
	return Edit{Start: at, End: at, New: text}, true
}

// Quote writes a text as a JSON string. It escapes no more than JSON wants, so
// that a URL stays readable.
func Quote(s string) []byte {
	b, _ := jsontext.AppendQuote(nil, s) // what is not UTF-8 becomes U+FFFD, which is the only error
	return b
}

// Unquote reads a JSON string; ok is false for any other value.
func Unquote(raw []byte) (s string, ok bool) {
	if len(raw) == 0 || raw[0] != '"' {
		return "", false
	}
	text, err := jsontext.AppendUnquote(nil, raw)
	return string(text), err == nil
}
