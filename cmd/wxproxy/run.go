package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sync/errgroup"
)

// Run serves until ctx ends, then drains. Every goroutine of the sidecar
// starts here, and Run returns when the last has ended.
func (s *sidecar) Run(ctx context.Context) error {
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	tasks, life := errgroup.WithContext(life)
	tasks.Go(func() error { return s.fleet.Run(life) })
	tasks.Go(func() error {
		return s.watcher.Run(life, func() { _ = s.reload(life) }) // reload logs
	})
	tasks.Go(func() error { return s.reloadOnHangup(life) })
	if s.vault != nil {
		tasks.Go(func() error { return s.vault.Run(life) })
		tasks.Go(func() error { return s.pollVault(life) })
	}
	for _, d := range s.doors {
		s.log.Info("listening", "for", string(d.role), "address", d.listener.Addr().String())
		tasks.Go(func() error {
			if err := d.server.Serve(d.listener); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("serving %s: %w", d.role, err)
			}
			return nil
		})
	}
	select {
	case <-ctx.Done():
		s.log.Info("shutting down", "grace", s.cfg.ShutdownGrace)
	case <-life.Done(): // a task failed; Wait tells which
	}
	drained := s.drain(context.WithoutCancel(ctx))
	stop()
	err := errors.Join(tasks.Wait(), drained)
	s.upstream.Close()
	return err
}

// drain closes the doors within the grace. The notify side goes first: while
// the app still works on what it got, it may need the outbound side.
func (s *sidecar) drain(ctx context.Context) error {
	s.draining.Store(true)
	ctx, cancel := context.WithTimeout(ctx, s.cfg.ShutdownGrace)
	defer cancel()
	failed := s.shut(ctx, roleNotify)
	if s.notify != nil {
		failed = errors.Join(failed, s.notify.Drain(ctx))
	}
	for _, r := range []role{roleOutbound, roleControl, roleAdmin} {
		failed = errors.Join(failed, s.shut(ctx, r))
	}
	return failed
}

// shut waits for the requests of a role to end, and cuts off those that do not
// within the grace.
func (s *sidecar) shut(ctx context.Context, r role) error {
	var failed error
	for _, d := range s.doors {
		if d.role != r {
			continue
		}
		if err := d.server.Shutdown(ctx); err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s requests were still running at the end of shutdown_grace: %w", r, err), d.server.Close())
		}
	}
	return failed
}

// reloadOnHangup reloads keys and files on SIGHUP.
func (s *sidecar) reloadOnHangup(ctx context.Context) error {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hangup:
			_ = s.reload(ctx) // reload logs
		}
	}
}
