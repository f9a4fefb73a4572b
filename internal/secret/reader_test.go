package secret_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wxproxy/wxproxy/internal/secret"
)

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func fileRef(path string) secret.Ref { return secret.Ref{Scheme: "file", Target: path} }

func TestReadFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, link := filepath.Join(dir, "key"), filepath.Join(dir, "link")
	write(t, path, " "+planted+"\n")
	if err := os.Symlink("key", link); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{path, link} {
		got, err := secret.Reader{}.Read(t.Context(), fileRef(p))
		if err != nil {
			t.Fatal(err)
		}
		if string(got.Bytes()) != " "+planted+"\n" {
			t.Errorf("%s: got %q, want it untouched", p, got.Bytes())
		}
	}
}

func TestReadFileOfExactlyTheLimit(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key")
	content := strings.Repeat("x", 64<<10)
	write(t, path, content)
	got, err := secret.Reader{}.Read(t.Context(), fileRef(path))
	if err != nil || !bytes.Equal(got.Bytes(), []byte(content)) {
		t.Errorf("got %d bytes, %v", len(got.Bytes()), err)
	}
}

func TestReadFileRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	write(t, at("large"), planted+strings.Repeat("x", 64<<10))
	write(t, at("empty"), "")
	write(t, at("file"), planted)
	for link, to := range map[string]string{"dangling": "nowhere", "loop": "loop", "dirlink": "."} {
		if err := os.Symlink(to, at(link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name string
		err  error
		fix  string
	}{
		{"missing", secret.ErrNoFile, "create it"},
		{"dangling", secret.ErrNoFile, "create it"},
		{"empty", secret.ErrEmptyFile, "write the secret"},
		{"large", secret.ErrTooLarge, "not a key"},
		{".", secret.ErrNotRegular, "the file itself"},
		{"dirlink", secret.ErrNotRegular, "the file itself"},
		{"loop", nil, ""},
		{"file/below", nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := secret.Reader{}.Read(t.Context(), fileRef(at(tt.name)))
			refused(t, got, err, at(tt.name), tt.fix)
			if tt.err != nil && !errors.Is(err, tt.err) {
				t.Errorf("got %v, want %v", err, tt.err)
			}
		})
	}
}

// refused checks that err names the place once and the fix, and no content.
func refused(t *testing.T, got secret.Value, err error, place, fix string) {
	t.Helper()
	if err == nil || !got.IsZero() {
		t.Fatalf("got a value, %v", err)
	}
	if strings.Count(err.Error(), place) != 1 || !strings.Contains(err.Error(), fix) {
		t.Errorf("got %q, want it to name %s once and say %q", err, place, fix)
	}
	if kind := leaks(err.Error()); kind != "" {
		t.Errorf("the error shows the secret (%s): %v", kind, err)
	}
}

func TestReadForbiddenFile(t *testing.T) {
	t.Parallel()
	if os.Getuid() == 0 {
		t.Skip("root may read every file")
	}
	path := filepath.Join(t.TempDir(), "key")
	write(t, path, planted)
	if err := os.Chmod(path, 0); err != nil {
		t.Fatal(err)
	}
	got, err := secret.Reader{}.Read(t.Context(), fileRef(path))
	refused(t, got, err, path, "let user")
	if !errors.Is(err, secret.ErrForbidden) {
		t.Errorf("got %v", err)
	}
}

func TestReadEnv(t *testing.T) {
	t.Parallel()
	env := map[string]string{"FULL": planted + "\n", "EMPTY": ""}
	r := secret.Reader{Env: func(name string) (string, bool) { text, ok := env[name]; return text, ok }}

	got, err := r.Read(t.Context(), secret.Ref{Scheme: "env", Target: "FULL"})
	if err != nil || string(got.Bytes()) != planted+"\n" {
		t.Errorf("got %q, %v", got.Bytes(), err)
	}
	for _, name := range []string{"EMPTY", "ABSENT"} {
		got, err := r.Read(t.Context(), secret.Ref{Scheme: "env", Target: name})
		refused(t, got, err, name, "set it")
		if !errors.Is(err, secret.ErrUnset) {
			t.Errorf("got %v", err)
		}
	}
}

func TestReadProcessEnvironment(t *testing.T) {
	t.Setenv("SECRET_TEST_READ", planted)
	got, err := secret.Reader{}.Read(t.Context(), secret.Ref{Scheme: "env", Target: "SECRET_TEST_READ"})
	if err != nil || string(got.Bytes()) != planted {
		t.Errorf("got %q, %v", got.Bytes(), err)
	}
}

func TestReadOtherwise(t *testing.T) {
	t.Parallel()
	for _, ref := range []secret.Ref{{}, {Scheme: "transit", Mount: "transit", Target: "shop"}} {
		if _, err := (secret.Reader{}).Read(t.Context(), ref); err == nil {
			t.Errorf("%v was read", ref)
		}
	}
	if _, err := (secret.Reader{}).Read(t.Context(), secret.Ref{Scheme: "vault", Target: "a/b", Field: "c"}); !errors.Is(err, secret.ErrNoVault) {
		t.Errorf("got %v", err)
	}
	if _, err := (secret.Reader{}).Key(t.Context(), secret.Ref{Scheme: "transit", Mount: "a", Target: "b"}, nil); !errors.Is(err, secret.ErrNoVault) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (secret.Reader{}).Read(ctx, fileRef("/")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
