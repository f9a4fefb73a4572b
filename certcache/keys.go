package certcache

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"

	"golang.org/x/time/rate"

	"github.com/wxproxy/wxproxy/internal/wire"
	"github.com/wxproxy/wxproxy/verifier"
)

// keys is a Cache with the refresh budget of one kind of asker.
type keys struct {
	cache   *Cache
	limiter *rate.Limiter
	all     *rate.Limiter // of all merchants together; nil: none
}

var _ verifier.Keys = keys{}

// Lookup implements verifier.Keys. The causes of a failed refresh are told as
// text only: they too are the verifier's errors, about another answer, and
// must not be taken for what is wrong with the caller's.
func (k keys) Lookup(ctx context.Context, serial string) (*rsa.PublicKey, error) {
	c := k.cache
	if key, ok := c.Find(serial); ok {
		return key, nil
	}
	if err := c.hopeless(serial); err != nil {
		return nil, err
	}
	err := c.refresh(ctx, k.allow)
	if key, ok := c.Find(serial); ok {
		return key, nil
	}
	switch {
	case err == nil:
		c.unknown.add(serial, c.now())
		return nil, fmt.Errorf("%w: WeChat Pay lists no certificate with it; is the answer or notify meant for another merchant?",
			verifier.ErrSerialUnknown)
	case errors.Is(err, ErrNoCertificates):
		c.unknown.add(serial, c.now())
		return nil, fmt.Errorf("%w: WeChat Pay says that merchant %s has no platform certificates", verifier.ErrSerialUnknown, c.options.Name)
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%w in time: %w", verifier.ErrKeysUnavailable, ctx.Err())
	default:
		return nil, fmt.Errorf("%w: %v", verifier.ErrKeysUnavailable, err) //nolint:errorlint // see above
	}
}

func (k keys) allow() bool {
	now := k.cache.now()
	return k.limiter.AllowN(now, 1) && (k.all == nil || k.all.AllowN(now, 1))
}

// hopeless tells without a download that a serial number not trusted now will
// not be found.
func (c *Cache) hopeless(serial string) error {
	switch {
	case wire.CheckSerial(serial) != nil:
		return fmt.Errorf("%w: it is malformed", verifier.ErrSerialUnknown)
	case isPublicKeyID(serial):
		return fmt.Errorf("%w: %s is a WeChat Pay public key, which cannot be downloaded; take it from the merchant console and set platform.public_key and platform.public_key_id of merchant %s",
			verifier.ErrSerialUnknown, serial, c.options.Name)
	case !c.options.Certificates:
		return fmt.Errorf("%w: it is of a platform certificate, and those are off; set platform.certificates: auto for merchant %s",
			verifier.ErrSerialUnknown, c.options.Name)
	case c.unknown.has(serial, c.now()):
		return fmt.Errorf("%w: the list of certificates was renewed for it a moment ago", verifier.ErrSerialUnknown)
	}
	return nil
}
