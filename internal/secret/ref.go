package secret

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

var (
	// ErrLiteral: the text is not a reference; it may be the secret itself and
	// is therefore never repeated in the message.
	ErrLiteral = errors.New("must be a reference (file:PATH, env:NAME, vault:MOUNT/PATH#FIELD or transit:MOUNT/KEYNAME), never the secret itself")
	// ErrBadRef: the reference is of a known kind but malformed.
	ErrBadRef = errors.New("malformed reference")
)

// Schemes of references.
const (
	SchemeFile    = "file"
	SchemeEnv     = "env"
	SchemeVault   = "vault"
	SchemeTransit = "transit"
)

// Ref says where a secret is: "file:/etc/wxproxy/key.pem", "env:NAME",
// "vault:secret/wechatpay/shop#apiv3_key" (a field in KV) or
// "transit:transit/wechatpay-shop@2" (a key that never leaves Vault). The zero
// Ref means that none was given. A Ref is not secret.
type Ref struct {
	Scheme  string // one of the above
	Target  string // the path, the variable's name, the path in Vault that begins with the mount, or the key's name
	Mount   string // of transit: the secrets engine's mount
	Field   string // of vault: the field
	Version int    // of transit: the key's version; 0: the one that fits the certificate
}

var (
	envName   = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	vaultPath = regexp.MustCompile(`^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*$`)
	vaultName = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)
)

// ParseRef reads a reference. A text of no known kind is ErrLiteral, and the
// error does not repeat it: users do paste keys into configs.
func ParseRef(s string) (Ref, error) {
	scheme, target, ok := strings.Cut(s, ":")
	if !ok {
		return Ref{}, ErrLiteral
	}
	switch scheme {
	case SchemeFile:
		if target == "" || strings.ContainsRune(target, 0) {
			return Ref{}, fmt.Errorf("%w: file: needs a path, as in file:/etc/wxproxy/apiclient_key.pem", ErrBadRef)
		}
		return Ref{Scheme: scheme, Target: target}, nil
	case SchemeEnv:
		if !envName.MatchString(target) {
			return Ref{}, fmt.Errorf("%w: env: needs the name of an environment variable, as in env:WXPROXY_APIV3_KEY", ErrBadRef)
		}
		return Ref{Scheme: scheme, Target: target}, nil
	case SchemeVault:
		return parseVault(target)
	case SchemeTransit:
		return parseTransit(target)
	default:
		return Ref{}, ErrLiteral
	}
}

// parseVault leaves it to Vault to say where the mount ends and the path
// begins: mounts may have slashes.
func parseVault(s string) (Ref, error) {
	path, field, _ := strings.Cut(s, "#")
	if !vaultPath.MatchString(path) || !strings.Contains(path, "/") || hasDots(path) || !vaultName.MatchString(field) {
		return Ref{}, fmt.Errorf("%w: vault: needs mount, path and field, as in vault:secret/wechatpay/shop#apiv3_key", ErrBadRef)
	}
	return Ref{Scheme: SchemeVault, Target: path, Field: field}, nil
}

func parseTransit(s string) (Ref, error) {
	where, text, pinned := strings.Cut(s, "@")
	end := max(strings.LastIndexByte(where, '/'), 0)
	mount, name := where[:end], strings.TrimPrefix(where[end:], "/")
	version := 0
	if pinned {
		var err error
		if version, err = strconv.Atoi(text); err != nil || version < 1 || text != strconv.Itoa(version) {
			return Ref{}, fmt.Errorf("%w: the version after @ is a number from 1, as in transit:transit/wechatpay-shop@2", ErrBadRef)
		}
	}
	if !vaultPath.MatchString(mount) || !vaultName.MatchString(name) || hasDots(where) {
		return Ref{}, fmt.Errorf("%w: transit: needs mount and key name, as in transit:transit/wechatpay-shop", ErrBadRef)
	}
	return Ref{Scheme: SchemeTransit, Mount: mount, Target: name, Version: version}, nil
}

// hasDots finds segments that a path would be read differently with.
func hasDots(path string) bool {
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}

// IsZero reports whether no reference was given.
func (r Ref) IsZero() bool { return r == Ref{} }

// InVault reports whether Vault has to be asked.
func (r Ref) InVault() bool { return r.Scheme == SchemeVault || r.Scheme == SchemeTransit }

// String returns the reference as it is written in a config.
func (r Ref) String() string {
	switch {
	case r.IsZero():
		return ""
	case r.Scheme == SchemeVault:
		return r.Scheme + ":" + r.Target + "#" + r.Field
	case r.Scheme == SchemeTransit && r.Version > 0:
		return r.Scheme + ":" + r.Mount + "/" + r.Target + "@" + strconv.Itoa(r.Version)
	case r.Scheme == SchemeTransit:
		return r.Scheme + ":" + r.Mount + "/" + r.Target
	default:
		return r.Scheme + ":" + r.Target
	}
}
