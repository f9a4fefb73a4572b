package check

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync"
	"syscall"
	"time"

	"github.com/wxproxy/wxproxy/internal/wire"
)

const (
	// maxSkew is where WeChat Pay refuses our requests, and we its answers.
	maxSkew = wire.WindowSeconds * time.Second
	// noticeSkew is more than a synchronised clock ever has.
	noticeSkew = 30 * time.Second
)

// sighting is what one upstream showed of itself.
type sighting struct {
	remote string
	tls    string
	took   time.Duration
	date   time.Time // by its clock; zero when it did not tell
	at     time.Time // the same moment by ours
	err    error
}

// network connects to every upstream, without signing anything, and reads the
// clock of the first that answers.
func (c *checker) network(ctx context.Context) []Check {
	if c.Offline {
		return nil
	}
	seen := make([]sighting, len(c.in.Upstreams))
	var all sync.WaitGroup
	for i, base := range c.in.Upstreams {
		all.Go(func() { seen[i] = c.look(ctx, base) })
	}
	all.Wait()
	l := list{group: GroupNetwork}
	for i, base := range c.in.Upstreams {
		if err := seen[i].err; err != nil {
			problem, fix := c.unreachable(base, err)
			l.fail(base.Host, fix, "%s", problem)
			continue
		}
		l.ok(base.Host, "connected to %s%s in %v", seen[i].remote, seen[i].tls, seen[i].took.Round(time.Millisecond))
	}
	return append(l.checks, clock(c.in.Upstreams, seen)...)
}

// look asks for nothing in particular: any answer has a date.
func (c *checker) look(ctx context.Context, base *url.URL) (s sighting) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	transport := &http.Transport{
		DialContext:       c.Dial,
		TLSClientConfig:   &tls.Config{RootCAs: c.in.RootCAs, MinVersion: tls.VersionTLS12, Time: c.Now},
		DisableKeepAlives: true,
	}
	defer transport.CloseIdleConnections()
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { s.remote = i.Conn.RemoteAddr().String() }})
	r, err := http.NewRequestWithContext(ctx, http.MethodHead, base.Scheme+"://"+base.Host+"/", nil)
	if err != nil {
		return sighting{err: err}
	}
	r.Header.Set("User-Agent", "wxproxy")
	r.Header.Set("Accept", "*/*")
	begun := c.Now()
	answer, err := transport.RoundTrip(r)
	if err != nil {
		return sighting{err: err}
	}
	_ = answer.Body.Close()
	s.took = c.Now().Sub(begun)
	if answer.TLS != nil {
		s.tls = ", " + tls.VersionName(answer.TLS.Version) + ","
	}
	s.at = begun.Add(s.took / 2)
	s.date, _ = http.ParseTime(answer.Header.Get("Date")) // zero if there is none
	return s
}

// clock compares ours with that of the first upstream that told its own.
func clock(upstreams []*url.URL, seen []sighting) []Check {
	l := list{group: GroupClock}
	const name, fix = "skew", "set this machine's clock (timedatectl set-ntp true, or chronyd); a container has the clock of its host"
	for i, s := range seen {
		if s.date.IsZero() {
			continue
		}
		ahead := skew(s.at, s.date)
		host := upstreams[i].Host
		switch {
		case ahead.Abs() >= maxSkew:
			l.fail(name, fix, "this machine's clock is %s of %s's: WeChat Pay refuses requests, and its answers look stale, from 5 minutes on", offset(ahead), host)
		case ahead.Abs() >= noticeSkew:
			l.warn(name, fix, "this machine's clock is %s of %s's; calls fail from 5 minutes on", offset(ahead), host)
		default:
			l.ok(name, "%v apart from %s", ahead.Abs(), host)
		}
		return l.checks
	}
	l.warn(name, "see the network checks above", "not measured: no upstream told its time")
	return l.checks
}

// skew is how far our clock is ahead, in whole seconds: a Date header has no
// fraction, on average half a second is cut off.
func skew(ours, date time.Time) time.Duration {
	return ours.Sub(date.Add(time.Second / 2)).Round(time.Second)
}

func offset(ahead time.Duration) string {
	if ahead < 0 {
		return fmt.Sprintf("%v behind", -ahead)
	}
	return fmt.Sprintf("%v ahead", ahead)
}

// unreachable says at which step a connection failed, and what that hints at.
func (c *checker) unreachable(base *url.URL, err error) (problem, fix string) {
	direct := "let this machine connect to " + base.Host + " directly (firewall, egress policy, security group; wxproxy does not use HTTPS_PROXY), or remove it from outbound.upstreams"
	var (
		name      *net.DNSError
		authority x509.UnknownAuthorityError
		roots     x509.SystemRootsError
		invalid   x509.CertificateInvalidError
		host      x509.HostnameError
		notTLS    tls.RecordHeaderError
		netError  net.Error
	)
	switch {
	case errors.As(err, &name):
		return "the name does not resolve", "check the spelling, and this machine's DNS (/etc/resolv.conf, the cluster's DNS, egress policy)"
	case errors.As(err, &authority), errors.As(err, &roots):
		return "TLS: its certificate is signed by nobody that this machine trusts",
			"install the system's CA certificates (package ca-certificates); behind a TLS gateway of your own, set outbound.upstream_ca"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Sprintf("TLS: its certificate is not valid at this machine's time, %s UTC", c.Now().UTC().Format(time.DateTime)), "check this machine's clock first"
	case errors.As(err, &host):
		return "TLS: another server answers under this name", "check DNS and /etc/hosts, and whether a gateway or portal intercepts the connection"
	case errors.As(err, &notTLS):
		return "TLS: what answers there does not speak TLS", "check the port, and whether a gateway or portal intercepts the connection"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "the connection was refused", direct
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &netError) && netError.Timeout():
		return fmt.Sprintf("no answer within %v", c.Timeout), direct
	default:
		return err.Error(), direct
	}
}
