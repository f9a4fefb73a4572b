package config_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/wxproxy/wxproxy/internal/config"
)

func TestTLSFaults(t *testing.T) {
	t.Parallel()
	acme := func(more string) string {
		return notify("public_url: https://pay.example.com\ntls:\n  mode: acme\n  storage: file:acme\n  acme: {terms_agreed: true" + more + "}")
	}
	check(t, []row{
		{"no certificate", notify("tls: {mode: files, private_key: file:key.pem}"), "11 notify.tls.certificate: is missing for mode files"},
		{"no key", notify("tls: {mode: files, certificate: file:other.pem}"), "11 notify.tls.private_key: is missing for mode files"},
		{"absent file", notify("tls: {mode: files, certificate: file:gone.pem, private_key: file:key.pem}"), "11 notify.tls.certificate: gone.pem cannot be read"},
		{"literal key", notify("tls: {mode: files, certificate: file:other.pem, private_key: MIIEvQIBADANBg}"), "11 notify.tls.private_key: must be a reference"},
		{"name", notify("tls: {mode: internal, storage: file:ca, names: ['https://pay.localhost']}"), "11 notify.tls.names[0]: is neither a host name nor an IP address"},
		{"wildcard of an authority", notify("tls: {mode: acme, storage: file:acme, names: ['*.example.com'], acme: {terms_agreed: true}}"), "11 notify.tls.names[0]: is a wildcard, which authorities certify by DNS-01 alone"},
		{"wildcard", notify("tls: {mode: internal, storage: file:ca, names: ['*.localhost']}"), "11 notify.tls.names[0]: is a wildcard, and handshakes"},
		{"name twice", notify("tls: {mode: internal, storage: file:ca, names: [a.localhost, A.localhost]}"), "11 notify.tls.names[1]: is the same as notify.tls.names[0]"},
		{"address twice", notify("tls: {mode: internal, storage: file:ca, names: ['::1', '0:0::1']}"), "11 notify.tls.names[1]: is the same as notify.tls.names[0]"},
		{"public name of our own", notify("tls: {mode: internal, storage: file:ca, names: [pay.example.com]}"), "11 notify.tls.names[0]: is a public name"},
		{"public address of our own", notify("tls: {mode: internal, storage: file:ca, names: [203.0.113.1]}"), "11 notify.tls.names[0]: is a public name"},
		{"public url of our own", notify("public_url: https://pay.example.com\ntls: {mode: internal, storage: file:ca}"), "11 notify.public_url: is a public name"},
		{"nowhere to keep", notify("tls: {mode: internal}"), "11 notify.tls.storage: is missing, and so is state_dir"},
		{"unknown storage", notify("tls: {mode: internal, storage: 'redis://127.0.0.1'}"), "11 notify.tls.storage: is not a storage that this build knows"},
		{"storage is a file", notify("tls: {mode: internal, storage: file:key.pem}"), "11 notify.tls.storage: key.pem is not a directory"},
		{"default name", notify("tls: {mode: internal, storage: file:ca, default_name: pay.localhost}"), "11 notify.tls.default_name: is not one of the names"},
		{"http url", notify("public_url: http://pay.localhost\ntls: {mode: internal, storage: file:ca}"), "11 notify.public_url: is http://"},
		{"acme without names", notify("tls: {mode: acme, storage: file:acme, acme: {terms_agreed: true}}"), "11 notify.tls.names: is missing, and so is public_url"},
		{"terms", notify("public_url: https://pay.example.com\ntls: {mode: acme, storage: file:acme}"), "12 notify.tls.acme.terms_agreed: is not true"},
		{"private name", notify("tls: {mode: acme, storage: file:acme, names: [pay.internal], acme: {terms_agreed: true}}"), "11 notify.tls.names[0]: is a private name"},
		{"directory", acme(", directory: 'http://127.0.0.1/dir'"), "15 notify.tls.acme.directory: is not https://"},
		{"test directory", acme(", test_directory: x"), "15 notify.tls.acme.test_directory: does not begin with http"},
		{"directory's CA", acme(", ca: gone.pem"), "15 notify.tls.acme.ca: gone.pem cannot be read"},
		{"email", acme(", email: 'mailto:ops@example.com'"), "15 notify.tls.acme.email: is not a plain e-mail address"},
		{"half a binding", acme(", eab: {key_id: kid-1}"), "15 notify.tls.acme.eab.hmac_key: and key_id are given together"},
		{"literal binding", acme(", eab: {key_id: kid-1, hmac_key: zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W}"), "15 notify.tls.acme.eab.hmac_key: must be a reference"},
		{"key type", acme(", key_type: dsa"), "15 notify.tls.acme.key_type: is not a value"},
		{"checks", acme(", check_every: 1ms"), "15 notify.tls.acme.check_every: is out of range"},
		{"http address", acme(", http_listen: 80"), "15 notify.tls.acme.http_listen: is neither"},
		{"http socket", acme(", http_listen: 'unix:/tmp/http.sock'"), "15 notify.tls.acme.http_listen: is a Unix socket"},
		{"http address in use", acme(", http_listen: '127.0.0.1:8443'"), "15 notify.tls.acme.http_listen: is the same address as notify.listen"},
		{"nobody can knock", notify("listen: unix:/tmp/notify.sock\npublic_url: https://pay.example.com\ntls: {mode: acme, storage: file:acme, acme: {terms_agreed: true}}"), "13 notify.tls.acme.http_listen: is missing, and notify.listen is a Unix socket"},
		{"proxy protocol from nobody", notify("proxy_protocol: true"), "11 notify.proxy_protocol: is on, and nobody may use it"},
	})
}

