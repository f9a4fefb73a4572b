//go:build unix

package secret_test

import (
	"errors"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/wxproxy/wxproxy/internal/secret"
)

// Without a writer an ordinary open of a pipe blocks until the test times out.
func TestReadPipeDoesNotBlock(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Skip(err)
	}
	got, err := secret.Reader{}.Read(t.Context(), fileRef(path))
	refused(t, got, err, path, "the file itself")
	if !errors.Is(err, secret.ErrNotRegular) {
		t.Errorf("got %v", err)
	}
}
