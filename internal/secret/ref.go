package secret

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

var (
	// ErrLiteral: the text is not a reference; it may be the secret itself and
	// is therefore never repeated in the message.
	ErrLiteral = errors.New("must be a reference (file:PATH or env:NAME), never the secret itself")
	// ErrNotInThisBuild: the reference is of a kind that this build cannot read.
	ErrNotInThisBuild = errors.New("not in this build")
	// ErrBadRef: the reference is of a known kind but malformed.
	ErrBadRef = errors.New("malformed reference")
)

// Ref says where a secret is: "file:/etc/wxproxy/key.pem" or "env:NAME". The
// zero Ref means that none was given. A Ref is not secret.
type Ref struct {
	Scheme string // "file" or "env"
	Target string // the path or the variable's name
}

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// ParseRef reads a reference. A text of no known kind is ErrLiteral, and the
// error does not repeat it: users do paste keys into configs.
func ParseRef(s string) (Ref, error) {
	scheme, target, ok := strings.Cut(s, ":")
	if !ok {
		return Ref{}, ErrLiteral
	}
	switch scheme {
	case "file":
		if target == "" || strings.ContainsRune(target, 0) {
			return Ref{}, fmt.Errorf("%w: file: needs a path, as in file:/etc/wxproxy/apiclient_key.pem", ErrBadRef)
		}
	case "env":
		if !envName.MatchString(target) {
			return Ref{}, fmt.Errorf("%w: env: needs the name of an environment variable, as in env:WXPROXY_APIV3_KEY", ErrBadRef)
		}
	case "vault", "transit":
		return Ref{}, fmt.Errorf("%s: references are %w; use file: or env:", scheme, ErrNotInThisBuild)
	default:
		return Ref{}, ErrLiteral
	}
	return Ref{Scheme: scheme, Target: target}, nil
}

// IsZero reports whether no reference was given.
func (r Ref) IsZero() bool { return r == Ref{} }

// String returns the reference as it is written in a config.
func (r Ref) String() string {
	if r.IsZero() {
		return ""
	}
	return r.Scheme + ":" + r.Target
}
