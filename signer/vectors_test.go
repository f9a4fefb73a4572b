package signer_test

import (
	"strings"
	"testing"

	"github.com/wxproxy/wxproxy/internal/wire"
)

// TestSignVectors: the signatures that others published, byte for byte.
func TestSignVectors(t *testing.T) {
	t.Parallel()
	type row struct{ name, key, message, want string }
	var rows []row
	for _, v := range vectors.OfKind(t, "request-sign", 2) {
		rows = append(rows, row{v.Name, v.Key, string(wire.RequestMessage(v.Method, v.URL, v.Timestamp, v.Nonce, []byte(v.Body))), v.Signature})
	}
	for _, v := range vectors.OfKind(t, "client-sign", 1) {
		rows = append(rows, row{v.Name, v.Key, strings.Join(v.Lines, "\n") + "\n", v.Signature})
	}
	for _, v := range vectors.OfKind(t, "raw-sign", 1) {
		rows = append(rows, row{v.Name, v.Key, v.Message, v.Signature})
	}
	for _, tt := range rows {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := newSignerFor(t, tt.key, mchID, serial).Sign(t.Context(), tt.message)
			if err != nil || got.Signature != tt.want || got.MchID != mchID || got.CertificateSerialNo != serial {
				t.Errorf("got %+v, %v, want signature %s", got, err, tt.want)
			}
		})
	}
}
