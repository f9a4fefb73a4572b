package check

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Unloadable reports the faults of a config that could not be loaded.
func Unloadable(faults []Fault) Report {
	l := list{group: GroupConfig}
	for _, f := range faults {
		l.fail(f.name(), f.Fix, "%s", f.detail())
	}
	return NewReport(l.checks)
}

func (f Fault) name() string {
	if f.Key == "" {
		return "file"
	}
	return f.Key
}

func (f Fault) detail() string {
	if f.Where == "" {
		return f.Problem
	}
	return f.Where + ": " + f.Problem
}

func (c *checker) config(ctx context.Context) []Check {
	l := list{group: GroupConfig}
	l.ok("file", "%s: %s, %s", c.in.Source, count(len(c.in.Merchants), "merchant"), count(len(c.in.Routes), "notify route"))
	for _, f := range c.in.Warnings {
		l.warn(f.name(), f.Fix, "%s", f.detail())
	}
	l.checks = append(l.checks, c.trials(ctx, GroupConfig)...)
	c.writable(&l, "state_dir", c.in.StateDir)
	for _, a := range c.in.Listeners {
		c.listener(ctx, &l, a)
	}
	return l.checks
}

// writable tries to write, because permission bits do not tell of read-only
// mounts and of what containers forbid. An empty dir is none.
func (c *checker) writable(l *list, name, dir string) {
	const fix = "let the user that runs wxproxy write there, or name another directory"
	if dir == "" {
		return
	}
	existing := dir
	for {
		info, err := os.Stat(existing)
		if err == nil && !info.IsDir() {
			l.fail(name, "name a directory", "%s is not a directory", existing)
			return
		}
		parent := filepath.Dir(existing)
		if !errors.Is(err, fs.ErrNotExist) || parent == existing {
			break
		}
		existing = parent
	}
	switch err := tryWrite(existing); {
	case err != nil:
		l.fail(name, fix, "%s cannot be written to: %v", existing, reason(err))
	case existing != dir:
		l.ok(name, "%s: created at the first start", dir)
	default:
		l.ok(name, "%s: writable", dir)
	}
}

func tryWrite(dir string) error {
	f, err := os.CreateTemp(dir, ".wxproxy-check-*")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// listener tells whether an address could be listened on. One in use is no
// failure: people check a config while wxproxy runs.
func (c *checker) listener(ctx context.Context, l *list, a Listener) {
	if a.Network == "unix" {
		c.socket(ctx, l, a)
		return
	}
	var o net.ListenConfig
	opened, err := o.Listen(ctx, a.Network, a.Address)
	switch {
	case err == nil:
		_ = opened.Close()
		l.ok(a.Key, "%s: free", a.Address)
	case errors.Is(err, syscall.EADDRINUSE):
		l.warn(a.Key, "fine if that is wxproxy itself; otherwise choose another port or stop the other program",
			"%s: in use, wxproxy may be running already", a.Address)
	case errors.Is(err, fs.ErrPermission):
		l.fail(a.Key, "choose a port from 1024 on, or give the process CAP_NET_BIND_SERVICE", "%s: not permitted", a.Address)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		l.fail(a.Key, "use an address of this machine, as in 127.0.0.1", "%s: not an address of this machine", a.Address)
	default:
		l.fail(a.Key, "correct the address", "%s: %v", a.Address, err)
	}
}

// socket opens nothing: that would take the place of a running wxproxy.
func (c *checker) socket(ctx context.Context, l *list, a Listener) {
	info, err := os.Lstat(a.Address)
	switch {
	case err == nil && info.Mode()&fs.ModeSocket == 0:
		l.fail(a.Key, "remove it, or choose another path", "%s exists and is not a socket", a.Address)
		return
	case err == nil:
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if other, err := (&net.Dialer{}).DialContext(ctx, "unix", a.Address); err == nil {
			_ = other.Close()
			l.warn(a.Key, "fine if that is wxproxy itself; otherwise choose another path", "%s: in use, wxproxy may be running already", a.Address)
			return
		}
	}
	if err := tryWrite(filepath.Dir(a.Address)); err != nil {
		l.fail(a.Key, "let the user that runs wxproxy write to that directory", "no socket can be made in %s: %v", filepath.Dir(a.Address), reason(err))
		return
	}
	l.ok(a.Key, "%s: free", a.Address)
}

// reason drops the path of a file error: the text names it already, and that
// of a temporary file says nothing.
func reason(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}
