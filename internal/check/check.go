// Package check looks at everything that wxproxy needs to work and says, line
// by line, what is right, what is wrong and what to do about it: config, keys,
// certificates, clocks and reachability.
//
// It judges and changes nothing. What it is given and what it says holds no
// secret. Whether single files are in order it leaves to those who will use
// them; what it adds is the view of the whole, the network, and WeChat Pay's
// own opinion, translated.
package check

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/wxproxy/wxproxy/internal/merchant"
	"github.com/wxproxy/wxproxy/internal/secret"
	"github.com/wxproxy/wxproxy/signer"
)

// Input is what is checked.
type Input struct {
	Source    string  // where the config came from, for people
	Warnings  []Fault // what loading the config had to say
	StateDir  string  // empty: none
	Listeners []Listener
	Trials    []Trial
	Merchants []Merchant
	Routes    []Route
	PublicURL string // empty: none
	Callback  Callback
	Upstreams []*url.URL
	RootCAs   *x509.CertPool // for upstreams; nil: the system's
}

// Fault is one fault or warning of the config.
type Fault struct {
	Key     string // key path, empty for the file as a whole
	Where   string // file and line
	Problem string
	Fix     string
}

// Listener is one address that will be listened on.
type Listener struct {
	Key     string // key path in the config
	Network string // tcp or unix
	Address string // host:port, or the path of a socket
}

// Trial is a check that somebody else makes, such as loading a file the way
// serve will.
type Trial struct {
	Group  string // GroupConfig or GroupNotify
	Name   string
	Detail string // when it succeeds
	Fix    string // when it fails
	Try    func(context.Context) error
}

// Merchant is one merchant, and whether its platform certificates are
// downloaded.
type Merchant struct {
	merchant.Spec
	Certificates     bool
	CertificatesPath string // empty: /v3/certificates
	Group            string // of upstreams; empty: the ordinary ones
}

// Route is a path of the notify side and the merchants it serves.
type Route struct {
	Path      string
	Merchants []string
}

// Call is one request to WeChat Pay, to be signed by Signer.
type Call struct {
	Method string
	Path   string
	Header http.Header
	Body   []byte
	Signer *signer.Signer
	Group  string // of upstreams; empty: the ordinary ones
}

// Options says how to check.
type Options struct {
	// Offline keeps every connection from being made.
	Offline bool
	// Send signs a call and sends it to WeChat Pay; redirects are not followed.
	// Nil: WeChat Pay is not called.
	Send func(context.Context, Call) (*http.Response, error)
	// Timeout of each connection and each call. Zero: 10 seconds.
	Timeout time.Duration
	// Reader reads secrets. Its zero value reads the process's environment.
	Reader secret.Reader
	// Dial makes connections. Nil: a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Lookup resolves a host name. Nil: net.DefaultResolver.
	Lookup func(ctx context.Context, host string) ([]string, error)
	// Now is the clock. Nil: time.Now.
	Now func() time.Time
}

// checker is one pass over an Input.
type checker struct {
	Options
	in Input
}

// Run makes all checks. It returns when the last has ended; each is bounded by
// the timeout.
func Run(ctx context.Context, in Input, o Options) Report {
	if o.Timeout <= 0 {
		o.Timeout = 10 * time.Second
	}
	if o.Dial == nil {
		o.Dial = (&net.Dialer{}).DialContext
	}
	if o.Lookup == nil {
		o.Lookup = net.DefaultResolver.LookupHost
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	c := &checker{Options: o, in: in}
	checks := c.config(ctx)
	platform := list{group: GroupPlatform}
	for _, m := range in.Merchants {
		checks = append(checks, c.merchant(ctx, m, &platform)...)
		c.platform(ctx, m, &platform)
	}
	checks = append(checks, platform.checks...)
	checks = append(checks, c.network(ctx)...)
	checks = append(checks, c.notify(ctx)...)
	return NewReport(checks)
}

// trials makes the trials of one group.
func (c *checker) trials(ctx context.Context, group string) []Check {
	l := list{group: group}
	for _, t := range c.in.Trials {
		if t.Group != group {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, c.Timeout)
		l.tried(t, t.Try(ctx))
		cancel()
	}
	return l.checks
}

func (l *list) tried(t Trial, err error) {
	switch {
	case errors.Is(err, secret.ErrUnread):
		l.warn(t.Name, "nothing, if it is right", "%v", err)
	case err != nil:
		l.fail(t.Name, t.Fix, "%v", err)
	default:
		l.ok(t.Name, "%s", t.Detail)
	}
}
