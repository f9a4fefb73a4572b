package sim_test

import (
	"crypto/rand"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/emmansun/gmsm/sm3"

	"github.com/wxproxy/wxproxy/internal/sim"
)

// The simulator's own SM3 gives the digests that GB/T 32905-2016 prints in its
// annex A, and those of the library that wxproxy uses.
func TestSM3(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"abc":                      "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0",
		strings.Repeat("abcd", 16): "debe9ff92275b8a138604889c18e5a4d6fdb70e5387e5765293dcba39c0c5732",
	} {
		if got := sim.SM3Hex([]byte(text)); got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
	message := make([]byte, 300)
	_, _ = rand.Read(message)
	for size := range message {
		sum := sm3.Sum(message[:size])
		if got := sim.SM3Hex(message[:size]); got != hex.EncodeToString(sum[:]) {
			t.Fatalf("%d bytes %x: got %s, the library has %x", size, message[:size], got, sum)
		}
	}
}
