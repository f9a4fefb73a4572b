package doorcert_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/wxproxy/wxproxy/internal/doorcert"
	"github.com/wxproxy/wxproxy/internal/doorcert/acmetest"
	"github.com/wxproxy/wxproxy/internal/secret"
)

// door serves a pair of files for the test.
func door(t *testing.T, o doorcert.Options, names ...string) (address string) {
	t.Helper()
	f := newFiles(t)
	f.issue(t, time.Now().Add(-time.Hour), time.Now().AddDate(1, 0, 0), names...)
	return f.door(t, o)
}

func (f *files) door(t *testing.T, o doorcert.Options) (address string) {
	t.Helper()
	d, err := doorcert.NewFiles(t.Context(), o, f.options(&secret.Reader{}))
	if err != nil {
		t.Fatal(err)
	}
	l, _ := listen(t)
	serve(t, d.Door, l)
	return l.Addr().String()
}

func TestHandshakeScan(t *testing.T) {
	t.Parallel()
	t.Run("ECDSA", func(t *testing.T) {
		t.Parallel()
		acmetest.Scan(t, door(t, doorcert.Options{}, shopName), shopName, "ECDSA")
	})
	t.Run("RSA", func(t *testing.T) {
		t.Parallel()
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		f := newFiles(t)
		chain, text, _ := issueTo(t, key, time.Now().Add(-time.Hour), time.Now().AddDate(1, 0, 0), shopName)
		f.write(t, "chain.pem", chain)
		f.write(t, "key.pem", text)
		acmetest.Scan(t, f.door(t, doorcert.Options{}), shopName, "RSA")
	})
}

func TestNamesThatAreAnsweredFor(t *testing.T) {
	t.Parallel()
	both := []string{shopName, "second.example.com"}
	for _, tc := range []struct {
		name    string
		options doorcert.Options
		in      []string // names of the certificate
		ask     string   // empty: none
		refused bool
	}{
		{"ours", doorcert.Options{Names: both}, both, "second.example.com", false},
		{"in capitals", doorcert.Options{Names: both}, both, "PAY.Example.com", false},
		{"unknown", doorcert.Options{Names: both}, both, "other.example.com", true},
		{"in the certificate but not ours", doorcert.Options{Names: both[:1]}, both, "second.example.com", true},
		{"none", doorcert.Options{Names: both}, both, "", true},
		{"none, with a default", doorcert.Options{Names: both, DefaultName: shopName}, both, "", false},
		{"none, at an address", doorcert.Options{Names: []string{shopName, "192.0.2.1"}}, []string{shopName, "192.0.2.1"}, "", false},
		{"by the certificate", doorcert.Options{}, []string{"*.example.com"}, shopName, false},
		{"by the certificate, none", doorcert.Options{}, []string{"*.example.com"}, "", true},
		{"by the certificate, unknown", doorcert.Options{}, []string{"*.example.com"}, "example.org", true},
		{"by the certificate, at an address", doorcert.Options{}, []string{"192.0.2.1"}, "", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			address := door(t, tc.options, tc.in...)
			_, err := shake(t, address, &tls.Config{ServerName: tc.ask, InsecureSkipVerify: true})
			alert, _ := errors.AsType[*net.OpError](err)
			switch {
			case !tc.refused && err != nil:
				t.Errorf("refused: %v", err)
			case tc.refused && (alert == nil || !strings.Contains(err.Error(), "unrecognized name")):
				t.Errorf("got %v, want the alert unrecognized_name", err)
			}
		})
	}
}
