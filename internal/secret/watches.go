package secret

import (
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fsnotify/fsnotify"
)

// watches are the directories whose entries decide what some paths lead to.
// Directories, not files: a rename over a file, and Kubernetes' swap of a
// symbolic link, replace what a watch of the file would hold on to.
type watches struct {
	notifier *fsnotify.Watcher // nil where the system has none left
	log      *slog.Logger
	warned   bool

	events <-chan fsnotify.Event
	errors <-chan error
}

// newWatches goes on without notifications when the system refuses them, as
// it does when a node's inotify instances are used up; the rescan remains.
func newWatches(open func() (*fsnotify.Watcher, error), log *slog.Logger) *watches {
	n, err := open()
	if err != nil {
		log.Warn("no file notifications; files are looked at periodically", "error", err)
		return &watches{log: log}
	}
	return &watches{notifier: n, log: log, events: n.Events, errors: n.Errors}
}

func (w *watches) close() {
	if w.notifier != nil {
		_ = w.notifier.Close()
	}
}

// arm watches what the files need now and nothing else. With renew every
// watch is made anew, because one may hold a directory that was since moved
// away. It repeats until the way to the files did not change meanwhile: a
// directory made between the walk and the watch is seen by neither.
func (w *watches) arm(files []string, renew bool) {
	if w.notifier == nil {
		return
	}
	needed := directories(files)
	for _, dir := range w.notifier.WatchList() {
		if renew || !needed[dir] {
			_ = w.notifier.Remove(dir) // fails where the directory is gone, and the watch with it
		}
	}
	for range 10 {
		for dir := range needed {
			w.add(dir)
		}
		before := needed
		if needed = directories(files); maps.Equal(before, needed) {
			return
		}
	}
}

func (w *watches) add(dir string) {
	err := w.notifier.Add(dir)
	if err == nil || errors.Is(err, fs.ErrNotExist) || w.warned {
		return
	}
	w.warned = true
	w.log.Warn("no file notifications for a directory; files are looked at periodically", "path", dir, "error", err)
}

func directories(files []string) map[string]bool {
	dirs := make(map[string]bool)
	e := entries{}
	for _, file := range files {
		e.walk(file, func(dir string) { dirs[dir] = true })
	}
	return dirs
}

// entries are what the walks of one pass have met: the files of a thousand
// merchants share most of the way.
type entries map[string]fs.FileInfo

func (e entries) lstat(path string) (fs.FileInfo, error) {
	if info, ok := e[path]; ok {
		return info, nil
	}
	info, err := os.Lstat(path)
	if err == nil {
		e[path] = info
	}
	return info, err
}

// maxLinks is how many symbolic links a path may lead through, as in Linux.
const maxLinks = 40

// walk follows an absolute path as the system would and names each real
// directory that holds a symbolic link on the way, and the one that holds
// the file, or, where the way ends early, the missing entry.
func (e entries) walk(path string, found func(dir string)) {
	at, todo := split(path)
	for links := 0; len(todo) > 0 && links <= maxLinks; {
		name := todo[0]
		todo = todo[1:]
		if name == ".." {
			at = filepath.Dir(at)
			continue
		}
		entry := filepath.Join(at, name)
		info, err := e.lstat(entry)
		switch {
		case err == nil && info.IsDir():
			at = entry
		case err == nil && info.Mode()&fs.ModeSymlink != 0:
			found(at)
			links++
			at, todo = follow(at, entry, todo)
		default:
			found(at)
			return
		}
	}
	found(at)
}

// follow puts a link's target in front of what is left of the way.
func follow(at, link string, todo []string) (string, []string) {
	target, err := os.Readlink(link)
	if err != nil {
		return at, nil // replaced this moment; at is watched, so we shall hear
	}
	if !filepath.IsAbs(target) {
		return at, slices.Concat(elements(target), todo)
	}
	root, first := split(target)
	return root, slices.Concat(first, todo)
}

// split returns an absolute path's root and its elements.
func split(path string) (string, []string) {
	volume := filepath.VolumeName(path)
	return volume + string(filepath.Separator), elements(path[len(volume):])
}

func elements(path string) []string {
	names := strings.FieldsFunc(path, func(r rune) bool { return r < 0x80 && os.IsPathSeparator(uint8(r)) })
	return slices.DeleteFunc(names, func(name string) bool { return name == "." })
}
