package signer

// WithNonce is s with a nonce that is known before, as published vectors need.
func (s *Signer) WithNonce(nonce string) *Signer {
	c := *s
	c.nonce = func() string { return nonce }
	return &c
}
