package secret

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

var (
	// ErrUnset: the environment variable is missing or empty.
	ErrUnset = errors.New("is not set or empty")
	// ErrNoFile: there is nothing at the path.
	ErrNoFile = errors.New("does not exist")
	// ErrForbidden: the process may not read the file.
	ErrForbidden = errors.New("is not readable by this process")
	// ErrNotRegular: the path names a directory, pipe, socket or device.
	ErrNotRegular = errors.New("is not a regular file")
	// ErrTooLarge: the file is larger than anything it could be named for.
	ErrTooLarge = errors.New("is too large")
	// ErrEmptyFile: the file has no content, as while it is being written.
	ErrEmptyFile = errors.New("is empty")
)

// maxFile bounds what is read of a file named by a config: the longest honest
// content is a certificate chain of some ten kilobytes.
const maxFile = 64 << 10

// Reader reads secrets from where references point. The zero Reader reads the
// process's own environment.
type Reader struct {
	// Env looks up an environment variable. Nil means os.LookupEnv.
	Env func(name string) (string, bool)
	// Vault answers vault: and transit: references. Nil means that there is none.
	Vault Vault
}

// Vault is where secrets are kept that the config only refers to. Its errors
// name path and remedy, and never any content.
type Vault interface {
	// Field reads one field of a KV secret. The path begins with the mount.
	Field(ctx context.Context, path, field string) (Value, error)
	// Key returns an RSA key that signs inside Vault: the version given, or,
	// with 0, the one whose public half is like, or the latest if like is nil.
	Key(ctx context.Context, mount, name string, version int, like crypto.PublicKey) (crypto.Signer, error)
}

// ErrNoVault: a reference needs Vault and none is configured.
var ErrNoVault = errors.New("needs a vault: section in the config")

// ErrUnread: the reference was left alone on purpose, by a check that must
// change nothing; whether it is right is not known.
var ErrUnread = errors.New("left to the start")

// ErrOutage: Vault gives nothing just now, whatever is asked for. Its own
// errors say what the matter is and are this one besides; waiting may mend it.
var ErrOutage = errors.New("Vault gives nothing just now")

// Read returns the content behind ref as it is, without trimming. Its errors
// name the place and what to do, and never any content.
func (r Reader) Read(ctx context.Context, ref Ref) (Value, error) {
	if err := ctx.Err(); err != nil {
		return Value{}, fmt.Errorf("reading secret %s: %w", ref, err)
	}
	switch ref.Scheme {
	case SchemeFile:
		b, err := ReadFile(ref.Target, maxFile)
		if err != nil {
			return Value{}, err
		}
		return NewValue(b), nil
	case SchemeEnv:
		return r.readEnv(ref.Target)
	case SchemeVault:
		if r.Vault == nil {
			return Value{}, fmt.Errorf("%s %w", ref, ErrNoVault)
		}
		return r.Vault.Field(ctx, ref.Target, ref.Field)
	default:
		return Value{}, fmt.Errorf("%s cannot be read: the key never leaves Vault", ref)
	}
}

// Key returns the key behind a transit: reference, which signs inside Vault.
func (r Reader) Key(ctx context.Context, ref Ref, like crypto.PublicKey) (crypto.Signer, error) {
	if ref.Scheme != SchemeTransit || r.Vault == nil {
		return nil, fmt.Errorf("%s %w", ref, ErrNoVault)
	}
	return r.Vault.Key(ctx, ref.Mount, ref.Target, ref.Version, like)
}

func (r Reader) readEnv(name string) (Value, error) {
	lookup := r.Env
	if lookup == nil {
		lookup = os.LookupEnv
	}
	text, _ := lookup(name)
	if text == "" {
		return Value{}, fmt.Errorf("environment variable %s %w; set it, or use a file: reference", name, ErrUnset)
	}
	return NewValue([]byte(text)), nil
}

// ReadFile reads a file that a config names, up to most bytes. It follows
// symbolic links, which is how Kubernetes presents secrets. It opens without
// blocking: a pipe in the file's place would otherwise hang the start, or a
// reload, for ever.
func ReadFile(path string, most int) ([]byte, error) {
	f, err := os.OpenFile(filepath.Clean(path), os.O_RDONLY|nonblock, 0)
	if err != nil {
		return nil, explain(path, err)
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, explain(path, err)
	case !info.Mode().IsRegular():
		return nil, explain(path, ErrNotRegular)
	}
	b, err := io.ReadAll(io.LimitReader(f, int64(most)+1))
	switch {
	case err != nil:
		return nil, explain(path, err)
	case len(b) > most:
		clear(b)
		return nil, explain(path, ErrTooLarge)
	case len(b) == 0:
		return nil, explain(path, ErrEmptyFile)
	}
	return b, nil
}

// explain says which file it is and what to do about it.
func explain(path string, err error) error {
	var pathError *fs.PathError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("secret file %q %w; create it or correct the path", path, ErrNoFile)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("secret file %q %w; let user %d read it", path, ErrForbidden, os.Getuid())
	case errors.Is(err, ErrNotRegular):
		return fmt.Errorf("secret file %q %w; name the file itself", path, err)
	case errors.Is(err, ErrTooLarge):
		return fmt.Errorf("secret file %q %w; it is not a key, certificate or token", path, err)
	case errors.Is(err, ErrEmptyFile):
		return fmt.Errorf("secret file %q %w; write the secret into it", path, err)
	case errors.As(err, &pathError): // it repeats the path
		return fmt.Errorf("reading secret file %q: %w", path, pathError.Err)
	default:
		return fmt.Errorf("reading secret file %q: %w", path, err)
	}
}
