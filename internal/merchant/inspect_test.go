package merchant_test

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wxproxy/wxproxy/internal/merchant"
	"github.com/wxproxy/wxproxy/internal/secret"
	"github.com/wxproxy/wxproxy/signer"
)

func TestMaterial(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		change func(*merchant.Spec, vault)
		check  func(*merchant.Material) bool
	}{
		{"everything", nil, func(m *merchant.Material) bool {
			return len(m.APIv3Keys) == 2 && string(m.APIv3Keys[0].Bytes()) == apiv3Key && string(m.APIv3Keys[1].Bytes()) == oldKey &&
				string(m.APIv2Key.Bytes()) == apiv2Key && m.PinnedSerial == keyID && m.Pinned.Equal(&key(t, 2).PublicKey) &&
				m.CertificateNotAfter.Equal(epoch.Add(year)) && m.LoadedAt.Equal(epoch) && opens(t, m, 0, 1)
		}},
		{"serial_no alone, in lower case", func(s *merchant.Spec, _ vault) {
			s.Certificate, s.SerialNo = secret.Ref{}, strings.ToLower(serial0)
		}, func(m *merchant.Material) bool { return m.CertificateNotAfter.IsZero() }},
		{"certificate alone", func(s *merchant.Spec, _ vault) { s.SerialNo, s.MchID = "", "" }, nil},
		{"serial_no with zeros ahead", func(s *merchant.Spec, _ vault) { s.SerialNo = "00" + serial0 }, nil},
		{"certificate that names no merchant", func(_ *merchant.Spec, v vault) {
			v["CERT"] = certificate(t, 0, "a test", epoch.Add(-year), epoch.Add(year))
		}, nil},
		{"PKCS#1 key", func(_ *merchant.Spec, v vault) {
			v["KEY"] = block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key(t, 0)))
		}, nil},
		{"no public key, no other keys", func(s *merchant.Spec, _ vault) {
			s.PublicKey, s.PublicKeyID, s.APIv3KeyPrevious, s.APIv2Key, s.PreviousKey = secret.Ref{}, "", secret.Ref{}, secret.Ref{}, secret.Ref{}
		}, func(m *merchant.Material) bool {
			return m.Pinned == nil && m.PinnedSerial == "" && len(m.APIv3Keys) == 1 && m.APIv2Key.IsZero() && opens(t, m, 0)
		}},
		{"line feeds after keys", func(_ *merchant.Spec, v vault) {
			v["APIV3"], v["OLD"] = []byte(apiv3Key+"\n"), []byte(oldKey+"\r\n")
		}, func(m *merchant.Material) bool {
			return len(m.APIv3Keys[0].Bytes()) == 32 && len(m.APIv3Keys[1].Bytes()) == 32
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			spec, v := full(t)
			if tt.change != nil {
				tt.change(&spec, v)
			}
			m := load(t, spec, v)
			if err := m.Reload(t.Context()); err != nil || m.Err() != nil {
				t.Fatal(err)
			}
			got := m.Current()
			if got.MchID != mchid || got.Signer.ID() != mchid || got.Signer.Serial() != serial0 ||
				!key(t, 0).PublicKey.Equal(got.Signer.Public()) || len(got.Warnings) != 0 {
				t.Errorf("got %+v", got)
			}
			if tt.check != nil && !tt.check(got) {
				t.Errorf("got %+v", got)
			}
			for _, f := range merchant.Inspect(t.Context(), spec, v, now) {
				if !f.OK || f.Warn || f.Fix != "" || f.Detail == "" {
					t.Errorf("got %+v", f)
				}
			}
		})
	}
}

