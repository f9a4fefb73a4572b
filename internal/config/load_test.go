package config_test

import (
	"errors"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/wxproxy/wxproxy/internal/config"
)

func TestSmallestConfig(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, smallest, config.Sources{})
	m := c.Merchants[0]
	if m.Name != "shop" || m.MchID != "1900000001" || m.Platform.Certificates != "auto" {
		t.Errorf("merchant is %+v", m)
	}
	if want := "3775B6A45ACD588826D15E583A95F5DD00000000"; m.SerialNo != want {
		t.Errorf("serial is %s, want %s", m.SerialNo, want)
	}
	if !filepath.IsAbs(m.PrivateKey.Target) {
		t.Errorf("private key is %v, want an absolute path", m.PrivateKey)
	}
	if c.Notify.Listen != "127.0.0.1:8443" {
		t.Errorf("notify.listen is %q", c.Notify.Listen)
	}
	r := c.Notify.Routes[0]
	if r.Body != "envelope" || r.Ack != "app" || !reflect.DeepEqual(c.MerchantsOf(r), []string{"shop"}) {
		t.Errorf("route is %+v for %v", r, c.MerchantsOf(r))
	}
	if !reflect.DeepEqual(c.Outbound, config.Default().Outbound) {
		t.Errorf("outbound is %+v, want the defaults", c.Outbound)
	}
	if w := c.Warnings(); len(w) > 0 {
		t.Errorf("warnings: %v", w)
	}
}

func TestNotifyIsOffWithoutRoutes(t *testing.T) {
	t.Parallel()
	text, _, _ := strings.Cut(smallest, "notify:")
	if c := mustLoad(t, text, config.Sources{}); c.Notify.Listen != "" {
		t.Errorf("notify.listen is %q, want none", c.Notify.Listen)
	}
}

func TestDefaultFailsOnlyForWantOfMerchants(t *testing.T) {
	t.Parallel()
	got := config.Default().Validate()
	if len(got) != 1 || got[0].Key != "merchants" {
		t.Errorf("faults: %v", got)
	}
}

func TestTypedValues(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, smallest+`
  source_ips: [192.0.2.7, "::ffff:192.0.2.8", 10.0.0.0/8]
  failures: {per_second: 0.5, burst: 3}
outbound:
  listen: unix:api.sock
  socket_mode: 0600
  callers: [{name: app, uid: 0}]
  limits: {request: 1MB, response: 65536, in_flight: "2MiB"}
  timeout: 1m30s
endpoints:
  - {method: GET, path: "/v3/x/{id}", unsigned: false}
`, config.Sources{})
	if got := c.Outbound.Limits; got.Request != 1e6 || got.Response != 65536 || got.InFlight != 2<<20 || got.Headers != 64<<10 {
		t.Errorf("limits are %+v", got)
	}
	if c.Outbound.Timeout != 90*time.Second || c.Outbound.SocketMode != 0o600 || *c.Outbound.Callers[0].UID != 0 {
		t.Errorf("outbound is %+v", c.Outbound)
	}
	if e := c.Endpoints[0]; e.Unsigned == nil || *e.Unsigned {
		t.Errorf("unsigned is %v, want false, given", e.Unsigned)
	}
	var ips []string
	for _, p := range c.Notify.SourceIPs {
		ips = append(ips, p.String())
	}
	if want := []string{"192.0.2.7/32", "192.0.2.8/32", "10.0.0.0/8"}; !reflect.DeepEqual(ips, want) {
		t.Errorf("source_ips are %v, want %v", ips, want)
	}
	if a := c.Outbound.Listen[0].Address; !filepath.IsAbs(strings.TrimPrefix(a, "unix:")) {
		t.Errorf("socket is %s, want an absolute path", a)
	}
}

func TestTextsAreExact(t *testing.T) {
	t.Parallel()
	for _, serial := range []string{"1E10", "0123", "0x1", "00", "1_000", "yes", "12345678901234567890123456789012345678"} {
		text := strings.Replace(smallest, "3775b6a45acd588826d15e583a95f5dd00000000", serial, 1)
		c, err := load(t, text, config.Sources{})
		if serial == "0x1" || serial == "1_000" || serial == "yes" { // not hexadecimal, and not turned into it
			if err == nil {
				t.Errorf("serial %s was read as %s", serial, c.Merchants[0].SerialNo)
			}
			continue
		}
		if err != nil || c.Merchants[0].SerialNo != serial {
			t.Errorf("serial %s: got %v", serial, err)
		}
	}
	if c := mustLoad(t, strings.Replace(smallest, `"1900000001"`, "1900000001", 1), config.Sources{}); c.Merchants[0].MchID != "1900000001" {
		t.Errorf("mchid is %s", c.Merchants[0].MchID)
	}
}

func TestListenForms(t *testing.T) {
	t.Parallel()
	for form, want := range map[string][]config.Listener{
		"127.0.0.1:1": {{Address: "127.0.0.1:1"}},
		"[127.0.0.1:1, {address: '[::1]:2', merchant: shop}]": {{Address: "127.0.0.1:1"}, {Address: "[::1]:2", Merchant: "shop"}},
		"{address: 'localhost:1', merchant: shop}":            {{Address: "localhost:1", Merchant: "shop"}},
	} {
		c := mustLoad(t, smallest+"outbound:\n  listen: "+form+"\n", config.Sources{})
		if !reflect.DeepEqual(c.Outbound.Listen, want) {
			t.Errorf("%s: got %+v", form, c.Outbound.Listen)
		}
	}
}

