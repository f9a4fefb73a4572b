package check_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/wxproxy/wxproxy/internal/check"
	"github.com/wxproxy/wxproxy/internal/merchant"
	"github.com/wxproxy/wxproxy/internal/secret"
)

// broken is one thing broken, and what becomes of the report.
type broken struct {
	name   string
	change func(*setup)
	line   string // the one that is not ✓ any more
	warn   bool   // it is !, not ✗
	detail string // part of what it says
	fix    string // part of what to do
}

func TestGoodSetupIsFine(t *testing.T) {
	t.Parallel()
	for _, online := range []bool{false, true} {
		s := newSetup(t)
		if online {
			s.online()
		}
		r := s.run()
		if !r.OK || strings.Contains(text(t, r), "✗") || strings.Contains(text(t, r), "!") {
			t.Errorf("good setup, online %v:\n%s", online, text(t, r))
		}
	}
}

// each breaks one thing at a time and wants exactly that line to change. Lines
// may disappear: what cannot be compared is left out.
func each(t *testing.T, rows []broken, online bool) {
	t.Helper()
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s := newSetup(t)
			if online {
				s.online()
			}
			row.change(s)
			r := s.run()
			got := find(t, r, row.line)
			if got.OK != row.warn || got.Warn != row.warn {
				t.Errorf("%s: ok %v, warn %v; want warn %v", row.line, got.OK, got.Warn, row.warn)
			}
			if !strings.Contains(got.Detail, row.detail) || !strings.Contains(got.Fix, row.fix) || got.Fix == "" {
				t.Errorf("%s says %q, fix %q; want %q, fix %q", row.line, got.Detail, got.Fix, row.detail, row.fix)
			}
			if r.OK != row.warn {
				t.Errorf("report is OK: %v", r.OK)
			}
			for _, c := range r.Checks {
				if line(c) != row.line && (!c.OK || c.Warn) {
					t.Errorf("%s is not ✓ either: %q", line(c), c.Detail)
				}
			}
		})
	}
}

func TestBrokenKeys(t *testing.T) {
	t.Parallel()
	k := made()
	pkcs1 := x509.MarshalPKCS1PrivateKey(k.shop.key)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(k.shop.key)
	if err != nil {
		t.Fatal(err)
	}
	soon := certify(k.shop.key, mchid, 1, time.Now().Add(10*24*time.Hour))
	over := certify(k.shop.key, mchid, 1, time.Now().Add(-time.Hour))
	alone := func(serial string) func(*setup) {
		return func(s *setup) { s.shop().Certificate, s.shop().SerialNo = secret.Ref{}, serial }
	}
	each(t, []broken{
		{"PKCS#1 labelled PKCS#8", func(s *setup) { s.write("key.pem", block("PRIVATE KEY", pkcs1)) },
			"merchant shop/private_key", false, "PKCS#1", "apiclient_key.pem"},
		{"PKCS#8 labelled PKCS#1", func(s *setup) { s.write("key.pem", block("RSA PRIVATE KEY", pkcs8)) },
			"merchant shop/private_key", false, "PKCS#8", "apiclient_key.pem"},
		{"certificate as private key", func(s *setup) { s.write("key.pem", k.shop.certificate()) },
			"merchant shop/private_key", false, "this is a certificate", "apiclient_key.pem"},
		{"private key as certificate", func(s *setup) { s.write("cert.pem", k.shop.pkcs8()) },
			"merchant shop/certificate", false, "private key", "apiclient_cert.pem"},
		{"platform certificate as merchant certificate", func(s *setup) { s.write("cert.pem", k.platform.certificate()) },
			"merchant shop/certificate", false, "platform certificate", "apiclient_cert.pem"},
		{"key of another certificate", func(s *setup) { s.write("key.pem", k.other.pkcs8()) },
			"merchant shop/pair", false, "does not fit", "replace both"},
		{"certificate of another merchant", func(s *setup) { s.shop().MchID = "1900000002" },
			"merchant shop/mchid", false, "1900000001", "mchid"},
		{"expired", func(s *setup) { s.write("cert.pem", block("CERTIFICATE", over.Raw)) },
			"merchant shop/validity", false, "expired", "apply for a new"},
		{"about to expire", func(s *setup) { s.write("cert.pem", block("CERTIFICATE", soon.Raw)) },
			"merchant shop/validity", true, "soon", "apply for a new"},
		{"decimal serial beside the certificate", func(s *setup) { s.shop().SerialNo = k.shop.cert.SerialNumber.String() },
			"merchant shop/serial_no", false, "decimal", serial(k.shop)},
		{"serial of another certificate", func(s *setup) { s.shop().SerialNo = serial(k.other) },
			"merchant shop/serial_no", false, "not the serial number", serial(k.shop)},
		{"decimal serial alone", alone(k.shop.cert.SerialNumber.String()), "merchant shop/serial_no", false, "decimal", "openssl x509"},
		{"public key ID as serial", alone(pubKeyID), "merchant shop/serial_no", false, "public key", "platform.public_key_id"},
		{"APIv3 key too short", func(s *setup) { s.env["APIV3_KEY"] = apiv3Key[1:] },
			"merchant shop/apiv3_key", false, "31 bytes", "APIv2"},
		{"PEM as APIv3 key", func(s *setup) { s.env["APIV3_KEY"] = k.shop.pkcs8() },
			"merchant shop/apiv3_key", false, "PEM", "API"},
		{"APIv3 key not set", func(s *setup) { delete(s.env, "APIV3_KEY") },
			"merchant shop/apiv3_key", false, "APIV3_KEY", "apiv3_key"},
		{"APIv2 key is the APIv3 key", func(s *setup) { s.shop().APIv2Key = s.shop().APIv3Key },
			"merchant shop/apiv2_key", true, "same", "merchant console"},
		{"public key without ID", func(s *setup) { s.shop().PublicKeyID = "" },
			"Platform keys/shop public_key_id", false, "without", "merchant console"},
		{"public key ID without key", func(s *setup) { s.shop().PublicKey = secret.Ref{} },
			"Platform keys/shop public_key", false, "without", "pub_key.pem"},
		{"public key ID is a serial", func(s *setup) { s.shop().PublicKeyID = serial(k.platform) },
			"Platform keys/shop public_key_id", false, "not the ID", "PUB_KEY_ID_"},
		{"own public key", func(s *setup) { s.write("pub.pem", k.shop.public()) },
			"Platform keys/shop public_key", false, "your own key", "pub_key.pem"},
		{"merchant certificate as platform key", func(s *setup) { s.write("pub.pem", k.shop.certificate()) },
			"Platform keys/shop public_key", false, "certificate", "pub_key.pem"},
		{"private key as public key", func(s *setup) { s.write("pub.pem", k.shop.pkcs8()) },
			"Platform keys/shop public_key", false, "private key", "pub_key.pem"},
	}, false)
}

