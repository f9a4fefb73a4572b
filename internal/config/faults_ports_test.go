package config_test

import (
	"strings"
	"testing"

	"github.com/wxproxy/wxproxy/internal/config"
)

func TestOutboundFaults(t *testing.T) {
	t.Parallel()
	caller := func(fields string) string { return outbound("callers: [{" + fields + "}]") }
	allow := func(pattern string) string { return caller("name: a, token: env:SET, allow: ['" + pattern + "']") }
	upstream := func(u string) string { return outbound("upstreams: ['" + u + "']") }
	check(t, []row{
		{"no address", outbound("listen: []"), "12 outbound.listen: is empty"},
		{"address", outbound("listen: localhost"), "12 outbound.listen[0].address: is neither host:port nor unix:/path"},
		{"port", outbound("listen: localhost:http"), "12 outbound.listen[0].address: needs a port number"},
		{"port range", outbound("listen: localhost:65536"), "12 outbound.listen[0].address: needs a port number"},
		{"host", outbound("listen: 'a b:80'"), "12 outbound.listen[0].address: has a host"},
		{"long socket path", outbound("listen: unix:/" + strings.Repeat("a", 104)), "12 outbound.listen[0].address: must have a socket path"},
		{"every interface", outbound("listen: ':8080'"), "12 outbound.listen[0].address: is reachable from other machines, and this port signs money"},
		{"zero address", outbound("listen: '[::]:8080'"), "12 outbound.listen[0].address: is reachable from other machines, and"},
		{"a name", outbound("listen: proxy.local:8080"), "12 outbound.listen[0].address: is reachable from other machines, and"},
		{"unsafe without callers", outbound("listen: ':8080'\nunsafe_listen: true"), "12 outbound.listen[0].address: is reachable from other machines without a token"},
		{"listener's merchant", outbound("listen: [{address: 'localhost:1', merchant: shopp}]"), "12 outbound.listen[0].merchant: names no merchant"},
		{"same address", outbound("listen: [127.0.0.1:81, localhost:81]"), "12 outbound.listen[1].address: is the same address as outbound.listen[0].address"},
		{"no upstream", outbound("upstreams: []"), "12 outbound.upstreams: is empty"},
		{"group without name", outbound("upstream_groups: [{upstreams: ['https://apihk.mch.weixin.qq.com']}]"), "12 outbound.upstream_groups[0].name: is missing"},
		{"group name", outbound("upstream_groups: [{name: HK, upstreams: ['https://apihk.mch.weixin.qq.com']}]"), "12 outbound.upstream_groups[0].name: is not a valid name"},
		{"empty group", outbound("upstream_groups: [{name: hk}]"), "12 outbound.upstream_groups[0].upstreams: is empty"},
		{"upstream of a group", outbound("upstream_groups: [{name: hk, upstreams: [apihk]}]"), "12 outbound.upstream_groups[0].upstreams[0]: does not begin with http"},
		{"upstream in two groups", outbound("upstream_groups: [{name: hk, upstreams: ['https://api.mch.weixin.qq.com']}]"), "12 outbound.upstream_groups[0].upstreams[0]: is the same as outbound.upstreams[0]"},
		{"two groups of one name", outbound("upstream_groups: [{name: hk, upstreams: ['https://a.example']}, {name: hk, upstreams: ['https://b.example']}]"), "12 outbound.upstream_groups[1].name: is the same as"},
		{"merchant of no group", with("notify:\n", "    upstream_group: hk\nnotify:\n"), "7 merchants[0].upstream_group: is not one of outbound.upstream_groups"},
		{"certificates path", platform("certificates_path: /v3/certs"), "8 merchants[0].platform.certificates_path: is not a value"},
		{"upstream scheme", upstream("api.mch.weixin.qq.com"), "12 outbound.upstreams[0]: does not begin with http"},
		{"upstream host", upstream("https://:443"), "12 outbound.upstreams[0]: has no valid host"},
		{"upstream path", upstream("https://api.mch.weixin.qq.com/v3"), "12 outbound.upstreams[0]: has a path or query"},
		{"upstream slash", upstream("https://api.mch.weixin.qq.com/"), "12 outbound.upstreams[0]: has a path or query"},
		{"upstream query", upstream("https://api.mch.weixin.qq.com?a=b"), "12 outbound.upstreams[0]: has a path or query"},
		{"upstream user", upstream("https://u:p@api.mch.weixin.qq.com"), "12 outbound.upstreams[0]: contains a user name"},
		{"upstream fragment", upstream("https://api.mch.weixin.qq.com#"), "12 outbound.upstreams[0]: contains a fragment"},
		{"upstream port", upstream("https://api.mch.weixin.qq.com:0"), "12 outbound.upstreams[0]: has no valid port"},
		{"plain upstream", upstream("http://api.mch.weixin.qq.com"), "12 outbound.upstreams[0]: is http:// to another machine"},
		{"same upstream", outbound("upstreams: [https://a.example, https://A.example]"), "12 outbound.upstreams[1]: is the same as outbound.upstreams[0]"},
		{"own host", outbound("hosts: ['wxproxy:8080']"), "12 outbound.hosts[0]: is not a host name"},
		{"caller's name", caller("token: env:SET"), "12 outbound.callers[0].name: is missing"},
		{"caller without proof", caller("name: a"), "12 outbound.callers[0].token: is missing, and so is uid"},
		{"caller with two proofs", outbound("listen: unix:api.sock\ncallers: [{name: a, token: env:SET, uid: 1}]"), "13 outbound.callers[0].uid: is given besides token"},
		{"negative uid", outbound("listen: unix:api.sock\ncallers: [{name: a, uid: -1}]"), "13 outbound.callers[0].uid: is negative"},
		{"uid without a socket", caller("name: a, uid: 1000"), "12 outbound.callers[0].uid: can be known on Unix sockets only"},
		{"literal token", caller("name: a, token: hunter2"), "12 outbound.callers[0].token: must be a reference"},
		{"caller's merchant", caller("name: a, token: env:SET, merchants: [shop, shopp]"), "12 outbound.callers[0].merchants[1]: names no merchant"},
		{"same caller", outbound("callers: [{name: a, token: env:SET}, {name: a, token: env:TEN}]"), "12 outbound.callers[1].name: is the same as"},
		{"same token", outbound("callers: [{name: a, token: env:SET}, {name: b, token: env:SET}]"), "12 outbound.callers[1].token: is the same as"},
		{"same uid", outbound("listen: unix:api.sock\ncallers: [{name: a, uid: 1}, {name: b, uid: 1}]"), "13 outbound.callers[1].uid: is the same as"},
		{"allow without method", allow("/v3/**"), "12 outbound.callers[0].allow[0]: is not a method"},
		{"allow method", allow("get /v3/**"), "12 outbound.callers[0].allow[0]: begins with neither"},
		{"allow path", allow("GET v3/**"), "12 outbound.callers[0].allow[0]: has a path that does not begin with /"},
		{"allow dots", allow("GET /v3/../x"), "12 outbound.callers[0].allow[0]: has an empty or dot segment"},
		{"allow empty segment", allow("GET /v3//x"), "12 outbound.callers[0].allow[0]: has an empty or dot segment"},
		{"allow inner **", allow("GET /v3/**/x"), "12 outbound.callers[0].allow[0]: has ** before the end"},
		{"allow partial *", allow("GET /v3/pay*"), "12 outbound.callers[0].allow[0]: has a * within a segment"},
		{"allow query", allow("GET /v3/x?y"), "12 outbound.callers[0].allow[0]: has a path with characters"},
		{"allow nothing", allow("GET /v2/**"), "12 outbound.callers[0].allow[0]: can match nothing"},
		{"request limit", outbound("limits: {request: 1023}"), "12 outbound.limits.request: is too small"},
		{"headers limit", outbound("limits: {headers: 1KiB}"), "12 outbound.limits.headers: is too small"},
		{"in flight", outbound("limits: {in_flight: 8MiB}"), "12 outbound.limits.in_flight: is too small"},
		{"burst", outbound("limits: {rate: {per_second: 10}}"), "12 outbound.limits.rate.burst: must be at least 1"},
		{"timeout", outbound("timeout: 0s\nconnect_timeout: 1ms"), "12 outbound.timeout: is out of range"},
		{"connect timeout", outbound("connect_timeout: 31s"), "12 outbound.connect_timeout: is out of range"},
	})
}

