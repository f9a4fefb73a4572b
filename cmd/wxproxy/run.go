package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// Run serves until ctx ends or quit is called, then drains. Every goroutine of the sidecar
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
		tasks.Go(func() error { return s.trySigning(life) })
	}
	if s.callback.door != nil {
		tasks.Go(func() error { return s.callback.door.Run(life) })
	}
	for _, d := range s.doors {
		s.log.Info("listening", "for", string(d.role), "address", d.listener.Addr().String())
		tasks.Go(func() error {
			if err := d.serve(); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("serving %s: %w", d.role, err)
			}
			return nil
		})
	}
	select {
	case <-ctx.Done():
		s.log.Info("shutting down", "grace", s.cfg.ShutdownGrace)
	case <-s.quitting:
		s.log.Info("asked to quit", "grace", s.cfg.ShutdownGrace)
	case <-life.Done(): // a task failed; Wait tells which
	}
	drained := s.drain(life)
	stop()
	err := errors.Join(tasks.Wait(), drained)
	s.upstream.Close()
	return err
}

// drain closes the doors within the grace. The notify side goes first: while
// the app still works on what it got, it may need the outbound side. When life
// has ended already, nothing is waited for but what is in progress.
func (s *sidecar) drain(life context.Context) error {
	s.draining.Store(true)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(life), s.cfg.ShutdownGrace)
	defer cancel()
	life, end := context.WithTimeout(life, s.cfg.ShutdownGrace)
	defer end()
	s.pause(life, s.cfg.ShutdownDelay)
	until := time.Now().Add(s.cfg.ShutdownLinger) // the drain of notify is a part of it
	failed := s.shut(ctx, roleNotify)
	if s.notify != nil {
		failed = errors.Join(failed, s.notify.Drain(ctx))
	}
	if s.cfg.ShutdownLinger > 0 {
		s.log.Info("notify has stopped, outbound goes on", "shutdown_linger", s.cfg.ShutdownLinger)
	}
	s.pause(life, time.Until(until))
	for _, r := range []role{roleOutbound, roleChallenge, roleControl, roleAdmin} {
		failed = errors.Join(failed, s.shut(ctx, r))
	}
	return failed
}

// pause goes on serving for a while. A call of quit ends it: the app is done.
func (s *sidecar) pause(life context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.quitting:
	case <-life.Done():
	}
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
