package main

import (
	"context"
	"crypto/rsa"
	"fmt"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/wxproxy/wxproxy/certcache"
	"github.com/wxproxy/wxproxy/internal/admin"
	"github.com/wxproxy/wxproxy/internal/config"
	"github.com/wxproxy/wxproxy/internal/merchant"
	"github.com/wxproxy/wxproxy/internal/secret"
	"github.com/wxproxy/wxproxy/internal/wire"
	"github.com/wxproxy/wxproxy/proxy"
	"github.com/wxproxy/wxproxy/signer"
)

// account is one merchant at work: its own keys and WeChat Pay's.
type account struct {
	*merchant.Merchant
	group   string // of upstreams
	cache   *certcache.Cache
	changed func() // what it trusts may have changed

	// Keys from Vault serve for maxStale after Vault last gave them, whatever
	// came of it; zero: for ever. Keys from elsewhere have no such end.
	maxStale time.Duration
	lastGood atomic.Int64 // Unix nanoseconds
	lastTurn atomic.Int64 // when Vault last gave or denied it anything; Unix nanoseconds

	reloading sync.Mutex // guards reads
	reads     *noted
}

// newAccount loads a merchant's keys and the copy of its platform
// certificates. A copy that cannot be used is no reason not to start.
func (s *sidecar) newAccount(ctx context.Context, c config.Merchant, limit *rate.Limiter) (*account, error) {
	reads := &noted{Reader: s.reader}
	m, err := merchant.New(merchantSpec(c), reads, nil, s.log)
	if err != nil {
		return nil, err
	}
	a := &account{Merchant: m, reads: reads, group: c.UpstreamGroup, changed: func() { s.changes.Add(1) }}
	if inVault(c) {
		a.maxStale = s.cfg.Vault.MaxStale
	}
	if err := a.Reload(ctx); err != nil {
		return nil, err
	}
	o := certcache.Options{
		Name: c.Name, Certificates: c.Downloads(), Pinned: a.pinned,
		Fetch: a.fetch(s.upstream, c), APIv3Keys: a.apiv3Keys, Log: s.log, Changed: a.changed, NotifyLimit: limit,
	}
	if s.cfg.StateDir != "" {
		o.File = filepath.Join(s.cfg.StateDir, c.Name+".certificates")
	}
	if a.cache, err = certcache.New(o); err != nil {
		return nil, err
	}
	if err := a.cache.Load(); err != nil {
		s.log.Warn("stored platform certificates not used", "merchant", c.Name, "error", err)
	}
	return a, nil
}

// Reload loads the merchant's keys anew, and notes whether Vault gave them.
func (a *account) Reload(ctx context.Context) error {
	a.reloading.Lock()
	defer a.reloading.Unlock()
	began := time.Now()
	a.reads.failed, a.reads.answered = false, false
	err := a.Merchant.Reload(ctx)
	if !a.reads.failed {
		a.lastGood.Store(began.UnixNano())
	}
	if a.reads.answered {
		a.lastTurn.Store(began.UnixNano())
	}
	if err != nil {
		return err
	}
	a.changed()
	return nil
}

// material is what may be used now: nil before the first load, and when keys
// from Vault could not be read again for too long.
func (a *account) material() *merchant.Material {
	if a.stale() {
		return nil
	}
	return a.Current()
}

func (a *account) stale() bool {
	return a.maxStale > 0 && time.Since(time.Unix(0, a.lastGood.Load())) > a.maxStale
}

func merchantSpec(c config.Merchant) merchant.Spec {
	scheme := signer.SchemeMerchant
	if c.IsBrand() {
		scheme = signer.SchemeBrand
	}
	return merchant.Spec{
		Name: c.Name, MchID: c.ID(), Scheme: scheme, Certificate: c.Certificate, SerialNo: c.SerialNo,
		PrivateKey: c.PrivateKey, PreviousKey: c.PrivateKeyPrevious, APIv3Key: c.APIv3Key, APIv3KeyPrevious: c.APIv3KeyPrevious, APIv2Key: c.APIv2Key,
		PublicKey: c.Platform.PublicKey, PublicKeyID: c.Platform.PublicKeyID,
	}
}

func (a *account) privateKey() proxy.PrivateKey {
	if m := a.material(); m != nil {
		return proxy.PrivateKey{Signer: m.Signer, Decrypters: m.Decrypters}
	}
	return proxy.PrivateKey{}
}

func (a *account) apiv3Keys() []secret.Value {
	if m := a.material(); m != nil {
		return m.APIv3Keys
	}
	return nil
}

func (a *account) pinned() (string, *rsa.PublicKey) {
	if m := a.material(); m != nil {
		return m.PinnedSerial, m.Pinned
	}
	return "", nil
}

func (a *account) apiv2Key() secret.Value {
	if m := a.material(); m != nil {
		return m.APIv2Key
	}
	return secret.Value{}
}

// fetch downloads the list of platform certificates in the merchant's name.
func (a *account) fetch(up *proxy.Upstream, c config.Merchant) func(context.Context) (*http.Response, error) {
	return func(ctx context.Context) (*http.Response, error) {
		key := a.privateKey().Signer
		if key == nil {
			return nil, fmt.Errorf("no key is loaded for merchant %s", a.Name())
		}
		answer, _, err := up.Send(ctx, &proxy.Call{
			Method: http.MethodGet, Target: wire.Target{Path: c.CertificatesPath()}, Signer: key, Group: c.UpstreamGroup, Repeatable: true,
			Header: http.Header{"Accept": {"application/json"}, "User-Agent": {"wxproxy"}, "Accept-Encoding": {"identity"}},
		})
		return answer, err
	}
}

// proxied is the account as the two faces see it.
func (a *account) proxied() *proxy.Merchant {
	return &proxy.Merchant{
		Name: a.Name(), MchID: a.Current().MchID, Scheme: a.Current().Signer.Scheme(), Group: a.group,
		PrivateKey: a.privateKey, APIv3Keys: a.apiv3Keys, APIv2Key: a.apiv2Key,
		Preferred: a.cache.Preferred, Serials: a.cache.Serials, Find: a.cache.Find,
		AnswerKeys: a.cache.For(certcache.Outbound), NotifyKeys: a.cache.For(certcache.Notify),
	}
}

// status is the account as operators see it.
func (a *account) status() admin.Status {
	s := admin.Status{Merchant: a.Name(), Ready: true}
	s.Warning, s.Problem = a.signing(time.Now())
	if err := a.Err(); err != nil { // the last good keys stay in use
		s.Warning = err.Error()
	}
	if err := a.cache.Ready(); err != nil {
		s.Ready, s.Problem = false, err.Error()
	}
	switch {
	case a.stale():
		s.Ready, s.Problem = false, "keys could not be read from Vault again for longer than vault.max_stale: "+s.Warning
	case a.Current() == nil:
		s.Ready, s.Problem = false, "no key is loaded"
	}
	return s
}
