package secret

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Watcher tells when the content behind any of some paths has changed. It
// keeps digests, not content.
//
// Notifications of the file system only make it look; what counts is that a
// digest differs. So a touch is no change, and neither is a Kubernetes update
// that wrote the same data again. That a file became unreadable is a change,
// so that its owner can report it, and so is its return.
type Watcher struct {
	files []string
	log   *slog.Logger
	known map[string]state

	// quiet is how long nothing must happen before a look, so that a file
	// being written is whole; bound is how long that may put a look off.
	quiet, bound time.Duration
	// rescan is the time between looks that nothing asked for. They cover file
	// systems and renamed parents of which no notification comes.
	rescan time.Duration

	notifier func() (*fsnotify.Watcher, error)
	looked   func(changed bool) // for tests; may be nil
}

// state is what is known of a file: the digest of its content, or why there
// is none. It is comparable.
type state struct {
	sum     [sha256.Size]byte
	problem string
}

// NewWatcher notes what the files hold now. It is to be made before they are
// first loaded, so that no change between loading and Run is missed. A nil
// log discards.
func NewWatcher(files []string, log *slog.Logger) (*Watcher, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	w := &Watcher{
		log:      log,
		known:    make(map[string]state),
		quiet:    250 * time.Millisecond,
		bound:    2 * time.Second,
		rescan:   30 * time.Second,
		notifier: fsnotify.NewWatcher,
	}
	for _, file := range files {
		path, err := filepath.Abs(file)
		if err != nil {
			return nil, fmt.Errorf("watching %q: %w", file, err)
		}
		w.files = append(w.files, path)
		w.known[path] = look(path)
	}
	return w, nil
}

// Run calls changed, from this goroutine, after every change, and returns nil
// when ctx ends. Changes that fall together are one call. Run is to be called
// once.
func (w *Watcher) Run(ctx context.Context, changed func()) error {
	watches := newWatches(w.notifier, w.log)
	defer watches.close()
	tick := time.NewTicker(w.rescan)
	defer tick.Stop()

	for renew := false; ctx.Err() == nil; {
		watches.arm(w.files, renew)
		w.report(changed)
		select {
		case <-ctx.Done():
		case <-tick.C:
			renew = true
		case <-watches.events:
			renew = false
			w.settle(ctx, watches)
		case <-watches.errors: // as an overflow of the queue: events were lost
			renew = true
			w.settle(ctx, watches)
		}
	}
	return nil
}

// settle waits until nothing has happened for the quiet time, within bound.
func (w *Watcher) settle(ctx context.Context, watches *watches) {
	quiet, bound := time.NewTimer(w.quiet), time.NewTimer(w.bound)
	defer quiet.Stop()
	defer bound.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-watches.events:
			quiet.Reset(w.quiet)
		case <-watches.errors:
			quiet.Reset(w.quiet)
		case <-quiet.C:
			return
		case <-bound.C:
			return
		}
	}
}

func (w *Watcher) report(changed func()) {
	differs := false
	for _, file := range w.files {
		if now := look(file); now != w.known[file] {
			w.known[file] = now
			differs = true
			w.log.Info("watched file changed", "path", file, "readable", now.problem == "")
		}
	}
	if differs {
		changed()
	}
	if w.looked != nil {
		w.looked(differs)
	}
}

func look(file string) state {
	const most = 1 << 20 // certificates that a system trusts are watched too
	b, err := ReadFile(file, most)
	if err != nil {
		return state{problem: err.Error()}
	}
	defer clear(b)
	return state{sum: sha256.Sum256(b)}
}
