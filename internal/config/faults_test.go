package config_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/wxproxy/wxproxy/internal/config"
)

// A row changes one thing of a config that loads. It is refused with exactly
// one fault: "line key: problem", the problem by its beginning.
type row struct{ name, text, want string }

// without removes a line of the smallest config, with replaces text in it.
func with(old, new string) string {
	if !strings.Contains(smallest, old) {
		panic("the smallest config has no " + old)
	}
	return strings.Replace(smallest, old, new, 1)
}

func outbound(lines string) string { return smallest + "outbound:\n" + indent(lines, 2) }
func notify(lines string) string   { return smallest + indent(lines, 2) }
func route(lines string) string    { return smallest + indent(lines, 6) }

func platform(lines string) string {
	return with("notify:\n", "    platform:\n"+indent(lines, 6)+"notify:\n")
}

func indent(lines string, n int) string {
	pad := strings.Repeat(" ", n)
	return pad + strings.ReplaceAll(lines, "\n", "\n"+pad) + "\n"
}

const second = `  - name: second
    mchid: "1900000002"
    serial_no: 00AA
    private_key: file:key.pem
    apiv3_key: file:other.pem
`

func two(old, new string) string {
	return with("notify:\n", strings.Replace(second, old, new, 1)+"notify:\n")
}

func check(t *testing.T, rows []row) {
	t.Helper()
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			_, err := load(t, r.text, config.Sources{Env: env("SET", "x", "TEN", "10", "EMPTY", "")})
			faults, _ := errors.AsType[config.Errors](err)
			if len(faults) != 1 {
				t.Fatalf("got %d faults, want 1:\n%v\n%s", len(faults), err, r.text)
			}
			f := faults[0]
			got := fmt.Sprintf("%d %s: %s", f.Line, f.Key, f.Problem)
			if !strings.HasPrefix(got, r.want) || f.File != "wxproxy.yaml" || f.Fix == "" {
				t.Errorf("got  %s (fix: %s)\nwant %s", got, f.Fix, r.want)
			}
		})
	}
}

func TestSyntaxFaults(t *testing.T) {
	t.Parallel()
	check(t, []row{
		{"bad yaml", "merchants: [", "1 : is not valid YAML: did not find expected node content"},
		{"tab", with("    mchid", "\tmchid"), "2 : is not valid YAML: "},
		{"two documents", smallest + "---\nlog: {}\n", "11 : has a second YAML document"},
		{"second document is bad", smallest + "---\n]", "11 : is not valid YAML"},
		{"unknown anchor", with("3775b6a45acd588826d15e583a95f5dd00000000", "*secret"), "1 : is not valid YAML: an alias (*name) has no anchor"},
		{"empty", "", "1 merchants: is empty"},
		{"comment only", "# nothing\n", "1 merchants: is empty"},
		{"root is a list", "- a\n", "1 : is a list, not a section"},
		{"root is a text", "hello\n", "1 : is a single value, not a section"},
		{"alias", with("name: shop", "name: &a shop") + "state_dir: *a\n", "11 state_dir: is a YAML alias"},
		{"merge", smallest + "log:\n  <<: {level: warn}\n", "12 log: has a key that is not a plain name"},
		{"key is a list", smallest + "[a]: b\n", "11 : has a key that is not a plain name"},
		{"tag", with("name: shop", "name: !!str shop"), "2 merchants[0].name: has a YAML tag"},
	})
}

