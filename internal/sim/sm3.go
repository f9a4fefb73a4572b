package sim

import (
	"encoding/binary"
	"encoding/hex"
	"math/bits"
)

// sm3Hex is the digest of GB/T 32905-2016, written from the standard, so that
// the library in wxproxy is not its own judge. It is for this check alone.
func sm3Hex(message []byte) string {
	state := [8]uint32{0x7380166f, 0x4914b2b9, 0x172442d7, 0xda8a0600, 0xa96f30bc, 0x163138aa, 0xe38dee4d, 0xb0fb0e4e}
	padded := append(append([]byte(nil), message...), 0x80)
	for len(padded)%64 != 56 {
		padded = append(padded, 0)
	}
	padded = binary.BigEndian.AppendUint64(padded, uint64(len(message))*8)
	for ; len(padded) > 0; padded = padded[64:] {
		sm3Block(&state, padded[:64])
	}
	var sum []byte
	for _, word := range state {
		sum = binary.BigEndian.AppendUint32(sum, word)
	}
	return hex.EncodeToString(sum)
}

// sm3Block is the compression function; names are the standard's.
func sm3Block(state *[8]uint32, block []byte) {
	var w [68]uint32
	for j := range 16 {
		w[j] = binary.BigEndian.Uint32(block[4*j:])
	}
	for j := 16; j < len(w); j++ {
		x := w[j-16] ^ w[j-9] ^ bits.RotateLeft32(w[j-3], 15)
		p1 := x ^ bits.RotateLeft32(x, 15) ^ bits.RotateLeft32(x, 23)
		w[j] = p1 ^ bits.RotateLeft32(w[j-13], 7) ^ w[j-6]
	}
	a, b, c, d := state[0], state[1], state[2], state[3]
	e, f, g, h := state[4], state[5], state[6], state[7]
	for j := range 64 {
		t, ff, gg := uint32(0x79cc4519), a^b^c, e^f^g
		if j >= 16 {
			t, ff, gg = 0x7a879d8a, a&b|a&c|b&c, e&f|^e&g
		}
		ss1 := bits.RotateLeft32(bits.RotateLeft32(a, 12)+e+bits.RotateLeft32(t, j%32), 7)
		ss2 := ss1 ^ bits.RotateLeft32(a, 12)
		tt1 := ff + d + ss2 + (w[j] ^ w[j+4])
		tt2 := gg + h + ss1 + w[j]
		a, b, c, d = tt1, a, bits.RotateLeft32(b, 9), c
		e, f, g, h = tt2^bits.RotateLeft32(tt2, 9)^bits.RotateLeft32(tt2, 17), e, bits.RotateLeft32(f, 19), g
	}
	for i, word := range [8]uint32{a, b, c, d, e, f, g, h} {
		state[i] ^= word
	}
}
