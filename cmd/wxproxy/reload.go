package main

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

// reload loads every key and file anew, and mends the login to Vault. What
// fails keeps its old value, and the error names each.
func (s *sidecar) reload(ctx context.Context) error {
	var failed error
	if s.vault != nil {
		failed = s.vault.Reload(ctx)
	}
	failed = errors.Join(failed, s.reloadAll(ctx))
	if failed != nil {
		s.log.Error("reload failed in part; the old keys stay in use", "error", brief(failed))
		return failed
	}
	s.log.Info("keys and files reloaded")
	return nil
}

// reloadBudget is the time of one merchant, besides that of a request to Vault.
const reloadBudget = 10 * time.Second

// reloadAll gives each merchant a time of its own, so that a slow Vault does
// not cost the last of many their keys.
func (s *sidecar) reloadAll(ctx context.Context) error {
	if s.vault != nil {
		s.vault.Forget()
		defer s.vault.Forget() // what was read is in use now, or refused
	}
	bounded := func(reload func(context.Context) error) error {
		ctx, cancel := context.WithTimeout(ctx, reloadBudget+s.cfg.Vault.Timeout)
		defer cancel()
		return reload(ctx)
	}
	failed := inTurn(s.accounts, func(a *account) error { return bounded(a.Reload) })
	for _, l := range s.live {
		failed = errors.Join(failed, bounded(func(ctx context.Context) error { return l.Reload(ctx, &s.reader) }))
	}
	for _, t := range s.apps {
		failed = errors.Join(failed, bounded(func(ctx context.Context) error { return t.reload(ctx, s.reader) }))
	}
	failed = errors.Join(failed, bounded(s.callback.reload))
	if failed != nil {
		s.reloads.WithLabelValues("failed").Inc()
		return failed
	}
	s.reloads.WithLabelValues("done").Inc()
	return nil
}

// inTurn does something for every merchant, and begins with those to whom Vault
// last answered the longest ago: where it limits the rate so much that not all
// get their keys, it is others the next time. An answer that is no key counts,
// so that those who never get all of theirs are not the first for ever; that a
// turn was taken does not, or the first would stay the first. What failed is in
// the order of the config, whatever the turn was.
func inTurn(accounts []*account, do func(*account) error) error {
	turn, last := make([]int, len(accounts)), make([]int64, len(accounts))
	for i, a := range accounts {
		turn[i], last[i] = i, a.lastTurn.Load()
	}
	slices.SortStableFunc(turn, func(i, j int) int { return cmp.Compare(last[i], last[j]) })
	failed := make([]error, len(accounts))
	_ = atOnce(len(turn), func(n int) error { // failed has the errors
		failed[turn[n]] = do(accounts[turn[n]])
		return nil
	})
	return errors.Join(failed...)
}

// loaders is how many merchants are loaded at one time.
const loaders = 8

// atOnce does n things, some at one time, and joins what failed in their order.
func atOnce(n int, do func(i int) error) error {
	failed := make([]error, n)
	var all errgroup.Group
	all.SetLimit(loaders)
	for i := range n {
		all.Go(func() error {
			failed[i] = do(i)
			return nil
		})
	}
	_ = all.Wait() // failed has the errors
	return errors.Join(failed...)
}