func TestKeyFaults(t *testing.T) {
	t.Parallel()
	check(t, []row{
		{"unknown", smallest + "colour: red\n", "11 colour: is not a known key"},
		{"unknown below", outbound("limits: {bodies: 1}"), "12 outbound.limits.bodies: is not a known key"},
		{"misspelt", with("mchid:", "mch_id:"), "3 merchants[0].mch_id: is not a known key"},
		{"case", with("mchid:", "MchID:"), "3 merchants[0].MchID: is not a known key"},
		{"duplicate", with("    mchid", "    name: shop\n    mchid"), "3 merchants[0].name: is given twice, first on line 2"},
		{"duplicate section", smallest + "log: {}\nlog: {}\n", "12 log: is given twice, first on line 11"},
		{"inbox", smallest + "inbox: {}\n", "11 inbox: is not in this build"},
		{"vault address", smallest + "vault: {address: x, auth: {method: token, token: env:SET}}\n", "11 vault.address: does not begin with http"},
		{"vault over the network in clear", smallest + "vault: {address: 'http://192.0.2.1:8200', auth: {method: token, token: env:SET}}\n", "11 vault.address: is http:// to another machine"},
		{"vault method", smallest + "vault: {address: 'https://v:8200', auth: {method: ldap}}\n", "11 vault.auth.method: is not a value"},
		{"vault no method", smallest + "vault: {address: 'https://v:8200'}\n", "11 vault.auth.method: is missing"},
		{"vault no role", smallest + "vault: {address: 'https://v:8200', auth: {method: kubernetes}}\n", "11 vault.auth.role: is missing"},
		{"vault no secret id", smallest + "vault: {address: 'https://v:8200', auth: {method: approle, role_id: env:SET}}\n", "11 vault.auth.secret_id: is missing"},
		{"vault no token", smallest + "vault: {address: 'https://v:8200', auth: {method: token}}\n", "11 vault.auth.token: is missing"},
		{"vault no token file", smallest + "vault: {address: 'https://v:8200', auth: {method: token_file}}\n", "11 vault.auth.token_file: is missing"},
		{"vault token in vault", smallest + "vault: {address: 'https://v:8200', auth: {method: token, token: 'vault:secret/a#b'}}\n", "11 vault.auth.token: is kept in Vault"},
		{"vault half a client pair", smallest + "vault: {address: 'https://v:8200', client_certificate: other.pem, auth: {method: token, token: env:SET}}\n", "11 vault.client_key: and vault.client_certificate"},
		{"vault keys that end before the next poll", smallest + "vault: {address: 'https://v:8200', refresh: 8s, max_stale: 15s, auth: {method: token, token: env:SET}}\n", "11 vault.max_stale: is less than twice vault.refresh (8s)"},
		{"vault connections", smallest + "vault: {address: 'https://v:8200', connections: 0, auth: {method: token, token: env:SET}}\n", "11 vault.connections: is out of range"},
		{"tls unknown", notify("tls: {mode: on}"), "11 notify.tls.mode: is not a value it can take"},
		{"ack inbox", route("ack: inbox"), "11 notify.routes[0].ack: is inbox, which is not in this build"},
	})
}

func TestTypeFaults(t *testing.T) {
	t.Parallel()
	check(t, []row{
		{"section for a text", smallest + "state_dir: {a: b}\n", "11 state_dir: is a section, not a single value"},
		{"list for a text", smallest + "log: {level: [info]}\n", "11 log.level: is a list, not a single value"},
		{"text for a section", smallest + "log: info\n", "11 log: is a single value, not a section"},
		{"text for a list", outbound("upstreams: https://api.mch.weixin.qq.com"), "12 outbound.upstreams: is a single value, not a list"},
		{"long list", outbound("hosts: [" + strings.Repeat("a,", 4097) + "]"), "12 outbound.hosts: has more than 4096 items"},
		{"no value", smallest + "state_dir:\n", "11 state_dir: has no value"},
		{"null", smallest + "shutdown_grace: ~\n", "11 shutdown_grace: has no value"},
		{"empty item", outbound("upstreams:\n  -"), "13 outbound.upstreams[0]: is an empty list item"},
		{"empty struct item", outbound("callers: [~]"), "12 outbound.callers[0]: is an empty list item"},
		{"bool", outbound("unsafe_listen: yes"), "12 outbound.unsafe_listen: is not true or false"},
		{"duration", smallest + "shutdown_grace: 25\n", "11 shutdown_grace: is not a duration"},
		{"delay beyond the grace", smallest + "shutdown_grace: 10s\nshutdown_delay: 11s\n", "12 shutdown_delay: is out of range"},
		{"linger beyond the rest of the grace", smallest + "shutdown_grace: 10s\nshutdown_delay: 4s\nshutdown_linger: 7s\n", "13 shutdown_linger: is out of range"},
		{"negative duration", smallest + "shutdown_grace: -1s\n", "11 shutdown_grace: is out of range"},
		{"size", notify("limit: 1 MiB"), "11 notify.limit: is not a size"},
		{"size overflows", notify("limit: 9999999999GiB"), "11 notify.limit: is not a size"},
		{"size unit", notify("limit: 1mb"), "11 notify.limit: is not a size"},
		{"mode", outbound("socket_mode: 0999"), "12 outbound.socket_mode: is not permissions"},
		{"mode bits", outbound("socket_mode: 04777"), "12 outbound.socket_mode: is not permissions"},
		{"whole number", notify("rate: {burst: 1.5}"), "11 notify.rate.burst: is not a whole number"},
		{"number", notify("rate: {per_second: .inf}"), "11 notify.rate.per_second: is not a number"},
		{"negative number", notify("rate: {per_second: -1}"), "11 notify.rate.per_second: is not a number"},
		{"network", notify("source_ips: [10.0.0.1/8]"), "11 notify.source_ips[0]: is not an address or a network"},
		{"enum", smallest + "log: {format: xml}\n", "11 log.format: is not a value it can take"},
		{"enum in a list", outbound("callers: [{name: a, token: env:SET, endpoints: [pay]}]"), "12 outbound.callers[0].endpoints[0]: is not a value"},
		{"line break", smallest + "state_dir: \"a\\nb\"\n", "11 state_dir: has a line break"},
		{"reference as path", outbound("upstream_ca: file:other.pem"), "12 outbound.upstream_ca: is a reference or URL where a path belongs"},
		{"unset variable", outbound("timeout: ${NONE}s"), "12 outbound.timeout: uses the environment variable NONE, which is not set"},
		{"open brace", smallest + "state_dir: ${SET\n", "11 state_dir: has a ${ that is not followed"},
		{"expanded type", outbound("timeout: ${TEN}"), "12 outbound.timeout: is not a duration"},
	})
}

