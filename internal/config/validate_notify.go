package config

import (
	"fmt"
	"regexp"
)

var routePath = regexp.MustCompile(`^/([A-Za-z0-9_~-][A-Za-z0-9._~-]*/)*([A-Za-z0-9_~-][A-Za-z0-9._~-]*)?$`)

func (k *checker) notify() {
	n := k.c.Notify
	if n.Listen != "" {
		k.address("notify.listen", n.Listen)
	} else if len(n.Routes) > 0 {
		k.fault("notify.listen", "is missing, and there are routes", "write an address, as in "+defaultNotifyListen)
	}
	if n.PublicURL != "" {
		u, err := parseURL(n.PublicURL)
		if err == nil && (u.RawQuery != "" || u.ForceQuery) {
			err = fmt.Errorf("has a query, which WeChat Pay refuses in notify_url")
		}
		if err != nil {
			k.fault("notify.public_url", err.Error(), "write how the public reaches this port, as in https://pay.example.com")
		}
	}
	k.notifyTLS()
	if n.ProxyProtocol && len(n.TrustedProxies) == 0 {
		k.fault("notify.proxy_protocol", "is on, and nobody may use it", "list the load balancers' networks in notify.trusted_proxies")
	}
	k.rate("notify.rate", n.Rate)
	k.rate("notify.failures", n.Failures)
	k.size("notify.limit", n.Limit, 1<<10)
	for i, r := range n.Routes {
		key := fmt.Sprintf("notify.routes[%d]", i)
		k.route(key, r)
		k.routeMerchants(key, r)
	}
	k.sharedPaths(n.Routes)
}

func (k *checker) route(key string, r Route) {
	if !routePath.MatchString(r.Path) {
		k.fault(join(key, "path"), missingOr(r.Path, "is not a plain path"), "write the path that WeChat Pay calls, without host and query, as in /notify/shop")
	}
	for i, e := range r.Events {
		if !eventPattern.MatchString(e) {
			k.fault(fmt.Sprintf("%s.events[%d]", key, i), "is not an event type", "write it as WeChat Pay does, as in TRANSACTION.SUCCESS; only a last segment may be *, as in TRANSACTION.*")
		}
	}
	k.duration(join(key, "timeout"), r.Timeout, 0, MaxRouteTimeout)
	if t := r.ClientTLS; t.Certificate.IsZero() != t.PrivateKey.IsZero() {
		k.fault(join(key, "client_tls"), "has one of certificate and private_key", "give both")
	} else if !t.IsZero() && t.Certificate.IsZero() {
		k.fault(join(key, "client_tls.ca"), "is given without certificate and private_key", "give both, or remove client_tls")
	}
	k.target(key, r)
}

// target checks where a route delivers. Whoever can reach an app could tell it
// "paid": one on another machine must be able to tell us from others.
func (k *checker) target(key string, r Route) {
	to := join(key, "to")
	u, err := parseURL(r.To)
	switch {
	case err != nil:
		k.fault(to, missingOr(r.To, err.Error()), "write the app's URL, as in http://127.0.0.1:3000/wechat/paid")
	case !r.ClientTLS.IsZero() && u.Scheme != "https":
		k.fault(to, "is http://, where client_tls cannot work", "use https://, or remove client_tls")
	case !loopbackHost(u.Hostname()) && r.WebhookSecret.IsZero() && r.ClientTLS.Certificate.IsZero():
		k.fault(to, "is not loopback, and nothing proves to the app that a delivery is ours",
			"give webhook_secret (the app checks the signature) or client_tls")
	}
}

func (k *checker) routeMerchants(key string, r Route) {
	switch {
	case r.Merchant != "" && len(r.Merchants) > 0:
		k.fault(join(key, "merchant"), "is given besides merchants", "keep one of the two")
	case r.Merchant != "" && r.Merchant != allMerchants:
		k.alias(join(key, "merchant"), r.Merchant)
	case r.Merchant == "" && len(r.Merchants) == 0 && len(k.c.Merchants) > 1:
		k.fault(join(key, "merchant"), "is missing, and there are several merchants", "write merchant: NAME, or merchants: all")
	}
	seen := map[string]string{}
	for i, name := range r.Merchants {
		item := fmt.Sprintf("%s.merchants[%d]", key, i)
		k.unique(seen, item, name, "list each merchant once")
		if name != allMerchants {
			k.alias(item, name)
		} else if len(r.Merchants) > 1 {
			k.fault(item, "stands among names", "write merchants: all alone, or only names")
		}
	}
}
