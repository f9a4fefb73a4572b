package check

import (
	"cmp"
	"context"
	"crypto/rsa"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/wxproxy/wxproxy/certcache"
	"github.com/wxproxy/wxproxy/internal/merchant"
	"github.com/wxproxy/wxproxy/internal/secret"
	"github.com/wxproxy/wxproxy/signer"
	"github.com/wxproxy/wxproxy/verifier"
)

// probeTries: WeChat Pay signs a small share of its answers wrong on purpose;
// one of those says nothing about the setup.
const probeTries = 3

// platform asks WeChat Pay itself: our signature, its signature, its keys.
func (c *checker) platform(ctx context.Context, m Merchant, l *list) {
	if c.Offline || c.Send == nil {
		if m.Certificates {
			l.ok(m.Name+" certificates", "downloaded when wxproxy starts; wxproxy check --online tries it now")
		}
		return
	}
	if m.Scheme == signer.SchemeBrand {
		l.ok(m.Name+" online", "not called: WeChat Pay has no call that tries a brand's keys without effect")
		return
	}
	o, err := c.newOnline(ctx, m)
	if err != nil {
		l.warn(m.Name+" online", "correct what is marked under merchant "+m.Name+" and Platform keys", "WeChat Pay was not called: there is no usable key material yet")
		return
	}
	if m.Certificates {
		o.certificates(ctx, l)
	}
	switch {
	case o.material.Pinned == nil:
	case m.Group != "":
		l.ok(m.Name+" echo", "not called: the self-test is known of outbound.upstreams alone")
	default:
		o.echo(ctx, l)
	}
}

// online calls WeChat Pay in one merchant's name.
type online struct {
	*checker
	m        Merchant
	material *merchant.Material
	cache    *certcache.Cache
	blind    bool // the certificates should be known and could not be had
	// last is nil when the last call brought no answer. It is atomic because a
	// download goes on when its caller is interrupted.
	last atomic.Pointer[exchange]
}

func (c *checker) newOnline(ctx context.Context, m Merchant) (*online, error) {
	loaded, err := merchant.New(m.Spec, c.Reader, c.Now, nil)
	if err != nil {
		return nil, err
	}
	if err := loaded.Reload(ctx); err != nil {
		return nil, err
	}
	o := &online{checker: c, m: m, material: loaded.Current()}
	o.cache, err = certcache.New(certcache.Options{
		Name: m.Name, Certificates: m.Certificates, Pinned: o.pinned, APIv3Keys: func() []secret.Value { return o.material.APIv3Keys },
		Fetch: func(ctx context.Context) (*http.Response, error) {
			e, err := o.call(ctx, Call{Method: http.MethodGet, Path: cmp.Or(m.CertificatesPath, "/v3/certificates")})
			if err != nil {
				return nil, err
			}
			return e.response(), nil
		},
		Timeout: c.Timeout, Now: c.Now,
	})
	return o, err
}

func (o *online) pinned() (string, *rsa.PublicKey) { return o.material.PinnedSerial, o.material.Pinned }

// certificates downloads the list once, exactly as serve does.
func (o *online) certificates(ctx context.Context, l *list) {
	name := o.m.Name + " certificates"
	var err error
	for range probeTries {
		if err = o.cache.Refresh(ctx); !errors.Is(err, verifier.ErrProbe) {
			break
		}
	}
	switch {
	case err == nil:
		l.ok(name, "WeChat Pay took our signature; its answer is verified; it has %s", o.certificateList())
	case errors.Is(err, certcache.ErrNoCertificates) && o.material.Pinned != nil:
		l.ok(name, "WeChat Pay took our signature and says that the merchant has no platform certificates: the public key is used alone")
	case errors.Is(err, certcache.ErrNoCertificates):
		l.fail(name, "download the WeChat Pay public key (微信支付公钥, pub_key.pem) from the merchant console (账户中心 > API安全) and set platform.public_key and platform.public_key_id",
			"WeChat Pay says that the merchant has no platform certificates, and no public key is configured: nothing could be verified")
	default:
		o.blind = true
		o.failed(l, name, err)
	}
}

// certificateList lists the downloaded certificates.
func (o *online) certificateList() string {
	var texts []string
	for _, k := range o.cache.Status().Keys {
		if k.Source == certcache.SourceCertificate {
			texts = append(texts, k.Serial+" (until "+k.NotAfter.UTC().Format(time.DateOnly)+")")
		}
	}
	return count(len(texts), "platform certificate") + ": " + strings.Join(texts, ", ")
}

// failed adds what an unsuccessful call means. A probe met again and again is
// odd, but it proves that verification works.
func (o *online) failed(l *list, name string, err error) {
	if errors.Is(err, verifier.ErrProbe) {
		l.warn(name, "try again", "WeChat Pay signed %d answers wrong on purpose (a signature probe), which was noticed", probeTries)
		return
	}
	e := o.explain(err)
	l.fail(name, e.fix, "%s", e.detail)
}