func TestPrecedence(t *testing.T) {
	t.Parallel()
	text := smallest + "outbound: {timeout: 10s, connect_timeout: 1s}\nlog: {level: warn, format: json}\n"
	c := mustLoad(t, text, config.Sources{
		Env: env(
			"WXPROXY_OUTBOUND_TIMEOUT", "20s", "WXPROXY_LOG_LEVEL", "error",
			"WXPROXY_LOG_FORMAT", "", "WXPROXY_OUTBOUND_LISTEN", "127.0.0.1:1111"),
		Flags: map[string]string{"outbound.timeout": "30s"},
	})
	if o := c.Outbound; o.Timeout != 30*time.Second || o.ConnectTimeout != time.Second || o.Listen[0].Address != "127.0.0.1:1111" {
		t.Errorf("outbound is %+v", o)
	}
	if c.Log != (config.Log{Format: "json", Level: "error"}) {
		t.Errorf("log is %+v", c.Log)
	}
}

func TestVariableNamesAreUnique(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, key := range config.FlagKeys() {
		name := config.EnvName(key)
		if before, ok := seen[name]; ok {
			t.Errorf("%s is the variable of both %s and %s", name, before, key)
		}
		seen[name] = key
	}
	if seen["WXPROXY_OUTBOUND_LISTEN"] != "outbound.listen" || seen["WXPROXY_OUTBOUND_CALLERS"] != "" {
		t.Errorf("variables: %v", seen)
	}
}

func TestExpansion(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, smallest+`  public_url: https://${HOST}/${PATH_}$${x}
outbound: {timeout: "${SECONDS}s"}
`, config.Sources{Env: env("HOST", "pay.example.com", "PATH_", "$${HOST}", "SECONDS", "7")})
	if want := "https://pay.example.com/$${HOST}${x}"; c.Notify.PublicURL != want {
		t.Errorf("public_url is %s, want %s", c.Notify.PublicURL, want)
	}
	if c.Outbound.Timeout != 7*time.Second {
		t.Errorf("timeout is %v", c.Outbound.Timeout)
	}
}

func TestUnreadableFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, path := range map[string]string{
		"absent":    filepath.Join(dir, "none.yaml"),
		"directory": dir,
		"large":     write(t, filepath.Join(dir, "large.yaml"), strings.Repeat("#\n", 1<<20)),
	} {
		c, err := config.Load(path, config.Sources{})
		faults, ok := errors.AsType[config.Errors](err)
		if c != nil || !ok || len(faults) != 1 || faults[0].File != path || faults[0].Fix == "" {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestEverythingAtOnce(t *testing.T) {
	t.Parallel()
	_, err := load(t, `merchants:
  - name: Shop
    mchid: 1
    serialNo: 3775B6
    private_key: file:gone.pem
    apiv3_key: 0123456789abcdef0123456789ABCDEF
    name: shop
outbound:
  listen: 0.0.0.0:8080
  timeout: 30
  colour: red
inbox: {store: x}
`, config.Sources{Flags: map[string]string{"log.level": "loud", "nope": "1"}})
	want := `wxproxy.yaml:2: merchants[0].name: is not a valid name; fix: use 1 to 32 lower-case letters, digits, - and _, beginning with a letter or digit, as in shop
wxproxy.yaml:3: merchants[0].mchid: is not a merchant number; fix: write the 8 to 10 digits from the merchant console (商户号), or give certificate, which contains them
wxproxy.yaml:4: merchants[0].serialNo: is not a known key; fix: did you mean serial_no?
wxproxy.yaml:5: merchants[0].private_key: gone.pem cannot be read: no such file or directory; fix: put the file there, readable by the user that runs wxproxy, or correct the path
wxproxy.yaml:6: merchants[0].apiv3_key: must be a reference (file:PATH, env:NAME, vault:MOUNT/PATH#FIELD or transit:MOUNT/KEYNAME), never the secret itself; fix: put the secret into a file and write file:PATH, or into a variable and write env:NAME
wxproxy.yaml:7: merchants[0].name: is given twice, first on line 2; fix: keep one of the two
wxproxy.yaml:9: outbound.listen[0].address: is reachable from other machines, and this port signs money; fix: use 127.0.0.1 or unix:/path; or set outbound.unsafe_listen: true and list callers with tokens
wxproxy.yaml:10: outbound.timeout: is not a duration with its unit, as in 30s, 500ms or 1m30s; fix: write a duration with its unit, as in 30s, 500ms or 1m30s
wxproxy.yaml:11: outbound.colour: is not a known key; fix: remove it; these are known: listen, unsafe_listen, socket_mode, upstreams, upstream_groups, upstream_ca, hosts, callers, hints, limits, timeout, connect_timeout
wxproxy.yaml:12: inbox: is not in this build; fix: remove it; use ack: app on the routes
--log.level: log.level: is not a value it can take; fix: write debug or info or warn or error
--nope: is not a key that a flag can set; fix: flags set single values outside lists, as in --outbound.listen; write the rest into the file`
	if err == nil || err.Error() != want {
		t.Errorf("got:\n%v\nwant:\n%s", err, want)
	}
}