func TestNotifyFaults(t *testing.T) {
	t.Parallel()
	to := func(u string) string { return with("http://127.0.0.1:3000/paid", u) }
	path := func(p string) string { return with("/notify/shop", p) }
	check(t, []row{
		{"address", notify("listen: 8443"), "11 notify.listen: is neither"},
		{"public url", notify("public_url: pay.example.com"), "11 notify.public_url: does not begin with http"},
		{"public query", notify("public_url: https://pay.example.com?a"), "11 notify.public_url: has a query"},
		{"limit", notify("limit: 10"), "11 notify.limit: is too small"},
		{"failures", notify("failures: {burst: 0}"), "11 notify.failures.burst: must be at least 1"},
		{"no path", with("- path: /notify/shop\n      to", "- to"), "9 notify.routes[0].path: is missing"},
		{"relative path", path("notify"), "9 notify.routes[0].path: is not a plain path"},
		{"path with query", path("/notify?a=b"), "9 notify.routes[0].path: is not a plain path"},
		{"path with dots", path("/notify/../x"), "9 notify.routes[0].path: is not a plain path"},
		{"double slash", path("//notify"), "9 notify.routes[0].path: is not a plain path"},
		{"no target", with("      to: http://127.0.0.1:3000/paid\n", ""), "9 notify.routes[0].to: is missing"},
		{"target", to("ftp://127.0.0.1"), "10 notify.routes[0].to: does not begin with http"},
		{"target's user", to("http://u:p@127.0.0.1"), "10 notify.routes[0].to: contains a user name"},
		{"open target", to("https://shop.example.com/paid"), "10 notify.routes[0].to: is not loopback"},
		{"look-alike target", to("http://127.0.0.1.example.com/paid"), "10 notify.routes[0].to: is not loopback"},
		{"mutual tls over http", route("client_tls: {certificate: file:other.pem, private_key: file:key.pem}"), "10 notify.routes[0].to: is http://, where client_tls cannot work"},
		{"half a pair", strings.Replace(route("client_tls: {certificate: file:other.pem}"), "http:", "https:", 1), "11 notify.routes[0].client_tls: has one of"},
		{"ca alone", strings.Replace(route("client_tls: {ca: other.pem}"), "http:", "https:", 1), "11 notify.routes[0].client_tls.ca: is given without"},
		{"event", route("events: [transaction.success]"), "11 notify.routes[0].events[0]: is not an event type"},
		{"inner *", route("events: ['*.SUCCESS']"), "11 notify.routes[0].events[0]: is not an event type"},
		{"partial *", route("events: ['TRANS*']"), "11 notify.routes[0].events[0]: is not an event type"},
		{"slow app", route("timeout: 4501ms"), "11 notify.routes[0].timeout: is out of range"},
		{"merchant", route("merchant: shopp"), "11 notify.routes[0].merchant: names no merchant"},
		{"two ways", route("merchant: shop\nmerchants: all"), "11 notify.routes[0].merchant: is given besides merchants"},
		{"all among names", route("merchants: [shop, all]"), "11 notify.routes[0].merchants[1]: stands among names"},
		{"twice", route("merchants: [shop, shop]"), "11 notify.routes[0].merchants[1]: is the same as"},
		{"which merchant", two("", ""), "14 notify.routes[0].merchant: is missing, and there are several"},
		{"one key, one path", two("other.pem", "apiv3_key") + indent("merchants: all", 6), "14 notify.routes[0].path: serves shop and second"},
		{"same route", smallest + "    - {path: /notify/shop, to: 'http://localhost:1'}\n", "11 notify.routes[1].path: claims notifies that notify.routes[0] claims too"},
		{"same events", route("events: [A.B, A.*]") + "    - {path: /notify/shop, to: 'http://localhost:1', events: [B, A.*]}\n", "12 notify.routes[1].path: claims notifies"},
	})
}

