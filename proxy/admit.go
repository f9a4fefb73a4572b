package proxy

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/wxproxy/wxproxy/internal/wire"
)

// methods are those that APIv3 has. Others are not signed: net/http repeats
// some of them by itself (OPTIONS, TRACE), with the old signature.
var methods = []string{
	http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
}

// admitCaller decides whether a request is one that a caller of ours made, and
// returns its target in origin form.
func (o *Outbound) admitCaller(r *http.Request, l Listener) (caller *Caller, raw string, f *failure) {
	if r.Method == http.MethodConnect {
		return nil, "", fail(ReasonMethodNotAllowed,
			"a tunnel cannot be signed: use plain http, either with the base URL http://%s or with http_proxy and http:// URLs", outside(localName(r)))
	}
	if f := refuseBrowser(r); f != nil {
		return nil, "", f
	}
	if !slices.Contains(methods, r.Method) {
		return nil, "", fail(ReasonMethodNotAllowed, "method %s is not one of APIv3's", outside(r.Method))
	}
	raw, absolute := originForm(r.RequestURI)
	if f := o.checkHost(r, l, absolute); f != nil {
		return nil, "", f
	}
	if caller = o.identify(r); caller == nil {
		return nil, "", fail(ReasonForbidden,
			"the caller is not one of those configured; send its token in the header %s", headerToken)
	}
	return caller, raw, nil
}

// admit decides whether a request may be signed at all: this port signs money.
func (o *Outbound) admit(r *http.Request, l Listener) (*Caller, wire.Target, *failure) {
	caller, raw, f := o.admitCaller(r, l)
	if f != nil {
		return nil, wire.Target{}, f
	}
	target, err := wire.ParseTarget(raw)
	if err != nil {
		return nil, wire.Target{}, fail(ReasonBadRequest, "%v", err).because(err)
	}
	if len(caller.Allow) > 0 && hidesSeparator(target.Path) {
		return nil, wire.Target{}, fail(ReasonForbidden, "%%2F, %%2E and %%5C in the path are refused where an allow list holds")
	}
	if !caller.allows(r.Method, target.Path) {
		return nil, wire.Target{}, fail(ReasonForbidden, "caller %s may not %s this path; see allow in its configuration", caller.Name, outside(r.Method))
	}
	return caller, target, nil
}

// refuseBrowser refuses what a web page could have made a browser send to a
// port of this machine. Browsers always add one of these; plain clients never,
// but for Sec-Fetch-Mode alone, which Node's fetch sends.
func refuseBrowser(r *http.Request) *failure {
	for name := range r.Header {
		if name == "Origin" || strings.HasPrefix(name, "Sec-Fetch-") && name != "Sec-Fetch-Mode" {
			return fail(ReasonForbidden, "requests of browsers are refused (header %s); call from the server side", outside(name))
		}
	}
	return nil
}

// originForm strips scheme and authority of an absolute-form target, which
// clients send to what they take for a proxy. Nothing else changes.
func originForm(raw string) (target string, absolute bool) {
	for _, scheme := range []string{"http://", "https://"} {
		if len(raw) < len(scheme) || !strings.EqualFold(raw[:len(scheme)], scheme) {
			continue
		}
		rest := raw[len(scheme):]
		if i := strings.IndexAny(rest, "/?"); i >= 0 {
			return rest[i:], true
		}
		return "/", true
	}
	return raw, false
}

// checkHost refuses names that are not ours: a page whose own name was made to
// resolve to this machine (DNS rebinding) carries its name here. A browser
// cannot reach a Unix socket, so there any name will do in origin form.
func (o *Outbound) checkHost(r *http.Request, l Listener, absolute bool) *failure {
	if l.Unix && !absolute {
		return nil
	}
	name := hostname(r.Host)
	_, ours := o.hosts[name]
	_, upstream := o.groups[name]
	if ours || upstream || isLoopbackName(name) {
		return nil
	}
	return fail(ReasonForbidden, "host %q is not one of ours; use localhost or the configured upstreams, or add it to outbound.hosts", outside(name))
}

func hostname(hostport string) string {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	return strings.ToLower(strings.Trim(strings.TrimSuffix(host, "."), "[]"))
}

func isLoopbackName(name string) bool {
	if name == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(name)
	return err == nil && ip.IsLoopback()
}

func hidesSeparator(path string) bool {
	p := strings.ToLower(path)
	return strings.Contains(p, "%2f") || strings.Contains(p, "%2e") || strings.Contains(p, "%5c")
}

// localName is the address that the request came to.
func localName(r *http.Request) string {
	if a, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok && a.Network() == "tcp" {
		return a.String()
	}
	return "localhost"
}
