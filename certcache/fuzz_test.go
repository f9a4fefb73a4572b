package certcache_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/wxproxy/wxproxy/certcache"
	"github.com/wxproxy/wxproxy/internal/wire"
	"github.com/wxproxy/wxproxy/verifier"
)

// FuzzDownload: of all bodies only the signed one is believed.
func FuzzDownload(f *testing.F) {
	cert := issue(f, 0, epoch.Add(-year), epoch.Add(year))
	good := list(f, epoch, cert)
	f.Add(good.body)
	f.Add([]byte(`{"data":[{"serial_no":"1","encrypt_certificate":{}}]}`))
	f.Add([]byte(`{"data":[]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		w := &wechat{reply: reply{status: 200, header: good.header, body: body}}
		c := open(t, w.options())
		err := c.Download(t.Context())
		if genuine := bytes.Equal(body, good.body); (err == nil) != genuine || c.Has(cert.serial) != genuine {
			t.Fatalf("got %v for genuine=%t", err, genuine)
		}
	})
}

// FuzzSealed is what WeChat Pay itself could send, sealed and signed as it
// should be: only whole RSA certificates under their own serial number come to
// be trusted, and no error repeats what was sealed.
func FuzzSealed(f *testing.F) {
	cert := issue(f, 0, epoch.Add(-year), epoch.Add(year))
	item := seal(f, apiv3Key, cert, cert.pem)
	f.Add(item.SerialNo, item.EffectiveTime, item.ExpireTime, cert.pem)
	f.Add("0"+strings.ToLower(item.SerialNo), "2026-01-01T00:00:00+08:00", "2036-01-01T00:00:00+08:00", cert.pem)
	f.Add(wire.PublicKeyIDPrefix+"1", "", "x", ecPEM(f, cert))
	pin := pinned(f, 1)
	f.Fuzz(func(t *testing.T, serial, effective, expire string, text []byte) {
		sealed := seal(t, apiv3Key, cert, text)
		sealed.SerialNo, sealed.EffectiveTime, sealed.ExpireTime = serial, effective, expire
		body, err := json.Marshal(map[string]any{"data": []any{sealed}})
		if err != nil {
			t.Skip("no JSON can hold it:", err)
		}
		r := reply{status: 200, body: body}
		r.sign(t, key(t, 1), pinnedID, epoch)
		w := &wechat{reply: r}
		o := w.options()
		o.Pinned = pin
		c := open(t, o)
		err = c.Download(t.Context())
		if err != nil {
			if len(text) > 20 && strings.Contains(err.Error(), string(text)) {
				t.Fatalf("the error repeats the content: %v", err)
			}
			return
		}
		inside, _, err := verifier.ParseCertificate(text)
		if err != nil || wire.CanonicalSerial(serial) != wire.CanonicalSerial(wire.CertificateSerial(inside)) {
			t.Fatalf("took %q as %q", text, serial)
		}
		for _, k := range c.Status().Keys {
			if k.Source == certcache.SourceCertificate && (k.Serial != serial || k.Expire.After(inside.NotAfter)) {
				t.Fatalf("got %+v", k)
			}
		}
	})
}
