package proxy

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Guard bounds what strangers can make the notify face do.
type Guard struct {
	Sources        []netip.Prefix // who may send; empty: anyone, since the signature decides
	TrustedProxies []netip.Prefix // whose X-Forwarded-For is believed
	Rate           rate.Limit     // deliveries of verified notifies a second in all; zero: no limit
	Burst          int
	FailureRate    rate.Limit // failures a second of one source before it is in debt; zero: it never is
	FailureBurst   int
}

// maxSources bounds the memory of failures. Who fills it only makes it forget.
const maxSources = 4096

// guard keeps the state of a Guard. Only what was not verified is charged to a
// source, and a source in debt still has its notifies verified with the keys
// that are known, after those of others: a genuine notify is never refused for
// its sender's rate, which may be that of an ingress shared with an attacker.
type guard struct {
	rules Guard
	all   *rate.Limiter
	now   func() time.Time

	mu       sync.Mutex
	failures map[netip.Addr]*rate.Limiter
}

func newGuard(rules Guard, now func() time.Time) *guard {
	g := &guard{rules: rules, now: now, failures: make(map[netip.Addr]*rate.Limiter)}
	if rules.Rate > 0 {
		g.all = rate.NewLimiter(rules.Rate, max(rules.Burst, 1))
	}
	return g
}

// admit takes one from the rate of deliveries.
func (g *guard) admit() bool { return g.all == nil || g.all.AllowN(g.now(), 1) }

// permits checks the list of source addresses.
func (g *guard) permits(source netip.Addr) bool {
	return len(g.rules.Sources) == 0 || within(g.rules.Sources, source)
}

// charge notes a failure.
func (g *guard) charge(source netip.Addr) {
	if g.rules.FailureRate <= 0 {
		return
	}
	g.limiter(source).AllowN(g.now(), 1)
}

// inDebt reports whether a source has failed too often.
func (g *guard) inDebt(source netip.Addr) bool {
	return g.rules.FailureRate > 0 && g.limiter(source).TokensAt(g.now()) < 1
}

func (g *guard) limiter(source netip.Addr) *rate.Limiter {
	if source.Is6() { // one host has a whole /64
		if p, err := source.Prefix(64); err == nil {
			source = p.Addr()
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	l := g.failures[source]
	if l == nil {
		if len(g.failures) >= maxSources {
			clear(g.failures)
		}
		l = rate.NewLimiter(g.rules.FailureRate, max(g.rules.FailureBurst, 1))
		g.failures[source] = l
	}
	return l
}

// source is the address that a request came from: the connection's, or, behind
// trusted proxies, the last address in X-Forwarded-For that is not one of them.
// Who may use a Unix socket is trusted, and has no address of its own: without
// the header there is none.
func (g *guard) source(r *http.Request) netip.Addr {
	var source netip.Addr
	if peer, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		source = plain(peer.Addr())
	}
	hops := strings.Split(strings.Join(r.Header["X-Forwarded-For"], ","), ",")
	for _, hop := range slices.Backward(hops) {
		if source.IsValid() && !within(g.rules.TrustedProxies, source) {
			return source
		}
		next, ok := parseHop(strings.TrimSpace(hop))
		if !ok {
			return source
		}
		source = next
	}
	return source
}

// parseHop reads an address as proxies write it: some add the port.
func parseHop(hop string) (netip.Addr, bool) {
	if withPort, err := netip.ParseAddrPort(hop); err == nil {
		return plain(withPort.Addr()), true
	}
	if inner, ok := strings.CutPrefix(hop, "["); ok {
		if hop, ok = strings.CutSuffix(inner, "]"); !ok {
			return netip.Addr{}, false
		}
	}
	a, err := netip.ParseAddr(hop)
	return plain(a), err == nil
}

// plain is an address as prefixes hold it: IPv4 unmapped, without a zone.
func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

func within(prefixes []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
}