func TestReferenceFaults(t *testing.T) {
	t.Parallel()
	key := func(ref string) string { return with("private_key: file:key.pem", "private_key: "+ref) }
	check(t, []row{
		{"literal", key("MIIEvQIBADANBg"), "5 merchants[0].private_key: must be a reference"},
		{"literal block", key("|\n      -----BEGIN PRIVATE KEY-----\n      MIIE"), "5 merchants[0].private_key: must be a reference"},
		{"expanded", key("${SET}"), "5 merchants[0].private_key: must be a reference"},
		{"expanded inside", key("file:${SET}/key.pem"), "5 merchants[0].private_key: has a ${…}"},
		{"vault", key("vault:secret/shop#key"), "1 vault.address: is missing"},
		{"transit", key("transit:mount/key"), "1 vault.address: is missing"},
		{"no path", key(`"file:"`), "5 merchants[0].private_key: malformed reference"},
		{"no value", key(""), "5 merchants[0].private_key: has no value"},
		{"absent file", key("file:gone.pem"), "5 merchants[0].private_key: gone.pem cannot be read: no such file"},
		{"directory", key("file:/tmp"), "5 merchants[0].private_key: /tmp cannot be read: is a directory"},
		{"unset variable", key("env:NONE"), "5 merchants[0].private_key: refers to an environment variable that is not set"},
		{"empty variable", key("env:EMPTY"), "5 merchants[0].private_key: refers to an environment variable that is not set, or empty"},
		{"absent path", outbound("upstream_ca: gone.pem"), "12 outbound.upstream_ca: gone.pem cannot be read"},
		{"state_dir is a file", smallest + "state_dir: key.pem\n", "11 state_dir: key.pem is not a directory"},
		{"socket directory", outbound("listen: unix:/nonexistent/api.sock"), "12 outbound.listen[0].address: /nonexistent is not a directory"},
	})
}

// brand is a config with one brand and more of it; edits are pairs of texts.
func brand(more string, edits ...string) string {
	text := strings.Replace(with("mchid: \"1900000001\"", "brand_id: \"123\""), "notify:\n", "    "+more+"\nnotify:\n", 1)
	return strings.NewReplacer(edits...).Replace(text)
}

