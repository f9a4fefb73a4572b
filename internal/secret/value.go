// Package secret reads key material from where the user keeps it and carries
// it through the program without ever printing it.
//
// A Ref says where a secret is, a Value is what was there. The package knows
// nothing of what the bytes mean; whoever asked parses and checks them.
package secret

import (
	"bytes"
	"crypto/subtle"
	"fmt"
	"log/slog"
)

const redacted = "REDACTED"

// Value is secret text. Every way of printing it yields REDACTED; Bytes is
// the only way to the content, so that a reader can find each use.
//
// The zero Value is empty. A Value must not be changed after it was made.
type Value struct {
	// A closure, because fmt cannot call methods of a Value in an unexported
	// field of another struct and prints what it finds there: bytes in full,
	// of a function only the address.
	get func() []byte
}

// NewValue takes ownership of b.
func NewValue(b []byte) Value { return Value{get: func() []byte { return b }} }

// Bytes returns the secret itself. The caller must neither change nor keep it
// beyond its use.
func (v Value) Bytes() []byte {
	if v.get == nil {
		return nil
	}
	return v.get()
}

// Trimmed returns the secret without white space around it, for texts such as
// tokens and APIv3 keys that editors end with a newline. It shares v's memory.
func (v Value) Trimmed() Value { return NewValue(bytes.TrimSpace(v.Bytes())) }

// IsZero reports whether there is no secret.
func (v Value) IsZero() bool { return len(v.Bytes()) == 0 }

// Equal compares in constant time for values of equal length.
func (v Value) Equal(o Value) bool { return subtle.ConstantTimeCompare(v.Bytes(), o.Bytes()) == 1 }

// Clear overwrites the content. Go may have copied it before; this shortens
// the time in memory, it does not promise its end.
func (v Value) Clear() { clear(v.Bytes()) }

// String implements fmt.Stringer.
func (Value) String() string { return redacted }

// GoString implements fmt.GoStringer.
func (Value) GoString() string { return redacted }

// Format implements fmt.Formatter, so that no verb reaches the field.
func (Value) Format(s fmt.State, _ rune) { _, _ = s.Write([]byte(redacted)) }

// LogValue implements slog.LogValuer.
func (Value) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText implements encoding.TextMarshaler, and with it JSON and YAML.
func (Value) MarshalText() ([]byte, error) { return []byte(redacted), nil }
