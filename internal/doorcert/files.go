package doorcert

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/wxproxy/wxproxy/internal/secret"
)

var (
	// ErrPair: certificate and key are not of each other, or not PEM.
	ErrPair = errors.New("are not a certificate and its key")
	// ErrNames: the certificate is not for a name that is answered for.
	ErrNames = errors.New("is not for")
	// ErrValidity: a certificate that is not valid now does not replace one that is.
	ErrValidity = errors.New("is not valid now")
)

// Files is a Door with the certificate of a chain and a key, which may be
// replaced while it runs. It has no goroutine: whoever watches calls Reload.
type Files struct {
	*Door

	pair *pair
}

// FilesOptions says where chain and key are.
type FilesOptions struct {
	Certificate secret.Ref     // PEM, the server's own first
	PrivateKey  secret.Ref     // PEM
	Reader      *secret.Reader // reads both
}

// NewFiles loads the pair for the first time. One that has expired serves
// nevertheless: the fault then is the callbacks' alone.
func NewFiles(ctx context.Context, o Options, f FilesOptions) (*Files, error) {
	o.setDefaults()
	p := &pair{FilesOptions: f, want: o.Names, now: o.Now}
	d := &Files{newDoor(o, p), p}
	if err := d.Reload(ctx); err != nil {
		return nil, err
	}
	return d, nil
}

// Reload reads the pair again. It is taken over when it fits together, is for
// every name, and is valid now; otherwise the old one stays and the error says
// why.
func (f *Files) Reload(ctx context.Context) error {
	next, err := f.pair.load(ctx)
	if err != nil {
		text := err.Error()
		f.pair.failed.Store(&text)
		return err
	}
	f.pair.failed.Store(nil)
	if old := f.pair.current.Swap(next); old == nil || !old.Leaf.Equal(next.Leaf) {
		f.opts.Log.Info("callback certificate loaded", "names", leafNames(next.Leaf), "not_after", next.Leaf.NotAfter)
	}
	return nil
}

// pair is the source of Files.
type pair struct {
	FilesOptions

	want    []string
	now     func() time.Time
	current atomic.Pointer[tls.Certificate]
	failed  atomic.Pointer[string] // why the last reload kept the old pair
}

func (p *pair) load(ctx context.Context) (*tls.Certificate, error) {
	chain, err := p.Reader.Read(ctx, p.Certificate)
	if err != nil {
		return nil, err
	}
	key, err := p.Reader.Read(ctx, p.PrivateKey)
	if err != nil {
		return nil, err
	}
	c, err := tls.X509KeyPair(chain.Bytes(), key.Bytes())
	if err != nil { // its text tells what is missing, and no content
		return nil, fmt.Errorf("%s and %s %w: %w", p.Certificate, p.PrivateKey, ErrPair, err)
	}
	for _, name := range p.want {
		if c.Leaf.VerifyHostname(name) != nil {
			return nil, fmt.Errorf("%s %w %s, only for %q; get one that is, or correct notify.tls.names", p.Certificate, ErrNames, name, leafNames(c.Leaf))
		}
	}
	if old := p.current.Load(); old != nil && !valid(c.Leaf, p.now()) && valid(old.Leaf, p.now()) {
		return nil, fmt.Errorf("%s %w, but from %s to %s UTC", p.Certificate, ErrValidity,
			c.Leaf.NotBefore.UTC().Format(time.DateTime), c.Leaf.NotAfter.UTC().Format(time.DateTime))
	}
	return &c, nil
}

func (p *pair) get(*tls.ClientHelloInfo, string) (*tls.Certificate, error) {
	return p.current.Load(), nil
}

func (p *pair) leaf(string) *x509.Certificate {
	if c := p.current.Load(); c != nil {
		return c.Leaf
	}
	return nil
}

func (p *pair) names() []string { return leafNames(p.leaf("")) }

func (p *pair) problem(string) string {
	if text := p.failed.Load(); text != nil {
		return "the last reload failed, the certificate of before serves: " + *text
	}
	return ""
}

func (p *pair) run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

func valid(c *x509.Certificate, at time.Time) bool {
	return !at.Before(c.NotBefore) && !at.After(c.NotAfter)
}

func leafNames(c *x509.Certificate) []string {
	if c == nil {
		return nil
	}
	names := append([]string(nil), c.DNSNames...)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}
