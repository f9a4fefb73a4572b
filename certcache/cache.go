// Package certcache knows which keys of WeChat Pay are trusted now, for one
// merchant: the WeChat Pay public key that the user pinned, and the platform
// certificates that WeChat Pay lists for download. Both kinds verify side by
// side, since WeChat Pay moves a merchant from one to the other step by step,
// in both directions.
//
// This is the only place where a key comes to be trusted without having been
// trusted before. A downloaded list is believed when every certificate in it
// was sealed with the merchant's APIv3 key and the list itself is freshly
// signed, by a key already trusted, a pinned one, or one in the list. Nothing
// else adds a key; a failed download takes none away.
//
// It does not sign and does not know where WeChat Pay is: Options.Fetch does.
package certcache

import (
	"context"
	"crypto/rsa"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/wxproxy/wxproxy/internal/secret"
	"github.com/wxproxy/wxproxy/internal/wire"
	"github.com/wxproxy/wxproxy/verifier"
)

// Options says whose keys a Cache keeps and how it gets them.
type Options struct {
	// Name is the merchant's alias, for logs, errors and metrics. Required.
	Name string
	// Certificates turns the download on. When false only the pinned key counts.
	Certificates bool
	// Pinned returns the WeChat Pay public key of the moment and its ID, or ""
	// when there is none. It must not wait. Nil means that there never is one.
	Pinned func() (serial string, key *rsa.PublicKey)
	// Fetch sends a signed GET /v3/certificates and returns the answer as it
	// came: redirects not followed, content not decoded. The Cache reads and
	// closes the body. Required with Certificates.
	Fetch func(ctx context.Context) (*http.Response, error)
	// APIv3Keys returns the keys of the moment, the current one first. Required
	// with Certificates.
	APIv3Keys func() []secret.Value
	// File keeps WeChat Pay's last good answer, encrypted as it came. Empty
	// means that nothing is kept.
	File string
	// Interval between downloads; it varies by a tenth. Zero means 6 hours.
	Interval time.Duration
	// RetryInterval is the wait after the first failure; it doubles up to 15
	// minutes or Interval. Zero means 10 seconds.
	RetryInterval time.Duration
	// Timeout of one download. Zero means 30 seconds.
	Timeout time.Duration
	// Now is the clock. Nil means time.Now.
	Now func() time.Time
	// Log takes what nobody waits for. Nil discards it.
	Log *slog.Logger
	// Changed is called after the trusted certificates may have changed. It
	// must not wait. Nil: nobody wants to know.
	Changed func()
	// NotifyLimit bounds the refreshes of the Notify budget of all caches that
	// share it, besides the budget of each: strangers know many merchants'
	// paths. Nil: no such bound.
	NotifyLimit *rate.Limiter
}

// Budget names who asks for a refresh. Each has a budget of its own, so that
// strangers who send notifies with invented serial numbers cannot use up what
// verifying our own answers needs.
type Budget int

const (
	Outbound Budget = iota
	Notify
	budgets
)

// Each budget allows a refresh every ten seconds and two at once: new serial
// numbers appear years apart, and any refresh brings the whole list.
const (
	budgetInterval = 10 * time.Second
	budgetBurst    = 2
)

// Cache holds the trusted keys of one merchant. It is safe for concurrent use
// and looks nothing up on disk or network unless a method says so.
type Cache struct {
	options  Options
	now      func() time.Time
	log      *slog.Logger
	limiters [budgets]*rate.Limiter
	trusted  atomic.Pointer[snapshot]
	unknown  negative
	outcomes [outcomes]atomic.Uint64

	mu      sync.Mutex
	flight  *flight // the refresh under way, if any
	stopped bool
	last    attempts
}

// New makes an empty cache; Load and Run fill it.
func New(o Options) (*Cache, error) {
	switch {
	case o.Name == "":
		return nil, errors.New("certificate cache without a merchant's name")
	case o.Certificates && (o.Fetch == nil || o.APIv3Keys == nil):
		return nil, errors.New("certificate cache with certificates but without Fetch or APIv3Keys")
	case !o.Certificates && o.Pinned == nil:
		return nil, errors.New("certificate cache with neither certificates nor a pinned key")
	}
	if o.Pinned == nil {
		o.Pinned = func() (string, *rsa.PublicKey) { return "", nil }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Interval = orDefault(o.Interval, 6*time.Hour)
	o.RetryInterval = orDefault(o.RetryInterval, 10*time.Second)
	o.Timeout = orDefault(o.Timeout, 30*time.Second)
	c := &Cache{options: o, now: o.Now, log: o.Log.With("merchant", o.Name)}
	for i := range c.limiters {
		c.limiters[i] = rate.NewLimiter(rate.Every(budgetInterval), budgetBurst)
	}
	c.trusted.Store(&snapshot{})
	return c, nil
}

// Name is the merchant's alias.
func (c *Cache) Name() string { return c.options.Name }

// Find returns the trusted key of a serial number and never waits. With it
// the merchant of a notify is told, where several share one path.
func (c *Cache) Find(serial string) (*rsa.PublicKey, bool) {
	if id, key := c.options.Pinned(); id != "" && id == serial {
		return key, true
	}
	e, ok := c.trusted.Load().find(serial, c.now())
	return e.key, ok
}

// Has reports whether Find would find the serial number.
func (c *Cache) Has(serial string) bool {
	_, ok := c.Find(serial)
	return ok
}

// Preferred is the key that WeChat Pay should sign its answers with and that
// sensitive fields are encrypted with: the pinned public key, else the newest
// certificate that is in effect. ok is false while there is neither.
func (c *Cache) Preferred() (serial string, key *rsa.PublicKey, ok bool) {
	if id, key := c.options.Pinned(); id != "" {
		return id, key, true
	}
	e, ok := c.trusted.Load().newest(c.now())
	return e.serial, e.key, ok
}

// For returns the cache as the verifier sees it, with the budget of whoever
// asks. An unknown serial number costs at most one shared refresh within that
// budget.
func (c *Cache) For(b Budget) verifier.Keys {
	k := keys{cache: c, limiter: c.limiters[b]}
	if b == Notify {
		k.all = c.options.NotifyLimit
	}
	return k
}

// Serials lists the serial numbers that Find knows, and some that ended since.
func (c *Cache) Serials() []string {
	var list []string
	if id, _ := c.options.Pinned(); id != "" {
		list = append(list, id)
	}
	for _, e := range c.trusted.Load().entries {
		list = append(list, e.serial)
	}
	return list
}

// jitter spreads d by a tenth to both sides, so that many processes started
// together do not ask together for ever.
func jitter(d time.Duration) time.Duration {
	return d + time.Duration((rand.Float64()-0.5)*0.2*float64(d))
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d <= 0 {
		return otherwise
	}
	return d
}

func isPublicKeyID(serial string) bool { return strings.HasPrefix(serial, wire.PublicKeyIDPrefix) }