func TestAdminFaults(t *testing.T) {
	t.Parallel()
	admin := func(fields string) string { return smallest + "admin: {" + fields + "}\n" }
	endpoint := func(fields string) string { return smallest + "endpoints: [{" + fields + "}]\n" }
	check(t, []row{
		{"address", admin("listen: nowhere"), "11 admin.listen: is neither"},
		{"same as outbound", admin("listen: ':8080'"), "11 admin.listen: is the same address as outbound.listen[0].address"},
		{"same as notify", admin("listen: '0.0.0.0:8443'"), "11 admin.listen: is the same address as notify.listen"},
		{"control address", admin("control: nowhere"), "11 admin.control: is neither"},
		{"open control", admin("control: ':9091', control_token: env:SET"), "11 admin.control: is reachable from other machines"},
		{"control without token", admin("control: '127.0.0.1:9091'"), "11 admin.control_token: is missing"},
		{"same as admin", admin("control: 'localhost:9090', control_token: env:SET"), "11 admin.control: is the same address as admin.listen"},
		{"token without control", admin("control_token: env:SET"), "11 admin.control_token: is given, and the control port is off"},
		{"no method", endpoint("path: /v3/x"), "11 endpoints[0].method: is missing"},
		{"method", endpoint("method: get, path: /v3/x"), "11 endpoints[0].method: is not a value"},
		{"rate family", endpoint("method: GET, path: /v3/x, rate_family: refunds"), "11 endpoints[0].rate_family: is not a value"},
		{"executed", endpoint("method: POST, path: /v3/x, executed: [200]"), "11 endpoints[0].executed[0]: is not an error status"},
		{"executed GET", endpoint("method: GET, path: /v3/x, executed: [500]"), "11 endpoints[0].executed: is given for a GET"},
		{"encrypted", endpoint("method: GET, path: /v3/x, encrypted: a-b"), "11 endpoints[0].encrypted: is not the name"},
		{"unsigned statement", endpoint("method: GET, path: /v3/x, statement: true, unsigned: true"), "11 endpoints[0].statement: is true, and so is"},
		{"rate of a family", outbound("limits: {rates: {refund: {per_second: 5}}}"), "12 outbound.limits.rates.refund.burst: must be at least 1"},
		{"rate of no family", outbound("limits: {rates: {refunds: {per_second: 5}}}"), "12 outbound.limits.rates.refunds: is not a known key"},
		{"no path", endpoint("method: GET"), "11 endpoints[0].path: is missing"},
		{"path", endpoint("method: GET, path: /v2/x"), "11 endpoints[0].path: is outside"},
		{"template", endpoint("method: GET, path: '/v3/x{y}'"), "11 endpoints[0].path: has a segment"},
		{"label", endpoint("method: GET, path: /v3/x, label: a b"), "11 endpoints[0].label: is not a label"},
		{"link", endpoint("method: GET, path: /v3/x, download: 'a[]'"), "11 endpoints[0].download: is not the path of a link"},
		{"notify URL", endpoint("method: POST, path: /v3/x, notify_url: a.b"), "11 endpoints[0].notify_url: is not a field name"},
		{"field", endpoint("method: GET, path: /v3/x, idempotency_key: a.b"), "11 endpoints[0].idempotency_key: is not a field name"},
		{"sensitive", endpoint("method: POST, path: /v3/x, sensitive: no"), "11 endpoints[0].sensitive: is not a value"},
		{"sensitive path", endpoint("method: POST, path: /v3/x, sensitive_request: [a.b, a..b]"), "11 endpoints[0].sensitive_request[1]: is not the path of a field"},
		{"sensitive index", endpoint("method: POST, path: /v3/x, sensitive_response: ['a[0].b']"), "11 endpoints[0].sensitive_response[0]: is not the path of a field"},
		{"sensitive parameter", endpoint("method: GET, path: /v3/x, sensitive_query: [a.b]"), "11 endpoints[0].sensitive_query[0]: is not a parameter name"},
		{"sensitive body of a GET", endpoint("method: GET, path: /v3/x, sensitive_request: [a]"), "11 endpoints[0].sensitive_request: is given for a GET"},
		{"sensitive off, and fields", endpoint("method: POST, path: /v3/x, sensitive: off, sensitive_query: [a]"), "11 endpoints[0].sensitive: is off, and fields are given"},
		{"twice", smallest + "endpoints:\n- {method: GET, path: '/v3/{a}'}\n- {method: GET, path: '/v3/{b}'}\n", "13 endpoints[1].path: is the same as endpoints[0].path"},
	})
}