// TestOtherGoodSetups keeps the lints from refusing what works.
func TestOtherGoodSetups(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*setup){
		"PKCS#1 key": func(s *setup) {
			s.write("key.pem", block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(made().shop.key)))
		},
		"serial in lower case":    func(s *setup) { s.shop().SerialNo = strings.ToLower(serial(made().shop)) },
		"mchid from certificate":  func(s *setup) { s.shop().MchID = "" },
		"line feed after the key": func(s *setup) { s.env["APIV3_KEY"] += "\n" },
		"no public key":           func(s *setup) { s.shop().PublicKey, s.shop().PublicKeyID = secret.Ref{}, "" },
		"certificates off":        func(s *setup) { s.shop().Certificates = false },
		"offline with nothing there": func(s *setup) {
			s.options.Offline = true
			s.options.Dial = func(context.Context, string, string) (net.Conn, error) {
				s.t.Error("connected although offline")
				return nil, errors.New("offline")
			}
			s.online()
			s.wechat.before = func(http.ResponseWriter, *http.Request) bool {
				s.t.Error("called although offline")
				return false
			}
		},
		"state_dir exists": func(s *setup) { s.in.StateDir = s.dir },
		"no state_dir":     func(s *setup) { s.in.StateDir = "" },
		"no public_url":    func(s *setup) { s.in.PublicURL = "" },
		"dead socket": func(s *setup) {
			l := listen(s.t, "unix", s.path("api.sock"))
			l.(*net.UnixListener).SetUnlinkOnClose(false)
			_ = l.Close()
			s.in.Listeners = []check.Listener{{Key: "outbound.listen[0]", Network: "unix", Address: s.path("api.sock")}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSetup(t)
			change(s)
			if r := s.run(); !r.OK || strings.Contains(text(t, r), "!") {
				t.Errorf("not fine:\n%s", text(t, r))
			}
		})
	}
}