func TestTLSNames(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, text string
		want       []string
	}{
		{"public url", "public_url: https://Pay.example.com:8443/x", []string{"pay.example.com"}},
		{"names win", "public_url: https://pay.example.com\ntls: {names: [A.example.com, 203.0.113.1]}", []string{"a.example.com", "203.0.113.1"}},
		{"addresses", "tls: {names: ['2001:DB8:0::1', '::ffff:203.0.113.1']}", []string{"2001:db8::1", "203.0.113.1"}},
		{"address of the public url", "public_url: 'https://[2001:DB8:0::1]:8443'", []string{"2001:db8::1"}},
		{"internal", "tls: {mode: internal, storage: file:ca}", []string{"localhost"}},
		{"none", "tls: {mode: off}", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c, err := load(t, notify(tc.text), config.Sources{})
			if err != nil {
				t.Fatal(err)
			}
			if got := c.Notify.TLSNames(); !slices.Equal(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestTLSStorageFollowsTheStateDir(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"tls: {mode: internal}":                                                      "state/tls-internal",
		"tls: {mode: internal, storage: file:ca}":                                    "ca",
		"tls: {mode: files, certificate: file:other.pem, private_key: file:key.pem}": "",
	} {
		c, err := load(t, notify(text)+"state_dir: state\n", config.Sources{})
		if err != nil {
			t.Fatal(err)
		}
		if dir, _ := c.Notify.TLS.StorageDir(); dir != want && !strings.HasSuffix(dir, "/"+want) {
			t.Errorf("%s: storage in %q, want %q", text, dir, want)
		}
	}
}

func TestUnusedTLSKeysAreTold(t *testing.T) {
	t.Parallel()
	c, err := load(t, notify("tls: {mode: off, names: [a.test], certificate: file:other.pem, acme: {email: a@b.c}}"), config.Sources{})
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, w := range c.Warnings() {
		keys = append(keys, w.Key)
	}
	for _, want := range []string{"notify.tls.names", "notify.tls.certificate", "notify.tls.acme"} {
		if !slices.Contains(keys, want) {
			t.Errorf("no warning for %s: %q", want, keys)
		}
	}
}
