package wire_test

import (
	"testing"

	"github.com/wxproxy/wxproxy/internal/wire"
)

func TestRequestMessage(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ body, want string }{
		"empty body leaves an empty line":      {"", "GET\n/v3/certificates\n1554208460\nabc\n\n"},
		"body":                                 {`{}`, "GET\n/v3/certificates\n1554208460\nabc\n{}\n"},
		"body that ends in a line feed":        {"{}\n", "GET\n/v3/certificates\n1554208460\nabc\n{}\n\n"},
		"body that is not text stays as it is": {"\xff\x00", "GET\n/v3/certificates\n1554208460\nabc\n\xff\x00\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := string(wire.RequestMessage("GET", "/v3/certificates", wire.FormatTimestamp(1554208460), "abc", []byte(tt.body)))
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestResponseMessage(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ body, want string }{
		"204 is signed too": {"", "1554208460\nabc\n\n"},
		"body":              {`{}`, "1554208460\nabc\n{}\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := string(wire.ResponseMessage("1554208460", "abc", []byte(tt.body))); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
