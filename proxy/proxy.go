// Package proxy is the two HTTP faces of wxproxy.
//
// Outbound is the face to the app: it admits a plain request, chooses the
// merchant, has the request signed and sent, verifies the answer and hands it
// back. Notify is the face to WeChat Pay: it verifies and decrypts a callback
// and hands plain JSON to the app, which must take it before WeChat Pay is told
// so.
//
// Neither opens a listener, reads a config or loads a key. What must hold: no
// unverified byte reaches the app looking verified, nothing is signed that was
// not asked for by an admitted caller, and no notify is acknowledged that the
// app has not taken.
package proxy

import (
	"cmp"
	"crypto"
	"crypto/rsa"

	"github.com/wxproxy/wxproxy/internal/secret"
	"github.com/wxproxy/wxproxy/signer"
	"github.com/wxproxy/wxproxy/verifier"
)

// Merchant is what the proxy needs of one merchant. Keys change while it runs,
// so each is a func that returns the value of the moment and never waits.
type Merchant struct {
	Name   string // alias: stands in headers, metrics and logs
	MchID  string // of a brand its brand_id
	Scheme string // signer.SchemeMerchant or SchemeBrand; empty: SchemeMerchant
	Group  string // of Upstream's hosts, for calls that name none; empty: the ordinary ones

	// PrivateKey signs for the merchant and opens what WeChat Pay encrypted to
	// its certificate.
	PrivateKey func() PrivateKey
	// APIv3Keys open notifies: the current one first, then the previous.
	APIv3Keys func() []secret.Value
	// APIv2Key makes the HMAC signatures of pay score and coupons; zero where
	// none is configured.
	APIv2Key func() secret.Value
	// Preferred is the platform key that WeChat Pay shall sign answers with,
	// and that sensitive fields are encrypted with; false while none is known.
	Preferred func() (serial string, key *rsa.PublicKey, ok bool)
	// Serials lists the serial numbers that Find knows; others may be among
	// them. Only NotifyOptions.KeyChanges needs it.
	Serials func() []string
	// Find returns the trusted platform key of a serial number, without waiting.
	Find func(serial string) (*rsa.PublicKey, bool)
	// AnswerKeys and NotifyKeys look a serial number up and may refresh for
	// it, each within a budget of its own: strangers can send notifies and
	// must not use up what verifying answers needs.
	AnswerKeys, NotifyKeys verifier.Keys
}

// PrivateKey is a merchant's private key at one time. Who signs a call also
// opens its answer, whatever key comes meanwhile.
type PrivateKey struct {
	Signer *signer.Signer // nil while no key is loaded
	// Decrypters are tried in turn: the key that signs, then those before it.
	// None where it cannot decrypt, as in Vault's Transit.
	Decrypters []crypto.Decrypter
}

// scheme is the credential scheme of the merchant's signatures, and of what
// WeChat Pay signs for it.
func (m *Merchant) scheme() string { return cmp.Or(m.Scheme, signer.SchemeMerchant) }

// isBrand reports whether the merchant is a brand: it signs calls under /brand/
// and no others, and its number is a brand_id.
func (m *Merchant) isBrand() bool { return m.scheme() == signer.SchemeBrand }
