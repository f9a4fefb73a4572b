//go:build unix

package certcache_test

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/wxproxy/wxproxy/certcache"
)

// TestLoadPipe: a pipe in the file's place does not hang the start.
func TestLoadPipe(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Skip(err)
	}
	if _, err := load(t, path, nil); !errors.Is(err, certcache.ErrFile) {
		t.Errorf("got %v", err)
	}
}
