package secret

import (
	"context"
	"time"

	"github.com/fsnotify/fsnotify"
)

// SetTimes replaces a watcher's times.
func (w *Watcher) SetTimes(quiet, bound, rescan time.Duration) {
	w.quiet, w.bound, w.rescan = quiet, bound, rescan
}

// OnLook has f called after every look at the files.
func (w *Watcher) OnLook(f func(changed bool)) { w.looked = f }

// SetNotifier replaces how file notifications are asked for.
func (w *Watcher) SetNotifier(open func() (*fsnotify.Watcher, error)) { w.notifier = open }

// Settle waits as Run does between a first event and the look.
func (w *Watcher) Settle(ctx context.Context, events <-chan fsnotify.Event, errors <-chan error) {
	w.settle(ctx, &watches{events: events, errors: errors})
}
