package check

import (
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/wxproxy/wxproxy/internal/secret"
)

// maxNotifyURL is the shorter of the two bounds that WeChat Pay's pages give.
const maxNotifyURL = 255

func (c *checker) notify(ctx context.Context) []Check {
	l := list{group: GroupNotify}
	l.checks = c.trials(ctx, GroupNotify)
	if len(c.in.Routes) > 0 {
		c.publicURL(&l)
		c.callback(ctx, &l)
		c.distinctKeys(ctx, &l)
	}
	return l.checks
}

// publicURL names what WeChat Pay could never call. The form of the URL was
// judged when the config was loaded.
func (c *checker) publicURL(l *list) {
	const name, example = "public_url", "write the address under which the Internet reaches this port, as in https://pay.example.com"
	if c.in.PublicURL == "" {
		l.ok(name, "not set: your app gives notify_url itself, with the paths of the routes")
		return
	}
	u, err := url.Parse(c.in.PublicURL)
	if err != nil {
		l.fail(name, example, "not a URL")
		return
	}
	longest := 0
	for _, r := range c.in.Routes {
		longest = max(longest, len(strings.TrimSuffix(c.in.PublicURL, "/")+r.Path))
	}
	switch private := privateHost(u.Hostname()); {
	case private != "" && c.in.Callback.Mode == "internal":
		l.ok(name, "%s, for development: WeChat Pay cannot reach it", c.in.PublicURL)
	case private != "":
		l.fail(name, example, "%s %s: WeChat Pay cannot reach it", u.Hostname(), private)
	case longest > maxNotifyURL:
		l.fail(name, "shorten it, or the paths of the routes", "with the path of a route it has %d characters; WeChat Pay takes at most %d in notify_url", longest, maxNotifyURL)
	case u.Scheme == "http":
		l.warn(name, "use https://; an ingress or load balancer before wxproxy can speak TLS", "http://: everybody on the way can read who paid what")
	default:
		l.ok(name, "%s", c.in.PublicURL)
	}
}

// privateHost says why the Internet cannot reach a host, or nothing.
func privateHost(host string) string {
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	if ip, err := netip.ParseAddr(name); err == nil {
		switch ip = ip.Unmap(); {
		case ip.IsLoopback():
			return "is this machine itself"
		case !ip.IsGlobalUnicast() || ip.IsPrivate() || carrierGrade.Contains(ip):
			return "is an address of a private network"
		}
		return ""
	}
	switch {
	case name == "localhost" || strings.HasSuffix(name, ".localhost"):
		return "is this machine itself"
	case !strings.Contains(name, "."):
		return "is a name without a domain, known in a private network only"
	case strings.HasSuffix(name, ".local") || strings.HasSuffix(name, ".internal") || strings.HasSuffix(name, ".svc"):
		return "is a name of a private network"
	}
	return ""
}

// carrierGrade addresses are private too (RFC 6598); clouds use them inside.
var carrierGrade = netip.MustParsePrefix("100.64.0.0/10")

// distinctKeys compares the APIv3 keys themselves: loading the config compared
// only where they are. Who decrypts a notify is whose it is, and with one key
// both merchants of a path would.
func (c *checker) distinctKeys(ctx context.Context, l *list) {
	const name = "apiv3_key"
	keys := c.apiv3Keys(ctx)
	defer func() {
		for _, k := range keys {
			k.Clear()
		}
	}()
	var shared []string
	for path, names := range c.merchantsByPath() {
		for i, a := range names {
			for _, b := range names[i+1:] {
				if !keys[a].IsZero() && keys[a].Trimmed().Equal(keys[b].Trimmed()) {
					shared = append(shared, fmt.Sprintf("%s and %s on %s", a, b, path))
				}
			}
		}
	}
	switch {
	case len(c.in.Merchants) < 2:
	case len(shared) > 0:
		slices.Sort(shared)
		l.fail(name, "give each merchant its own path, or its own APIv3 key",
			"the same APIv3 key for %s: whose a notify is could not be told", strings.Join(shared, ", "))
	default:
		l.ok(name, "merchants that share a path have different APIv3 keys")
	}
}

// apiv3Keys reads what can be read; what cannot is told at its merchant.
func (c *checker) apiv3Keys(ctx context.Context) map[string]secret.Value {
	keys := make(map[string]secret.Value)
	for _, m := range c.in.Merchants {
		if v, err := c.Reader.Read(ctx, m.APIv3Key); err == nil {
			keys[m.Name] = v
		}
	}
	return keys
}

// merchantsByPath lists the merchants of each path once, in the config's order.
func (c *checker) merchantsByPath() map[string][]string {
	paths := make(map[string][]string)
	for _, r := range c.in.Routes {
		for _, m := range c.in.Merchants {
			if slices.Contains(r.Merchants, m.Name) && !slices.Contains(paths[r.Path], m.Name) {
				paths[r.Path] = append(paths[r.Path], m.Name)
			}
		}
	}
	return paths
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
