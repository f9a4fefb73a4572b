package wire_test

import (
	"crypto/x509"
	"errors"
	"math/big"
	"strings"
	"testing"

	"github.com/wxproxy/wxproxy/internal/wire"
)

func TestCheckSerial(t *testing.T) {
	t.Parallel()
	for serial, ok := range map[string]bool{
		"5157F09EFDC096DE15EBE81A47057A7232F1B8E1": true,
		"5157f09efdc096de15ebe81a47057a7232f1b8e1": true,
		"0":                     true,
		strings.Repeat("F", 64): true,
		"PUB_KEY_ID_0119000000012024101500123456": true,
		"PUB_KEY_ID_" + strings.Repeat("1", 53):   true,
		"":                                        false,
		strings.Repeat("F", 65):                   false,
		"PUB_KEY_ID_" + strings.Repeat("1", 54):   false,
		"PUB_KEY_ID_":                             false,
		"PUB_KEY_ID_1 ":                           false,
		"PUB_KEY_ID_1\n":                          false,
		"PUB_KEY_ID_٣":                            false,
		"pub_key_id_1":                            false,
		"0PUB_KEY_ID_1":                           false,
		"0x5157":                                  false,
		"51:57":                                   false,
		"5157F09EFDC096DE15EBE81A47057A7232F1B8E1\x00":  false,
		" 5157F09EFDC096DE15EBE81A47057A7232F1B8E1":     false,
		"5157F09EFDC096DE15EBE81A47057A7232F1B8E1/../1": false,
	} {
		if err := wire.CheckSerial(serial); (err == nil) != ok || (err != nil && !errors.Is(err, wire.ErrSerial)) {
			t.Errorf("%q: got %v, want ok %v", serial, err, ok)
		}
	}
}

func TestCanonicalSerial(t *testing.T) {
	t.Parallel()
	for serial, want := range map[string]string{
		"00ab":          "AB",
		"AB":            "AB",
		"0":             "0",
		"000":           "0",
		"":              "",
		"PUB_KEY_ID_0a": "PUB_KEY_ID_0a",
	} {
		if got := wire.CanonicalSerial(serial); got != want {
			t.Errorf("%q: got %q, want %q", serial, got, want)
		}
	}
}

func TestCertificateSerial(t *testing.T) {
	t.Parallel()
	if got, want := wire.CertificateSerial(vectors.Certificate(t, "go_notify_cert.pem")), "D7CE59D1F522D701"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := wire.CertificateSerial(&x509.Certificate{SerialNumber: big.NewInt(0xABC)}), "0ABC"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
