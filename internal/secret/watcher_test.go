package secret_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/wxproxy/wxproxy/internal/secret"
)

// never is longer than any test: what a test waits for must come by the way
// that it is about.
const never = time.Hour

// watched runs a watcher and hands out each of its looks.
type watched struct {
	t     *testing.T
	looks chan bool
}

func watch(t *testing.T, w *secret.Watcher) *watched {
	t.Helper()
	out := &watched{t, make(chan bool, 1000)}
	called := false
	w.OnLook(func(changed bool) {
		if changed != called {
			t.Errorf("found changed %v, called %v", changed, called)
		}
		called = false
		out.looks <- changed
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx, func() { called = true }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return out
}

func newWatcher(t *testing.T, files ...string) *secret.Watcher {
	t.Helper()
	w, err := secret.NewWatcher(files, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.SetTimes(10*time.Millisecond, never, never)
	return w
}

// look waits for the next look and returns whether it found a change.
func (w *watched) look() bool {
	w.t.Helper()
	select {
	case changed := <-w.looks:
		return changed
	case <-time.After(20 * time.Second):
		w.t.Fatal("nothing was noticed")
		return false
	}
}

// change waits for a look that finds a change.
func (w *watched) change() {
	w.t.Helper()
	for changed := false; !changed; {
		changed = w.look()
	}
}

// start waits for the look that Run begins with, when all is armed.
func (w *watched) start() {
	w.t.Helper()
	if w.look() {
		w.t.Error("a change was found before there was one")
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestWatchKubernetesSwap(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at := func(name ...string) string { return filepath.Join(append([]string{dir}, name...)...) }
	publish := func(version, content string) {
		must(t, os.Mkdir(at(version), 0o700))
		write(t, at(version, "key.pem"), content)
		must(t, os.Symlink(version, at("..data_tmp")))
		must(t, os.Rename(at("..data_tmp"), at("..data")))
	}
	publish("..2026_1", "one")
	must(t, os.Symlink(filepath.Join("..data", "key.pem"), at("key.pem")))

	w := watch(t, newWatcher(t, at("key.pem")))
	w.start()
	publish("..2026_2", "two")
	w.change()
	must(t, os.RemoveAll(at("..2026_1")))
	publish("..2026_3", "three")
	w.change()
	write(t, at("..2026_3", "key.pem"), "written in place")
	w.change()
}

func TestWatchKubernetesSwapToTheSameContent(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "..1"), 0o700))
	must(t, os.Mkdir(filepath.Join(dir, "..2"), 0o700))
	write(t, filepath.Join(dir, "..1", "key.pem"), "same")
	write(t, filepath.Join(dir, "..2", "key.pem"), "same")
	must(t, os.Symlink("..1", filepath.Join(dir, "..data")))
	must(t, os.Symlink("..2", filepath.Join(dir, "..next")))

	w := watch(t, newWatcher(t, filepath.Join(dir, "..data", "key.pem")))
	w.start()
	must(t, os.Rename(filepath.Join(dir, "..next"), filepath.Join(dir, "..data")))
	if w.look() {
		t.Error("a swap to the same content was taken for a change")
	}
}

func TestWatchEditorRename(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key.pem")
	write(t, path, "one")
	w := watch(t, newWatcher(t, path))
	w.start()
	for _, content := range []string{"two", "three"} { // the second: the watch outlived the first
		write(t, path+".swp", content)
		must(t, os.Rename(path+".swp", path))
		w.change()
	}
}

func TestWatchTouch(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key.pem")
	write(t, path, "one")
	w := watch(t, newWatcher(t, path))
	w.start()
	must(t, os.Chtimes(path, time.Time{}, time.Unix(1, 0)))
	if w.look() {
		t.Error("a touch was taken for a change")
	}
	write(t, path, "two")
	w.change()
}

func TestWatchVanishedFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key.pem")
	write(t, path, "one")
	w := watch(t, newWatcher(t, path))
	w.start()
	must(t, os.Remove(path))
	w.change()
	write(t, path, "one")
	w.change()
}

func TestWatchRemovedDirectories(t *testing.T) {
	t.Parallel()
	top := filepath.Join(t.TempDir(), "a")
	path := filepath.Join(top, "b", "c", "key.pem")
	must(t, os.MkdirAll(filepath.Dir(path), 0o700))
	write(t, path, "one")
	w := watch(t, newWatcher(t, path))
	w.start()
	for range 2 {
		must(t, os.RemoveAll(top))
		w.change()
		must(t, os.MkdirAll(filepath.Dir(path), 0o700))
		write(t, path, "one")
		w.change()
		write(t, path, "two")
		w.change()
	}
}

func TestWatchFileThatIsNotThereYet(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "later", "key.pem")
	w := watch(t, newWatcher(t, path))
	w.start()
	must(t, os.Mkdir(filepath.Dir(path), 0o700))
	write(t, path, "one")
	w.change()
}

func TestWatchBehindLinks(t *testing.T) {
	t.Parallel()
	dir, other := t.TempDir(), t.TempDir()
	path := filepath.Join(dir, "key.pem")
	write(t, filepath.Join(other, "real.pem"), "one")
	must(t, os.Symlink(filepath.Join(other, "x", "..", "real.pem"), path))
	must(t, os.Mkdir(filepath.Join(other, "x"), 0o700))
	w := watch(t, newWatcher(t, path))
	w.start()
	write(t, filepath.Join(other, "real.pem"), "two")
	w.change()
	must(t, os.Remove(path))
	must(t, os.Symlink("key.pem", path)) // to itself: unreadable, and must not hang
	w.change()
}

func TestWatchChangeBeforeRun(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key.pem")
	write(t, path, "one")
	fresh := newWatcher(t, path)
	write(t, path, "two")
	if !watch(t, fresh).look() {
		t.Error("a change between NewWatcher and Run was missed")
	}
}

func TestWatchSeveralFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	one, two := filepath.Join(dir, "one"), filepath.Join(dir, "two")
	write(t, one, "1")
	write(t, two, "2")
	w := watch(t, newWatcher(t, one, two, one))
	w.start()
	write(t, two, "3")
	w.change()
	write(t, one, "4")
	w.change()
}

func TestWatchBusyDirectory(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key.pem")
	write(t, path, "one")
	fresh := newWatcher(t, path)
	fresh.SetTimes(never, 20*time.Millisecond, never) // never quiet, as beside a log file
	w := watch(t, fresh)
	w.start()
	write(t, path, "two")
	w.change()
}

// The directory above the watched one is moved away: no notification tells.
func TestWatchMovedParent(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	top, path := filepath.Join(base, "a"), filepath.Join(base, "a", "b", "key.pem")
	must(t, os.MkdirAll(filepath.Dir(path), 0o700))
	write(t, path, "one")
	fresh := newWatcher(t, path)
	fresh.SetTimes(time.Millisecond, never, 5*time.Millisecond)
	w := watch(t, fresh)
	w.start()
	must(t, os.Rename(top, top+".old"))
	w.change()
	must(t, os.MkdirAll(filepath.Dir(path), 0o700))
	write(t, path, "two")
	w.change()
}
