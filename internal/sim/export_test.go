package sim

// SM3Hex lets a test compare the digest with the standard's.
func SM3Hex(message []byte) string { return sm3Hex(message) }
