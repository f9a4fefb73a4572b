package vault_test

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/wxproxy/wxproxy/internal/vault"
)

// later is a limit of the rate, for so many seconds.
func later(after string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", after)
		status(http.StatusTooManyRequests)(w, r)
	}
}

// Vault's trouble of a moment costs nobody anything, as far as there is time.
func TestTroubleOfAMomentIsMended(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		first []http.HandlerFunc
		want  error
		asked int
	}{
		"failed":               {[]http.HandlerFunc{status(http.StatusInternalServerError)}, nil, 2},
		"standby":              {[]http.HandlerFunc{status(http.StatusServiceUnavailable), status(http.StatusBadGateway)}, nil, 3},
		"reset":                {[]http.HandlerFunc{reset}, nil, 2},
		"limited":              {[]http.HandlerFunc{later("0")}, nil, 2},
		"failed too often":     {slices.Repeat([]http.HandlerFunc{status(http.StatusBadGateway)}, 3), vault.ErrUnavailable, 3},
		"limited often":        {slices.Repeat([]http.HandlerFunc{later("0")}, 11), nil, 12},
		"limited too often":    {slices.Repeat([]http.HandlerFunc{later("0")}, 12), vault.ErrRateLimited, 12},
		"limited for too long": {[]http.HandlerFunc{later("3600")}, vault.ErrRateLimited, 1},
		"for how long?":        {[]http.HandlerFunc{later("a while")}, nil, 2},
		"not Vault's fault":    {[]http.HandlerFunc{status(http.StatusBadRequest)}, vault.ErrRefused, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			c := loggedIn(t, f, nil)
			if err := c.field(t); err != nil {
				t.Fatal(err)
			}
			before := f.requests("secret/data/other")
			c.Forget()
			if _, err := c.Field(t.Context(), "secret/shop", "key"); err != nil { // knows the mount
				t.Fatal(err)
			}
			f.next(test.first...)
			f.on("secret/data/other", data(`{"data":{"key":"value"}}`))
			_, err := c.Field(t.Context(), "secret/other", "key")
			if !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
				t.Errorf("got %v, want %v", err, test.want)
			}
			if n := f.requests("secret/data/other") - before; n != test.asked {
				t.Errorf("asked %d times, want %d", n, test.asked)
			}
		})
	}
}

// The log has each kind of trouble once, however it changes and however often
// requests succeed between, and its end once that is sure.
func TestLogHasChangesOfStateAlone(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	c := loggedIn(t, f, nil)
	sealed, limited, fine := status(http.StatusServiceUnavailable, "Vault is sealed"), later("0"), data(`{"data":{"key":"`+aSecret+`"}}`)
	c.advance(time.Hour)
	for range 3 {
		for _, answer := range []http.HandlerFunc{sealed, limited, fine} {
			f.on("secret/data/shop", answer)
			err := c.field(t)
			if (c.State().Problem == "") != (err == nil) {
				t.Errorf("state %+v after %v", c.State(), err)
			}
		}
	}
	if c.log.count("Vault fails") != 2 || c.log.count("answers again") != 0 {
		t.Errorf("the log repeats itself:\n%s", &c.log)
	}
	c.advance(time.Minute)
	for range 3 {
		if err := c.field(t); err != nil {
			t.Fatal(err)
		}
	}
	if c.log.count("answers again") != 1 {
		t.Errorf("the log does not tell the end once:\n%s", &c.log)
	}
	f.on("secret/data/shop", sealed)
	if err := c.field(t); !errors.Is(err, vault.ErrSealed) || c.log.count("Vault fails") != 3 {
		t.Errorf("the log does not tell what came later: %v\n%s", err, &c.log)
	}
	says(t, c.log.String())
}

// Certificates that were renewed count from the next connection on; broken
// ones leave those of before in use.
func TestCertificatesAreTakenOver(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	server := httptest.NewTLSServer(f)
	t.Cleanup(server.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	put := func(text []byte) {
		t.Helper()
		if err := os.WriteFile(ca, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	certificate := func(s *httptest.Server) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	}
	put(certificate(server))
	c := loggedIn(t, f, func(o *vault.Options) { o.Address, o.CA = server.URL, ca })
	put([]byte("half a cert"))
	if err := c.Reload(t.Context()); err == nil {
		t.Error("a broken file is taken")
	} else {
		says(t, err.Error(), "vault.ca: "+ca+" holds no certificate in PEM")
	}
	if err := c.field(t); err != nil {
		t.Errorf("the certificate of before is not in use: %v", err)
	}
	other := httptest.NewUnstartedServer(f)
	other.TLS = &tls.Config{Certificates: []tls.Certificate{selfSigned(t)}, MinVersion: tls.VersionTLS12}
	other.StartTLS()
	t.Cleanup(other.Close)
	put(certificate(other))
	if err := c.Reload(t.Context()); !errors.Is(err, vault.ErrUnreachable) {
		t.Errorf("the old server is trusted with the new certificate: %v", err)
	}
	put(append(certificate(other), certificate(server)...))
	if err := c.Reload(t.Context()); err != nil {
		t.Errorf("the new certificates are not in use: %v", err)
	}
	if err := c.field(t); err != nil {
		t.Errorf("the new certificates are not in use: %v", err)
	}
}

func TestNewRefusesFilesThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	dir := t.TempDir()
	broken, none := filepath.Join(dir, "broken.pem"), filepath.Join(dir, "none.pem")
	if err := os.WriteFile(broken, []byte("-----BEGIN"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*vault.Options){
		"vault.ca: secret file \"" + none:       func(o *vault.Options) { o.CA = none },
		"vault.ca: " + broken:                   func(o *vault.Options) { o.CA = broken },
		"vault.client_certificate: secret file": func(o *vault.Options) { o.ClientCert, o.ClientKey = none, broken },
		"vault.client_key: secret file":         func(o *vault.Options) { o.ClientCert, o.ClientKey = broken, none },
		"are not a certificate and its key":     func(o *vault.Options) { o.ClientCert, o.ClientKey = broken, broken },
		"vault.address cannot be used":          func(o *vault.Options) { o.Address = "http://[::1" },
	} {
		o := options(f)
		change(&o)
		_, err := vault.New(o)
		if err == nil {
			t.Errorf("%s: taken", want)
			continue
		}
		says(t, err.Error(), want)
	}
}

// selfSigned is a certificate for loopback.
func selfSigned(t *testing.T) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &keys()[0].PublicKey, keys()[0])
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: keys()[0]}
}