func TestAllowed(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"sections commented out":  smallest + "outbound:\nadmin:\nlog: ~\n",
		"gateway":                 outbound("listen: 0.0.0.0:8080\nunsafe_listen: true\ncallers: [{name: a, token: env:SET}]"),
		"simulator":               outbound("upstreams: ['http://127.0.0.1:9000', 'http://[::1]:9000']"),
		"free ports":              outbound("listen: [127.0.0.1:0, 127.0.0.1:0]"),
		"open health":             smallest + "admin: {listen: ':9090'}\n",
		"no health":               smallest + "admin: {listen: ''}\n",
		"control":                 smallest + "admin: {control: '[::1]:9091', control_token: env:SET}\n",
		"certificate alone":       with("    mchid: \"1900000001\"\n    serial_no: 3775b6a45acd588826d15e583a95f5dd00000000\n", "    certificate: file:other.pem\n"),
		"both platform keys":      platform("public_key: file:other.pem\npublic_key_id: PUB_KEY_ID_0119"),
		"public key alone":        platform("public_key: file:other.pem\npublic_key_id: PUB_KEY_ID_0119\ncertificates: off"),
		"signed delivery":         strings.Replace(route("webhook_secret: env:SET"), "http://127.0.0.1:3000", "https://shop.example.com", 1),
		"mutual tls":              strings.Replace(route("client_tls: {certificate: file:other.pem, private_key: file:key.pem, ca: other.pem}"), "http://127.0.0.1:3000", "https://shop.example.com", 1),
		"one path, other events":  route("events: ['TRANSACTION.*']") + "    - {path: /notify/shop, to: 'http://localhost:1'}\n",
		"one path, two merchants": two("", "") + indent("merchant: shop", 6) + "    - {path: /notify/shop, merchant: second, to: 'http://localhost:1'}\n",
		"all by merchant":         two("", "") + indent("merchant: all", 6),
		"allow":                   outbound("callers: [{name: a, token: env:SET, allow: ['GET /v3/**', '* /v3/*/x', '* /**', 'GET /hk/v3/x', 'GET /hk/**']}]"),
		"quoted number":           outbound("limits: {rate: {per_second: '${TEN}', burst: 1}}"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mustLoad(t, text, config.Sources{Env: env("SET", "x", "TEN", "10")})
		})
	}
}
