package config

import (
	"fmt"
	"strings"
	"time"
)

const upstreamFix = "write scheme and host only, as in https://api.mch.weixin.qq.com"

// roomForAnswer is what a call that changes something takes of in_flight beside
// its body.
const roomForAnswer = 8 << 10

func (k *checker) outbound() {
	o := k.c.Outbound
	k.outboundListen(o)
	k.upstreamGroups(o)
	for i, h := range o.Hosts {
		if !isHost(strings.Trim(h, "[]")) {
			k.fault(fmt.Sprintf("outbound.hosts[%d]", i), "is not a host name", "write the name alone, without scheme, port and path, as in wxproxy.internal")
		}
	}
	k.callers(o)
	l := o.Limits
	k.size("outbound.limits.request", l.Request, 1<<10)
	k.size("outbound.limits.response", l.Response, 1<<10)
	k.size("outbound.limits.encrypted_bill", l.EncryptedBill, 1<<10)
	k.size("outbound.limits.headers", l.Headers, 4<<10)
	k.size("outbound.limits.in_flight", l.InFlight, max(l.Request+roomForAnswer, l.Response))
	k.rate("outbound.limits.rate", l.Rate)
	for family, r := range l.Rates.ByFamily() {
		k.rate("outbound.limits.rates."+family, r)
	}
	k.duration("outbound.timeout", o.Timeout, time.Millisecond, time.Hour)
	k.duration("outbound.connect_timeout", o.ConnectTimeout, time.Millisecond, max(o.Timeout, time.Millisecond))
	k.duration("shutdown_grace", k.c.ShutdownGrace, 0, 0)
	k.duration("shutdown_delay", k.c.ShutdownDelay, 0, k.c.ShutdownGrace)
	k.duration("shutdown_linger", k.c.ShutdownLinger, 0, max(0, k.c.ShutdownGrace-k.c.ShutdownDelay))
}

func (k *checker) outboundListen(o Outbound) {
	if len(o.Listen) == 0 {
		k.fault("outbound.listen", "is empty", "write an address, as in 127.0.0.1:8080, or remove the line for the default")
	}
	for i, l := range o.Listen {
		key := fmt.Sprintf("outbound.listen[%d]", i)
		if l.Merchant != "" {
			k.alias(join(key, "merchant"), l.Merchant)
		}
		address := join(key, "address")
		if !k.address(address, l.Address) || IsLoopback(l.Address) {
			continue
		}
		if !o.UnsafeListen {
			k.fault(address, "is reachable from other machines, and this port signs money",
				"use 127.0.0.1 or unix:/path; or set outbound.unsafe_listen: true and list callers with tokens")
		} else if !anyToken(o.Callers) {
			k.fault(address, "is reachable from other machines without a token", "list outbound.callers, each with a token")
		}
	}
}

func anyToken(callers []Caller) bool {
	for _, c := range callers {
		if !c.Token.IsZero() {
			return true
		}
	}
	return false
}

// upstreamGroups checks all addresses. One of another machine stands once: the
// host that a call names tells its group.
func (k *checker) upstreamGroups(o Outbound) {
	names, seen := map[string]string{}, map[string]string{}
	k.upstreams("outbound.upstreams", o.Upstreams, seen)
	for i, g := range o.UpstreamGroups {
		key := fmt.Sprintf("outbound.upstream_groups[%d]", i)
		if !aliasName.MatchString(g.Name) {
			k.fault(join(key, "name"), missingOr(g.Name, "is not a valid name"), "use 1 to 32 lower-case letters, digits, - and _, as in hk")
		}
		k.unique(names, join(key, "name"), g.Name, "give each group its own name")
		k.upstreams(join(key, "upstreams"), g.Upstreams, seen)
	}
	for i, m := range k.c.Merchants {
		if _, ok := names[m.UpstreamGroup]; m.UpstreamGroup != "" && !ok {
			k.fault(fmt.Sprintf("merchants[%d].upstream_group", i), "is not one of outbound.upstream_groups", "name one of them, or add it there with its upstreams")
		}
	}
}

func (k *checker) upstreams(list string, upstreams []string, seen map[string]string) {
	if len(upstreams) == 0 {
		k.fault(list, "is empty", "remove the line for WeChat Pay's own addresses, or list yours")
	}
	for i, s := range upstreams {
		key := fmt.Sprintf("%s[%d]", list, i)
		u, err := parseURL(s)
		switch {
		case err != nil:
			k.fault(key, err.Error(), upstreamFix)
		case u.Path != "" || u.RawQuery != "" || u.ForceQuery:
			k.fault(key, "has a path or query", upstreamFix)
		case u.Scheme == "http" && !loopbackHost(u.Hostname()):
			k.fault(key, "is http:// to another machine", "use https://; plain http:// is for a simulator on loopback")
		default:
			k.unique(seen, key, strings.ToLower(u.Scheme+"://"+u.Host), "list each upstream once, in one group")
		}
	}
}

func (k *checker) callers(o Outbound) {
	callerNames, tokens, uids := map[string]string{}, map[string]string{}, map[string]string{}
	for i, c := range o.Callers {
		key := fmt.Sprintf("outbound.callers[%d]", i)
		k.caller(key, c)
		k.unique(callerNames, join(key, "name"), c.Name, "give each caller its own name")
		k.unique(tokens, join(key, "token"), c.Token.String(), "give each caller its own token")
		if c.UID == nil {
			continue
		}
		k.unique(uids, join(key, "uid"), fmt.Sprint(*c.UID), "list each user ID once")
		if !anySocket(o.Listen) {
			k.fault(join(key, "uid"), "can be known on Unix sockets only, and outbound.listen has none", "add unix:/path to outbound.listen, or use token")
		}
	}
}

func anySocket(listen []Listener) bool {
	for _, l := range listen {
		if strings.HasPrefix(l.Address, unixPrefix) {
			return true
		}
	}
	return false
}

func (k *checker) caller(key string, c Caller) {
	if !aliasName.MatchString(c.Name) {
		k.fault(join(key, "name"), missingOr(c.Name, "is not a valid name"), aliasFix)
	}
	switch {
	case c.Token.IsZero() && c.UID == nil:
		k.fault(join(key, "token"), "is missing, and so is uid", "write token: env:NAME or token: file:PATH; or uid: NUMBER on a Unix socket")
	case !c.Token.IsZero() && c.UID != nil:
		k.fault(join(key, "uid"), "is given besides token", "keep one of the two")
	case c.UID != nil && *c.UID < 0:
		k.fault(join(key, "uid"), "is negative", "write the number that id -u prints")
	}
	for i, name := range c.Merchants {
		k.alias(fmt.Sprintf("%s.merchants[%d]", key, i), name)
	}
	for i, pattern := range c.Allow {
		if err := checkAllow(pattern); err != nil {
			k.fault(fmt.Sprintf("%s.allow[%d]", key, i), err.Error(), `write "METHOD /path", as in "GET /v3/**" or "POST /v3/refund/domestic/refunds"`)
		}
	}
}
