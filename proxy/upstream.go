package proxy

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/wxproxy/wxproxy/internal/wire"
	"github.com/wxproxy/wxproxy/signer"
)

var (
	// ErrUnreachable: no connection to WeChat Pay; nothing was sent.
	ErrUnreachable = errors.New("no connection to WeChat Pay")
	// ErrTimeout: the request was sent, the deadline came before the answer.
	ErrTimeout = errors.New("no answer from WeChat Pay in time")
	// ErrBroken: the connection broke after the request was sent or begun.
	ErrBroken = errors.New("connection to WeChat Pay broke")
)

const (
	// idleTimeout lies below the 8 seconds after which WeChat Pay closes an
	// idle connection: who reuses it later meets an EOF.
	idleTimeout = 7 * time.Second
	// maxAnswerHeaders bounds the header of an answer, in bytes.
	maxAnswerHeaders = 64 << 10
)

// UpstreamOptions says where WeChat Pay is.
type UpstreamOptions struct {
	Bases []*url.URL // scheme and host only, in order of preference
	// Groups are further addresses, by name: those of another region, which
	// stand in for each other and for no others.
	Groups         map[string][]*url.URL
	RootCAs        *x509.CertPool // nil: the system's
	ConnectTimeout time.Duration  // zero: 5 s
	Now            func() time.Time
	// Dial makes connections. Nil: those of the network.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Upstream sends signed requests to WeChat Pay. It never follows a redirect,
// takes no proxy from the environment (that may be wxproxy itself) and sends
// only to the hosts it was made with.
type Upstream struct {
	groups    map[string][]*upstreamHost // that of Bases has no name
	transport http.RoundTripper
	now       func() time.Time
	closeIdle func()
	metrics   upstreamMetrics
}

// Call is one request to WeChat Pay, not yet signed.
type Call struct {
	Method string
	Target wire.Target
	Header http.Header // without Authorization; not changed
	Body   []byte
	Signed []byte         // the text that is signed: Body, or the meta part of an upload
	Signer *signer.Signer // who signs
	Group  string         // of hosts; empty: the ordinary ones
	// Repeatable: it only reads, or a second one does no second thing, so that
	// it may be repeated after any break.
	Repeatable bool

	upload *upload // sent in place of Body
}

// NewUpstream checks the options and starts nothing.
func NewUpstream(o UpstreamOptions) (*Upstream, error) {
	if len(o.Bases) == 0 {
		return nil, errors.New("upstream: no base URL")
	}
	if o.ConnectTimeout == 0 {
		o.ConnectTimeout = 5 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Dial == nil {
		o.Dial = (&net.Dialer{KeepAlive: 15 * time.Second}).DialContext
	}
	base := &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, o.ConnectTimeout)
			defer cancel()
			return o.Dial(ctx, network, address)
		},
		TLSClientConfig:        &tls.Config{RootCAs: o.RootCAs, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    o.ConnectTimeout,
		MaxIdleConnsPerHost:    64,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxAnswerHeaders,
		DisableCompression:     true, // verification needs the bytes as they came
	}
	u := &Upstream{transport: &signer.Transport{Base: base}, now: o.Now, closeIdle: base.CloseIdleConnections, metrics: newUpstreamMetrics()}
	var err error
	u.groups, err = makeGroups(o)
	return u, err
}

func makeGroups(o UpstreamOptions) (map[string][]*upstreamHost, error) {
	bases := map[string][]*url.URL{"": o.Bases}
	for name, list := range o.Groups {
		if name == "" || len(list) == 0 {
			return nil, errors.New("upstream: a group without name or base URL")
		}
		bases[name] = list
	}
	groups := make(map[string][]*upstreamHost, len(bases))
	for name, list := range bases {
		for _, b := range list {
			if b.Host == "" || (b.Scheme != "https" && b.Scheme != "http") {
				return nil, fmt.Errorf("upstream: %q is not an http(s) base URL", b.Redacted())
			}
			groups[name] = append(groups[name], newUpstreamHost(b))
		}
	}
	return groups, nil
}

// Close drops idle connections.
func (u *Upstream) Close() { u.closeIdle() }

// attempt signs and sends a call to one host, once.
func (u *Upstream) attempt(ctx context.Context, host *upstreamHost, c *Call) (answer *http.Response, err error) {
	var connected, written atomic.Bool // the trace's funcs are called from other goroutines
	trace := &httptrace.ClientTrace{
		GotConn:      func(httptrace.GotConnInfo) { connected.Store(true) },
		WroteHeaders: func() { written.Store(true) },
	}
	if c.upload != nil {
		c.upload.traced(trace)
	}
	traced := httptrace.WithClientTrace(ctx, trace)
	done := host.begin()
	defer func() {
		verdict, outcome := host.verdict(answer, err, connected.Load()), attemptOutcome(err)
		if err != nil && c.upload != nil && c.upload.spoiled() {
			verdict, outcome = errNotItsFault, attemptOutcome(errNotItsFault)
		}
		done(verdict)
		u.metrics.attempts.WithLabelValues(host.base.Host, outcome).Inc()
	}()
	r, err := newRequest(signer.With(traced, c.Signer, c.Signed), host.base, c)
	if err != nil {
		return nil, err
	}
	answer, err = u.transport.RoundTrip(r)
	switch {
	case err == nil:
		return answer, nil
	case errors.Is(err, signer.ErrSigning), errors.Is(err, signer.ErrNoSigner):
		return nil, err
	case errors.Is(context.Cause(ctx), context.Canceled):
		return nil, context.Cause(ctx)
	case !written.Load():
		// Not even the header was written; an idle connection that WeChat Pay
		// had closed ends here too, and says nothing against the host.
		return nil, fmt.Errorf("%w at %s: %w", ErrUnreachable, host.base.Host, err)
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%w from %s: %w", ErrTimeout, host.base.Host, err)
	default:
		return nil, fmt.Errorf("%w at %s: %w", ErrBroken, host.base.Host, err)
	}
}

// newRequest builds the request so that the target goes out byte for byte:
// Opaque is written on the wire as it is.
func newRequest(ctx context.Context, base *url.URL, c *Call) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, c.Method, base.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("building the request: %w", err)
	}
	r.URL.Opaque, r.URL.RawQuery, r.URL.ForceQuery = c.Target.Path, "", false
	if c.Target.Query != "" {
		r.URL.RawQuery, r.URL.ForceQuery = c.Target.Query[1:], true
	}
	r.Header = c.Header.Clone()
	switch {
	case c.upload != nil:
		r.Body, r.ContentLength = attempt{c.upload, ctx.Done()}, c.upload.length
	case len(c.Body) > 0:
		// Without GetBody net/http cannot rewind the body, which keeps it from
		// repeating a request by itself with the old signature; repeats are
		// ours, newly signed.
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(c.Body)), int64(len(c.Body))
	case c.Method == http.MethodGet || c.Method == http.MethodHead:
		// Said to be neither of known length nor chunked, or net/http would look
		// for 200 ms whether the body is empty, and send it chunked if the
		// machine is too busy to tell it in time.
		r.Body, r.ContentLength, r.TransferEncoding = unrewindable{}, -1, []string{"identity"}
	}
	return r, nil
}

// unrewindable is an empty body that is not http.NoBody, for the same reason.
type unrewindable struct{}

func (unrewindable) Read([]byte) (int, error) { return 0, io.EOF }
func (unrewindable) Close() error             { return nil }