func load(t *testing.T, spec merchant.Spec, v vault) *merchant.Merchant {
	t.Helper()
	m, err := merchant.New(spec, v, now, nil)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestRefused flips one thing each; the finding names the piece and the fix.
func TestRefused(t *testing.T) {
	t.Parallel()
	decimal, _ := new(big.Int).SetString(serial0, 16)
	set := func(name string, content []byte) func(*merchant.Spec, vault) {
		return func(_ *merchant.Spec, v vault) { v[name] = content }
	}
	spec := func(change func(*merchant.Spec)) func(*merchant.Spec, vault) {
		return func(s *merchant.Spec, _ vault) { change(s) }
	}
	for _, tt := range []struct {
		name    string
		change  func(*merchant.Spec, vault)
		finding string
		says    string
	}{
		{"no private key", spec(func(s *merchant.Spec) { s.PrivateKey = secret.Ref{} }), "private_key", "apiclient_key.pem"},
		{"private key absent", func(_ *merchant.Spec, v vault) { delete(v, "KEY") }, "private_key", "KEY is not set"},
		{"private key cut off", set("KEY", pkcs8(t, 0)[:900]), "private_key", "env:KEY"},
		{"certificate as private key", set("KEY", certificate(t, 0, mchid, epoch, epoch)), "private_key", "this is a certificate"},
		{"key too small", set("KEY", pkcs8(t, 3)), "private_key", "1024 bits"},
		{"PKCS#1 labelled PKCS#8", set("KEY", block("PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key(t, 0)))), "private_key", "PKCS#1"},
		{"key of another certificate", set("KEY", pkcs8(t, 1)), "pair", "the key in env:KEY does not fit its certificate in env:CERT"},

		{"previous private key absent", func(_ *merchant.Spec, v vault) { delete(v, "OLDKEY") }, "private_key_previous", "OLDKEY is not set"},
		{"previous private key cut off", set("OLDKEY", pkcs8(t, 1)[:900]), "private_key_previous", "env:OLDKEY"},

		{"certificate absent", func(_ *merchant.Spec, v vault) { delete(v, "CERT") }, "certificate", "CERT is not set"},
		{"certificate cut off", set("CERT", certificate(t, 0, mchid, epoch, epoch)[:400]), "certificate", "apiclient_cert.pem"},
		{"private key as certificate", set("CERT", pkcs8(t, 0)), "certificate", "this is a private key"},
		{"platform certificate", set("CERT", certificate(t, 2, "Tenpay.com sign", epoch.Add(-year), epoch.Add(year))), "certificate", "looks like WeChat Pay's platform certificate"},
		{"certificate of another merchant", set("CERT", certificate(t, 0, "1900000009", epoch.Add(-year), epoch.Add(year))), "mchid", "of merchant 1900000009"},
		{"mchid of another merchant", spec(func(s *merchant.Spec) { s.MchID = "1900000009" }), "mchid", "of merchant " + mchid},
		{"no mchid anywhere", spec(func(s *merchant.Spec) { s.MchID, s.Certificate = "", secret.Ref{} }), "mchid", "商户号"},

		{"serial_no of another certificate", spec(func(s *merchant.Spec) { s.SerialNo = serial1 }), "serial_no", "write " + serial0},
		{"serial_no in decimal", spec(func(s *merchant.Spec) { s.SerialNo = decimal.String() }), "serial_no", "decimal"},
		{"serial_no in decimal, no certificate", spec(func(s *merchant.Spec) { s.SerialNo, s.Certificate = decimal.String(), secret.Ref{} }), "serial_no", "decimal"},
		{"public key ID as serial_no", spec(func(s *merchant.Spec) { s.SerialNo, s.Certificate = keyID, secret.Ref{} }), "serial_no", "public_key_id"},
		{"serial_no with colons", spec(func(s *merchant.Spec) { s.SerialNo, s.Certificate = "37:75", secret.Ref{} }), "serial_no", "hexadecimal"},
		{"neither", spec(func(s *merchant.Spec) { s.SerialNo, s.Certificate = "", secret.Ref{} }), "serial_no", "neither"},

		{"no APIv3 key", spec(func(s *merchant.Spec) { s.APIv3Key = secret.Ref{} }), "apiv3_key", "no reference"},
		{"APIv3 key absent", func(_ *merchant.Spec, v vault) { delete(v, "APIV3") }, "apiv3_key", "APIV3 is not set"},
		{"APIv3 key of 31 bytes", set("APIV3", []byte(apiv3Key[1:])), "apiv3_key", "31 bytes, not 32"},
		{"APIv3 key of 33 bytes", set("APIV3", []byte(apiv3Key+"x")), "apiv3_key", "APIv2"},
		{"file of the APIv3 key has a PEM", set("APIV3", pkcs8(t, 0)), "apiv3_key", "PEM"},
		{"previous APIv3 key of 31 bytes", set("OLD", []byte(oldKey[1:])), "apiv3_key_previous", "31 bytes"},
		{"APIv2 key of 31 bytes", set("APIV2", []byte(apiv2Key[1:])), "apiv2_key", "31 bytes"},

		{"public key without ID", spec(func(s *merchant.Spec) { s.PublicKeyID = "" }), "public_key_id", "PUB_KEY_ID_"},
		{"ID without public key", spec(func(s *merchant.Spec) { s.PublicKey = secret.Ref{} }), "public_key", "pub_key.pem"},
		{"ID that is a serial number", spec(func(s *merchant.Spec) { s.PublicKeyID = serial0 }), "public_key_id", "PUB_KEY_ID_"},
		{"ID cut off", spec(func(s *merchant.Spec) { s.PublicKeyID = "PUB_KEY_ID_" }), "public_key_id", "PUB_KEY_ID_"},
		{"public key absent", func(_ *merchant.Spec, v vault) { delete(v, "PUB") }, "public_key", "PUB is not set"},
		{"own public key", set("PUB", spki(t, 0)), "public_key", "your own key"},
		{"certificate as public key", set("PUB", certificate(t, 2, "Tenpay.com sign", epoch, epoch)), "public_key", "this is a certificate"},
		{"public key too small", set("PUB", spki(t, 3)), "public_key", "1024 bits"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			spec, v := full(t)
			tt.change(&spec, v)
			findings := merchant.Inspect(t.Context(), spec, v, now)
			i := slices.IndexFunc(findings, func(f merchant.Finding) bool { return f.Name == tt.finding && !f.OK })
			if i < 0 {
				t.Fatalf("no finding %s in %+v", tt.finding, findings)
			}
			if f := findings[i]; f.Warn || f.Fix == "" || !strings.Contains(f.Detail+f.Fix, tt.says) {
				t.Errorf("got %+v, want it to say %q", f, tt.says)
			}
			m := load(t, spec, v)
			err := m.Reload(t.Context())
			if !errors.Is(err, merchant.ErrMaterial) || m.Err() != err || m.Current() != nil {
				t.Fatalf("got %v, %v, %v", err, m.Err(), m.Current())
			}
			if !strings.Contains(err.Error(), "merchant shop: "+tt.finding) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want it to name shop and %s and to say %q", err, tt.finding, tt.says)
			}
			checkLeaks(t, err.Error()+fmt.Sprintf("%+v", findings))
		})
	}
}

// checkLeaks looks for anything secret that full has.
func checkLeaks(t *testing.T, text string) {
	t.Helper()
	secrets := []string{apiv3Key[1:31], oldKey[1:31], apiv2Key[1:31]}
	for _, k := range []*rsa.PrivateKey{key(t, 0), key(t, 1)} {
		secrets = append(secrets, base64.StdEncoding.EncodeToString(x509.MarshalPKCS1PrivateKey(k))[400:440], k.D.String())
	}
	for _, s := range secrets {
		if strings.Contains(text, s) {
			t.Errorf("a secret shows: %s", text)
		}
	}
}

// TestAllAtOnce: one pass names everything that is wrong.
func TestAllAtOnce(t *testing.T) {
	t.Parallel()
	spec, v := full(t)
	v["KEY"], v["APIV3"], v["PUB"], spec.SerialNo = pkcs8(t, 1), []byte("short"), nil, serial1
	err := load(t, spec, v).Reload(t.Context())
	for _, name := range []string{"pair", "apiv3_key", "public_key", "serial_no"} {
		if !strings.Contains(fmt.Sprint(err), "shop: "+name) {
			t.Errorf("%s is missing in %v", name, err)
		}
	}
}

// TestWarned: what may be wrong elsewhere, or is only untidy, is told and
// stops nothing.
func TestWarned(t *testing.T) {
	t.Parallel()
	cert := func(from, to time.Duration) func(vault) {
		return func(v vault) { v["CERT"] = certificate(t, 0, mchid, epoch.Add(from), epoch.Add(to)) }
	}
	for _, tt := range []struct {
		name    string
		change  func(vault)
		finding string
		ok      bool
		says    string
	}{
		{"expired", cert(-year, -time.Second), "validity", false, "expired at 2026-11-23 11:59:59 UTC"},
		{"at its very end", cert(-year, 0), "validity", false, "expired"},
		{"not yet valid", cert(time.Hour, year), "validity", false, "not valid before"},
		{"expires soon", cert(-year, 29*24*time.Hour), "validity", true, "soon"},
		{"previous APIv3 key is the current", func(v vault) { v["OLD"] = []byte(apiv3Key + "\n") }, "apiv3_key_previous", true, "same key"},
		{"previous private key is the current", func(v vault) { v["OLDKEY"] = pkcs8(t, 0) }, "private_key_previous", true, "same key"},
		{"APIv2 key is the APIv3 key", func(v vault) { v["APIV2"] = []byte(apiv3Key) }, "apiv2_key", true, "same as apiv3_key"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			spec, v := full(t)
			tt.change(v)
			m := load(t, spec, v)
			if err := m.Reload(t.Context()); err != nil {
				t.Fatal(err)
			}
			got := m.Current().Warnings
			if len(got) != 1 || got[0].Name != tt.finding || got[0].OK != tt.ok || !got[0].Warn || got[0].Fix == "" ||
				!strings.Contains(got[0].Detail, tt.says) {
				t.Errorf("got %+v", got)
			}
			if n := len(m.Current().APIv3Keys); tt.finding == "apiv3_key_previous" && n != 1 {
				t.Errorf("got %d APIv3 keys", n)
			}
		})
	}
}

// A brand's number is the one that is given, whatever its certificate names, and
// it signs with the scheme of brands.
func TestBrand(t *testing.T) {
	t.Parallel()
	spec, v := full(t)
	spec.MchID, spec.Scheme = "123456789", signer.SchemeBrand
	m := load(t, spec, v)
	if err := m.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := m.Current(); got.MchID != "123456789" || got.Signer.ID() != "123456789" || got.Signer.Scheme() != signer.SchemeBrand {
		t.Errorf("got %s with %s", got.Signer.ID(), got.Signer.Scheme())
	}
}
