package wire_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/wxproxy/wxproxy/internal/wire"
)

const goodEnvelope = `{"id":"EV-1","create_time":"2018-06-08T10:34:56+08:00","resource_type":"encrypt-resource",` +
	`"event_type":"TRANSACTION.SUCCESS","summary":"支付成功","resource":{"original_type":"transaction",` +
	`"algorithm":"AEAD_AES_256_GCM","ciphertext":"AAAA","associated_data":"transaction","nonce":"fdasfjihihih"}}`

func TestParseEnvelope(t *testing.T) {
	t.Parallel()
	want := wire.Envelope{
		ID: "EV-1", CreateTime: "2018-06-08T10:34:56+08:00", ResourceType: "encrypt-resource",
		EventType: "TRANSACTION.SUCCESS", Summary: "支付成功",
		Resource: wire.Resource{
			OriginalType: "transaction", Algorithm: "AEAD_AES_256_GCM",
			Ciphertext: "AAAA", AssociatedData: "transaction", Nonce: "fdasfjihihih",
		},
	}
	got, err := wire.ParseEnvelope([]byte(goodEnvelope))
	if err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	for name, body := range map[string]string{
		"field unknown":              strings.Replace(goodEnvelope, `{"id"`, `{"new":{"a":[1]},"id"`, 1),
		"event type unknown":         strings.Replace(goodEnvelope, "TRANSACTION.SUCCESS", "NOT.YET.INVENTED", 1),
		"no associated data":         strings.Replace(goodEnvelope, `"associated_data":"transaction",`, "", 1),
		"associated data null":       strings.Replace(goodEnvelope, `"associated_data":"transaction"`, `"associated_data":null`, 1),
		"white space and line feeds": " \r\n" + goodEnvelope + "\n\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := wire.ParseEnvelope([]byte(body)); err != nil {
				t.Error(err)
			}
		})
	}
}

// notJSONObjects are refused by every reader of an envelope.
var notJSONObjects = map[string]string{
	"empty":           "",
	"null":            "null",
	"array":           "[]",
	"string":          `"EV-1"`,
	"empty object":    "{}",
	"cut":             goodEnvelope[:len(goodEnvelope)-1],
	"html":            "<html>502 Bad Gateway</html>",
	"deep":            strings.Repeat(`{"a":`, 20000) + "1" + strings.Repeat("}", 20000),
	"NUL before":      "\x00" + goodEnvelope,
	"byte order mark": "\ufeff" + goodEnvelope,
}

func TestParseEnvelopeRefuses(t *testing.T) {
	t.Parallel()
	rows := map[string]string{
		"id missing":         strings.Replace(goodEnvelope, `"id"`, `"xx"`, 1),
		"id empty":           strings.Replace(goodEnvelope, `"EV-1"`, `""`, 1),
		"id a number":        strings.Replace(goodEnvelope, `"EV-1"`, `1`, 1),
		"event type missing": strings.Replace(goodEnvelope, `"event_type"`, `"xx"`, 1),
		"resource missing":   strings.Replace(goodEnvelope, `"resource"`, `"xx"`, 1),
		"resource a string":  strings.Replace(goodEnvelope, `"resource":{`, `"resource":"","xx":{`, 1),
		"no ciphertext":      strings.Replace(goodEnvelope, `"AAAA"`, `""`, 1),
		"second object":      goodEnvelope + goodEnvelope,
		"bracket after":      goodEnvelope + "]",
		"text after":         goodEnvelope + "x",
		"NUL after":          goodEnvelope + "\x00",
	}
	maps.Copy(rows, notJSONObjects)
	for name, body := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := wire.ParseEnvelope([]byte(body))
			if !errors.Is(err, wire.ErrEnvelope) || got != (wire.Envelope{}) {
				t.Fatalf("got %+v, %v, want ErrEnvelope", got, err)
			}
			if strings.Contains(err.Error(), "EV-1") || strings.Contains(err.Error(), "Gateway") {
				t.Errorf("the error repeats the body: %v", err)
			}
		})
	}
}

func TestParseCertificates(t *testing.T) {
	t.Parallel()
	body := `{"data":[{"serial_no":"5157F09E","effective_time":"2018-06-08T10:34:56+08:00","expire_time":"2018-12-08T10:34:56+08:00",` +
		`"encrypt_certificate":{"algorithm":"AEAD_AES_256_GCM","nonce":"61f9c719728a","associated_data":"certificate","ciphertext":"sRvt"}}]}`
	want := []wire.SealedCertificate{{
		SerialNo: "5157F09E", EffectiveTime: "2018-06-08T10:34:56+08:00", ExpireTime: "2018-12-08T10:34:56+08:00",
		EncryptCertificate: wire.Resource{
			Algorithm: "AEAD_AES_256_GCM", Nonce: "61f9c719728a", AssociatedData: "certificate", Ciphertext: "sRvt",
		},
	}}
	if got, err := wire.ParseCertificates([]byte(body)); err != nil || !slices.Equal(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	rows := map[string]string{
		"no data":       `{"code":"RESOURCE_NOT_EXISTS","message":"x"}`,
		"data empty":    `{"data":[]}`,
		"data null":     `{"data":null}`,
		"data object":   `{"data":{}}`,
		"second object": body + body,
	}
	maps.Copy(rows, notJSONObjects)
	for name, body := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got, err := wire.ParseCertificates([]byte(body)); !errors.Is(err, wire.ErrEnvelope) || got != nil {
				t.Errorf("got %+v, %v, want ErrEnvelope", got, err)
			}
		})
	}
}
