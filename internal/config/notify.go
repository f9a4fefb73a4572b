package config

import (
	"net/netip"
	"strings"
	"time"
)

// MaxRouteTimeout leaves WeChat half a second of the five that it waits.
const MaxRouteTimeout = 4500 * time.Millisecond

// Notify is the port that WeChat Pay calls. It serves nothing but the routes.
type Notify struct {
	// Address for WeChat Pay, or for the ingress before us. host:port or unix:/path. Default:
	// 127.0.0.1:8443 when there are routes, else off.
	Listen string `yaml:"listen"`
	// How the public reaches this port, as in https://pay.example.com. An order, refund or
	// transfer that leaves notify_url out gets the address of its merchant's route, if exactly
	// one route without events is his; and wxproxy check looks at it. Default: none, bodies stay
	// as they are.
	PublicURL string `yaml:"public_url"`
	// TLS of this port.
	TLS NotifyTLS `yaml:"tls"`
	// Addresses and networks that notifies may come from. Default: any; the signature decides.
	SourceIPs []netip.Prefix `yaml:"source_ips"`
	// Networks of proxies whose X-Forwarded-For is believed, as is that of whoever may use a Unix
	// socket. Default: none.
	TrustedProxies []netip.Prefix `yaml:"trusted_proxies"`
	// true: trusted_proxies announce the sender by the PROXY protocol, version 1 or 2, as TCP load
	// balancers do. From others such an announcement is refused. Default: false.
	ProxyProtocol bool `yaml:"proxy_protocol"`
	// Bound on verified notifies that go to the apps, all together. Default: 200 a second, burst
	// 400.
	Rate Rate `yaml:"rate"`
	// Failures of one source (not verified, or its body not whole) before it is in debt: then
	// others come first, and no platform keys are refreshed for it. Genuine notifies are never
	// charged. Default: 1 a second, burst 20.
	Failures Rate `yaml:"failures"`
	// Largest notify. Default: 1MiB.
	Limit Size `yaml:"limit"`
	// Which notifies go where. Default: none, the port stays closed.
	Routes []Route `yaml:"routes"`
}

// Route delivers the notifies of one path to one app. Routes may share a path
// when their merchants or events differ; of several event patterns that match,
// the longest wins.
type Route struct {
	// Path that WeChat Pay calls, as in /notify/shop. Required.
	Path string `yaml:"path"`
	// Alias of the merchant. Default: the only merchant. Give this or merchants.
	Merchant string `yaml:"merchant"`
	// Aliases of several merchants, or all. Whose key verifies and decrypts a notify, his it is.
	Merchants []string `yaml:"merchants" single:"text"`
	// Event types, as in TRANSACTION.SUCCESS; a last * stands for the rest, as in
	// TRANSACTION.*. Default: all.
	Events []string `yaml:"events"`
	// URL of the app. One that is not loopback needs webhook_secret or client_tls: whoever
	// reaches the app could say "paid". Required.
	To string `yaml:"to"`
	// What the app gets: envelope (the notify with its resource decrypted), resource (the
	// decrypted object alone), raw (WeChat's bytes and headers, verified), or cloudevents.
	// Default: envelope.
	Body string `yaml:"body" enum:"envelope,resource,raw,cloudevents"`
	// on: texts inside the resource that are encrypted once more, with the merchant's key, are
	// decrypted too. off: the app does that; raw never has them decrypted. Default: on.
	Sensitive string `yaml:"sensitive" enum:"on,off"`
	// When WeChat Pay is told that the notify is taken. app: when the app has answered 2xx.
	// Default: app.
	Ack string `yaml:"ack" enum:"app" later:"inbox"`
	// What WeChat Pay is answered. auto: the app's own status and body for the few events whose
	// answer it reads (signed where it wants that), an acknowledgement for all others. app: the
	// app's own status and body, for a kind of event that wxproxy does not know yet; signed: the
	// same, with the merchant's signature; ack: an acknowledgement alone. Default: auto.
	Answer string `yaml:"answer" enum:"auto,app,signed,ack"`
	// Reference to a Standard Webhooks secret (whsec_…) that signs deliveries to the app.
	// Default: none.
	WebhookSecret Ref `yaml:"webhook_secret"`
	// Our side of mutual TLS with the app. Default: none.
	ClientTLS ClientTLS `yaml:"client_tls"`
	// Time for the app to answer, at most 4.5s: WeChat waits 5s. Default: 0, the budget of the
	// event family.
	Timeout time.Duration `yaml:"timeout"`
}

// ClientTLS is what we show to an app, and whom we believe.
type ClientTLS struct {
	// Reference to our client certificate, PEM. Given together with private_key.
	Certificate Ref `yaml:"certificate" kind:"public"`
	// Reference to its private key, PEM.
	PrivateKey Ref `yaml:"private_key"`
	// PEM file of the certificates that may sign the app's. Default: the system's.
	CA string `yaml:"ca" kind:"path"`
}

// IsZero reports whether mutual TLS is not configured.
func (t ClientTLS) IsZero() bool { return t == ClientTLS{} }

func (r *Route) setDefaults() { r.Body, r.Ack, r.Answer, r.Sensitive = "envelope", "app", "auto", "on" }

// NamedBy returns the aliases that r names, none where it is for all of them:
// it says so, or there is one merchant only.
func (*Config) NamedBy(r Route) []string {
	switch {
	case r.Merchant != "" && r.Merchant != allMerchants:
		return []string{r.Merchant}
	case len(r.Merchants) > 0 && r.Merchants[0] != allMerchants:
		return r.Merchants
	default:
		return nil
	}
}

// MerchantsOf returns the aliases that r is for.
func (c *Config) MerchantsOf(r Route) []string {
	if named := c.NamedBy(r); named != nil {
		return named
	}
	names := make([]string, 0, len(c.Merchants))
	for _, m := range c.Merchants {
		names = append(names, m.Name)
	}
	return names
}

// NotifyURLs are the addresses that WeChat Pay shall call, by alias: of the
// merchants who have exactly one route without events, where public_url is
// given. Two such routes of one merchant would leave it open which is meant.
func (c *Config) NotifyURLs() map[string]string {
	if c.Notify.PublicURL == "" {
		return nil
	}
	urls := make(map[string]string)
	for name, list := range c.addresses(func(r Route) bool { return len(r.Events) == 0 }) {
		if len(list) == 1 {
			urls[name] = list[0]
		}
	}
	return urls
}

// NotifyAddresses are all addresses under public_url that have a route, by alias.
func (c *Config) NotifyAddresses() map[string][]string {
	if c.Notify.PublicURL == "" {
		return nil
	}
	return c.addresses(func(Route) bool { return true })
}

func (c *Config) addresses(wanted func(Route) bool) map[string][]string {
	urls := make(map[string][]string)
	for _, r := range c.Notify.Routes {
		if !wanted(r) {
			continue
		}
		address := strings.TrimSuffix(c.Notify.PublicURL, "/") + r.Path
		for _, name := range c.MerchantsOf(r) {
			urls[name] = append(urls[name], address)
		}
	}
	return urls
}

const (
	allMerchants        = "all"
	defaultNotifyListen = "127.0.0.1:8443"
)

func defaultNotify() Notify {
	return Notify{
		TLS:      defaultNotifyTLS(),
		Rate:     Rate{PerSecond: 200, Burst: 400},
		Failures: Rate{PerSecond: 1, Burst: 20},
		Limit:    1 << 20,
	}
}
