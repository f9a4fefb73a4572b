package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/time/rate"

	"github.com/wxproxy/wxproxy/certcache"
	"github.com/wxproxy/wxproxy/internal/merchant"
)

// What notifies with unknown serial numbers make all merchants with paths of
// their own ask of WeChat Pay together, besides the bound of each.
const (
	notifyRefreshes = 20 // a second
	notifyBurst     = 100
)

// makeAccounts loads every merchant and reports all that fail.
func (s *sidecar) makeAccounts(ctx context.Context) error {
	if dir := s.cfg.StateDir; dir != "" {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("state_dir: %w", err)
		}
	}
	s.accounts = make([]*account, len(s.cfg.Merchants))
	limit := rate.NewLimiter(notifyRefreshes, notifyBurst)
	err := atOnce(len(s.accounts), func(i int) (err error) {
		s.accounts[i], err = s.newAccount(ctx, s.cfg.Merchants[i], limit)
		return err
	})
	if err == nil {
		err = distinctMchIDs(s.accounts)
	}
	if err != nil {
		s.accounts = nil
		return err
	}
	caches := make([]*certcache.Cache, len(s.accounts))
	merchants := make([]*merchant.Merchant, len(s.accounts))
	for i, a := range s.accounts {
		caches[i], merchants[i] = a.cache, a.Merchant
	}
	s.fleet = certcache.NewFleet(caches...)
	return errors.Join(
		s.registry.Register(certcache.NewCollector(caches...)),
		s.registry.Register(merchant.NewCollector(merchants...)))
}

// distinctMchIDs refuses a merchant given twice; the config cannot see it
// where the number stands in a certificate.
func distinctMchIDs(accounts []*account) error {
	seen := make(map[string]string)
	for _, a := range accounts {
		mchid := a.Current().MchID
		if other, ok := seen[mchid]; ok {
			return fmt.Errorf("merchants %s and %s are both %s; keep one of them", other, a.Name(), mchid)
		}
		seen[mchid] = a.Name()
	}
	return nil
}