func TestMerchantFaults(t *testing.T) {
	t.Parallel()
	serial := func(s string) string { return with("3775b6a45acd588826d15e583a95f5dd00000000", s) }
	check(t, []row{
		{"no merchants", "log: {}\n", "1 merchants: is empty"},
		{"empty list", "merchants: []\n", "1 merchants: is empty"},
		{"no name", with("name: shop\n    ", ""), "2 merchants[0].name: is missing"},
		{"name", with("name: shop", "name: Shop"), "2 merchants[0].name: is not a valid name"},
		{"reserved name", with("name: shop", "name: all"), "2 merchants[0].name: is reserved"},
		{"no mchid", with("    mchid: \"1900000001\"\n", ""), "2 merchants[0].mchid: is missing"},
		{"mchid", with("1900000001", "190000000x"), "3 merchants[0].mchid: is not a merchant number"},
		{"mchid length", with("1900000001", "19000000011"), "3 merchants[0].mchid: is not a merchant number"},
		{"no serial", with("    serial_no: 3775b6a45acd588826d15e583a95f5dd00000000\n", ""), "2 merchants[0].serial_no: is missing"},
		{"decimal serial", serial("314159265358979323846264338327950288419716939937"), "4 merchants[0].serial_no: looks decimal"},
		{"public key id as serial", serial("PUB_KEY_ID_0119"), "4 merchants[0].serial_no: is the ID of WeChat Pay's public key"},
		{"colons in serial", serial("37:75:B6"), "4 merchants[0].serial_no: has colons"},
		{"serial", serial("37GG"), "4 merchants[0].serial_no: is not 1 to 40 hexadecimal digits"},
		{"long serial", serial(strings.Repeat("A", 41)), "4 merchants[0].serial_no: is not 1 to 40 hexadecimal digits"},
		{"no private key", with("    private_key: file:key.pem\n", ""), "2 merchants[0].private_key: is missing"},
		{"no apiv3 key", with("    apiv3_key: file:apiv3_key\n", ""), "2 merchants[0].apiv3_key: is missing"},
		{"same previous key", with("notify:\n", "    apiv3_key_previous: file:apiv3_key\nnotify:\n"), "7 merchants[0].apiv3_key_previous: is the same reference"},
		{"same previous private key", with("notify:\n", "    private_key_previous: file:key.pem\nnotify:\n"), "7 merchants[0].private_key_previous: is the same reference"},
		{"previous private key beside Transit", "vault: {address: \"https://127.0.0.1:1\", auth: {method: token, token: \"file:apiv3_key\"}}\n" + strings.Replace(with("notify:\n", "    private_key_previous: file:key.pem\nnotify:\n"), "private_key: file:key.pem", "private_key: transit:transit/shop@1", 1), "8 merchants[0].private_key_previous: stands beside a private_key in Vault's Transit"},
		{"public key without id", platform("public_key: file:other.pem"), "7 merchants[0].platform.public_key_id: is missing"},
		{"id without public key", platform("public_key_id: PUB_KEY_ID_01"), "7 merchants[0].platform.public_key: is missing"},
		{"public key id", platform("public_key: file:other.pem\npublic_key_id: 0119"), "9 merchants[0].platform.public_key_id: is not the ID"},
		{"nothing to verify with", platform("certificates: off"), "8 merchants[0].platform.certificates: is off"},
		{"brand without public key", brand(""), "2 merchants[0].platform.public_key: is missing: what is for a brand"},
		{"brand with letters", brand("platform: {public_key: \"file:other.pem\", public_key_id: PUB_KEY_ID_01}", "\"123\"", "cafe"), "3 merchants[0].brand_id: is not the number of a brand"},
		{"brand with mchid", brand("platform: {public_key: \"file:other.pem\", public_key_id: PUB_KEY_ID_01}\n    mchid: \"1900000001\""), "3 merchants[0].brand_id: stands beside mchid"},
		{"brand with apiv2 key", brand("platform: {public_key: \"file:other.pem\", public_key_id: PUB_KEY_ID_01}\n    apiv2_key: file:other.pem"), "8 merchants[0].apiv2_key: is not for brands"},
		{"same name", strings.Replace(two("name: second", "name: shop"), "      to", "      merchant: shop\n      to", 1), "7 merchants[1].name: is the same as merchants[0].name"},
		{"alias is another's mchid", strings.Replace(strings.Replace(two("1900000002", "1900000002"), "- name: second", "- name: \"1900000001\"", 1), "      to", "      merchant: shop\n      to", 1), "7 merchants[1].name: is the number of another merchant, see merchants[0].mchid"},
		{"same mchid", strings.Replace(two("1900000002", "1900000001"), "      to", "      merchant: shop\n      to", 1), "8 merchants[1].mchid: is the same as merchants[0].mchid"},
	})
}