func TestBrokenSurroundings(t *testing.T) {
	t.Parallel()
	at := func(network, address string) func(*setup) {
		return func(s *setup) {
			s.in.Listeners = []check.Listener{{Key: "admin.listen", Network: network, Address: address}}
		}
	}
	trial := func(group string, err error) func(*setup) {
		return func(s *setup) {
			s.in.Trials = []check.Trial{
				{Group: check.GroupConfig, Name: "fine", Detail: "good", Fix: "none", Try: func(context.Context) error { return nil }},
				{Group: group, Name: "trial", Fix: "mend it", Try: func(context.Context) error { return err }},
			}
		}
	}
	each(t, []broken{
		{"readable key", func(s *setup) {
			s.in.Warnings = []check.Fault{{Key: "merchants[0].private_key", Where: "wxproxy.yaml:7", Problem: "can be read by every user", Fix: "chmod 600"}}
		}, "Config/merchants[0].private_key", true, "wxproxy.yaml:7: can be read", "chmod 600"},
		{"trial", trial(check.GroupConfig, errors.New("cannot be loaded")), "Config/trial", false, "cannot be loaded", "mend it"},
		{"notify trial", trial(check.GroupNotify, errors.New("cannot be loaded")), "Notify/trial", false, "cannot be loaded", "mend it"},
		{"state_dir is a file", func(s *setup) { s.in.StateDir = s.path("key.pem") }, "Config/state_dir", false, "not a directory", "directory"},
		{"state_dir below a file", func(s *setup) { s.in.StateDir = s.path("key.pem/state") }, "Config/state_dir", false, "cannot be written", "write there"},
		{"port in use", func(s *setup) { at("tcp", listen(s.t, "tcp", "127.0.0.1:0").Addr().String())(s) },
			"Config/admin.listen", true, "may be running", "another port"},
		{"address of another machine", at("tcp", "192.0.2.1:0"), "Config/admin.listen", false, "not an address of this machine", "127.0.0.1"},
		{"socket in use", func(s *setup) { at("unix", listen(s.t, "unix", s.path("a.sock")).Addr().String())(s) },
			"Config/admin.listen", true, "may be running", "another path"},
		{"file where the socket should be", func(s *setup) { at("unix", s.path("key.pem"))(s) }, "Config/admin.listen", false, "not a socket", "remove it"},
		{"no directory for the socket", func(s *setup) { at("unix", s.path("none/a.sock"))(s) }, "Config/admin.listen", false, "no socket can be made", "write"},
		{"public_url is localhost", func(s *setup) { s.in.PublicURL = "https://localhost:8443" }, "Notify/public_url", false, "this machine", "https://pay.example.com"},
		{"public_url is loopback", func(s *setup) { s.in.PublicURL = "https://[::1]:8443" }, "Notify/public_url", false, "this machine", "https://pay.example.com"},
		{"public_url is private", func(s *setup) { s.in.PublicURL = "https://10.1.2.3" }, "Notify/public_url", false, "private", "https://pay.example.com"},
		{"public_url is carrier grade", func(s *setup) { s.in.PublicURL = "https://100.64.1.1" }, "Notify/public_url", false, "private", "https://pay.example.com"},
		{"public_url has no domain", func(s *setup) { s.in.PublicURL = "https://payments" }, "Notify/public_url", false, "without a domain", "https://pay.example.com"},
		{"public_url in the cluster", func(s *setup) { s.in.PublicURL = "https://pay.shop.svc" }, "Notify/public_url", false, "private", "https://pay.example.com"},
		{"public_url is http", func(s *setup) { s.in.PublicURL = "http://pay.example.com" }, "Notify/public_url", true, "http://", "https://"},
		{"notify_url too long", func(s *setup) { s.in.PublicURL = "https://pay.example.com/" + strings.Repeat("a", 230) }, "Notify/public_url", false, "255", "shorten"},
		{"one APIv3 key for two merchants on one path", func(s *setup) {
			second := *s.shop()
			second.Spec = merchant.Spec{
				Name: "second", Certificate: s.file("cert.pem"), PrivateKey: s.file("key.pem"), APIv3Key: s.file("apiv3"),
			}
			s.write("apiv3", apiv3Key+"\n")
			s.in.Merchants = append(s.in.Merchants, second)
			s.in.Routes[0].Merchants = []string{"shop", "second"}
		}, "Notify/apiv3_key", false, "shop and second on /notify/shop", "own path"},
	}, false)
}

func TestUnloadable(t *testing.T) {
	t.Parallel()
	r := check.Unloadable([]check.Fault{
		{Where: "wxproxy.yaml", Problem: "cannot be read", Fix: "give the path"},
		{Key: "merchants[0].mchid", Where: "wxproxy.yaml:4", Problem: "is missing", Fix: "write it"},
	})
	want := `Config
  ✗ file  wxproxy.yaml: cannot be read
      → give the path
  ✗ merchants[0].mchid  wxproxy.yaml:4: is missing
      → write it

0 fine, 0 to look at, 2 failed
`
	if got := text(t, r); got != want || r.OK {
		t.Errorf("got OK %v\n%s\nwant\n%s", r.OK, got, want)
	}
}

// TestSearchFindsPlantedSecrets: the search that every other test here makes
// would see one.
func TestSearchFindsPlantedSecrets(t *testing.T) {
	t.Parallel()
	k := made().shop
	lines := strings.Split(k.pkcs8(), "\n")
	for _, planted := range []string{
		"x" + apiv3Key + "y", fmt.Sprintf("%x", otherKey), fmt.Sprintf("%X", x509.MarshalPKCS1PrivateKey(k.key)),
		lines[5], "Authorization: WECHATPAY2-SHA256-RSA2048 mchid", "echo_message wxproxy check ABC",
	} {
		if secretIn("before "+planted+" after") == "" {
			t.Errorf("not found: %.20q…", planted)
		}
	}
	if found := secretIn(k.certificate() + k.public() + serial(k)); found != "" {
		t.Errorf("found %s in what is public", found)
	}
}
