// Package signer authorises requests to WeChat Pay APIv3: it puts the
// Authorization header on a request, over exactly the bytes that are sent.
//
// It does not decide who may ask, which merchant is meant or where the request
// goes; that was decided before. A Signer is immutable: when a key changes a
// new Signer takes its place.
package signer

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/wechatpay-apiv3/wechatpay-go/core/auth"

	"github.com/wxproxy/wxproxy/internal/wire"
)

// ErrSigning: the key did not sign. Its cause is for the log, not for a peer.
var ErrSigning = errors.New("signing failed")

// minKeyBits is WeChat Pay's own size; smaller keys are never issued.
const minKeyBits = 2048

// The schemes of a Credential: what goes out is the same but for the scheme's
// name and the field that names who signs.
const (
	SchemeMerchant = wire.SchemeRSA   // mchid="…"
	SchemeBrand    = wire.SchemeBrand // brand_id="…"
)

// Credential is who signs.
type Credential struct {
	Scheme string        // SchemeMerchant or SchemeBrand; empty: SchemeMerchant
	ID     string        // the merchant number (mchid), of a brand its brand_id
	Serial string        // of the API certificate, hexadecimal
	Key    crypto.Signer // RSA, 2048 bits or more; with a method SignContext, one that lives elsewhere
}

// Signer signs for one merchant with one key. It is safe for concurrent use
// as far as the key is, which those of the standard library are.
type Signer struct {
	credential Credential
	now        func() time.Time
	nonce      func() string
}

// A Signer can be plugged into the official Go SDK.
var _ auth.Signer = (*Signer)(nil)

// New checks the credential. The zero now means time.Now.
func New(c Credential, now func() time.Time) (*Signer, error) {
	if c.Scheme == "" {
		c.Scheme = SchemeMerchant
	}
	if !wire.KnownScheme(c.Scheme) {
		return nil, fmt.Errorf("credential scheme %q is not one of this build's", c.Scheme)
	}
	if err := checkID(c.ID); err != nil {
		return nil, fmt.Errorf("%s %w", wire.IDName(c.Scheme), err)
	}
	if c.Key == nil {
		return nil, errors.New("merchant has no key")
	}
	pub, ok := c.Key.Public().(*rsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("merchant key is a %T, not RSA", c.Key.Public())
	}
	if bits := pub.N.BitLen(); bits < minKeyBits {
		return nil, fmt.Errorf("merchant key has %d bits, fewer than %d", bits, minKeyBits)
	}
	if err := checkCertificateSerial(c.Serial); err != nil {
		return nil, err
	}
	c.Serial = strings.ToUpper(c.Serial) // the header has it in upper case
	if now == nil {
		now = time.Now
	}
	return &Signer{credential: c, now: now, nonce: newNonce}, nil
}

// ID is whom the signer signs for: a merchant's mchid or a brand's brand_id.
func (s *Signer) ID() string { return s.credential.ID }

// Scheme is the credential scheme of the signatures.
func (s *Signer) Scheme() string { return s.credential.Scheme }

// Serial is the serial number that goes out with each signature.
func (s *Signer) Serial() string { return s.credential.Serial }

// Public is the public half of the key.
func (s *Signer) Public() crypto.PublicKey { return s.credential.Key.Public() }

// Authorization makes the header value for one request: target is the escaped
// path and raw query as they will stand on the wire, body the text that APIv3
// has signed (of an upload, its meta part). Timestamp and nonce are new each
// time and never the caller's, and method and target are one line each, so that
// nobody can have a message of his own choice signed.
func (s *Signer) Authorization(method, target string, body []byte) (string, error) {
	return s.authorize(context.Background(), method, target, body)
}

// authorize is Authorization for a key that may have to be waited for.
func (s *Signer) authorize(ctx context.Context, method, target string, body []byte) (string, error) {
	if !isMethod(method) || !isTarget(target) {
		return "", fmt.Errorf("%w: method or target cannot stand in a request line", ErrSigning)
	}
	timestamp, nonce := wire.FormatTimestamp(s.now().Unix()), s.nonce()
	signature, err := s.sign(ctx, wire.RequestMessage(method, target, timestamp, nonce, body))
	if err != nil {
		return "", err
	}
	return s.authorization(timestamp, nonce, signature).String(), nil
}

// AnswerAuthorization makes the header that signs an answer to a notify, for
// the few event families whose answer WeChat Pay wants signed: the message has
// the three lines of an answer, the header the form of a request's. A key that
// lives elsewhere is waited for no longer than ctx.
func (s *Signer) AnswerAuthorization(ctx context.Context, body []byte) (string, error) {
	timestamp, nonce := wire.FormatTimestamp(s.now().Unix()), s.nonce()
	signature, err := s.sign(ctx, wire.ResponseMessage(timestamp, nonce, body))
	if err != nil {
		return "", err
	}
	return s.authorization(timestamp, nonce, signature).String(), nil
}

// Sign implements the official SDK's auth.Signer.
func (s *Signer) Sign(ctx context.Context, message string) (*auth.SignatureResult, error) {
	signature, err := s.sign(ctx, []byte(message))
	if err != nil {
		return nil, err
	}
	return &auth.SignatureResult{
		MchID: s.credential.ID, CertificateSerialNo: s.credential.Serial, Signature: signature,
	}, nil
}

// Algorithm implements the official SDK's auth.Signer.
func (*Signer) Algorithm() string { return "SHA256-RSA2048" }

func (s *Signer) authorization(timestamp, nonce, signature string) wire.Authorization {
	return wire.Authorization{
		Scheme: s.credential.Scheme, ID: s.credential.ID, Nonce: nonce,
		Signature: signature, Timestamp: timestamp, Serial: s.credential.Serial,
	}
}

// remote is a key that lives elsewhere, so that signing can take time.
type remote interface {
	SignContext(ctx context.Context, rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error)
}

// sign is RSASSA-PKCS1-v1_5 over SHA-256, the only algorithm of the scheme. A
// remote key is waited for as long as ctx allows.
func (s *Signer) sign(ctx context.Context, message []byte) (string, error) {
	digest := sha256.Sum256(message)
	var signature []byte
	var err error
	if key, ok := s.credential.Key.(remote); ok {
		signature, err = key.SignContext(ctx, rand.Reader, digest[:], crypto.SHA256)
	} else {
		signature, err = s.credential.Key.Sign(rand.Reader, digest[:], crypto.SHA256)
	}
	if err != nil {
		return "", fmt.Errorf("%w for merchant %s: %w", ErrSigning, s.credential.ID, err)
	}
	return base64.StdEncoding.EncodeToString(signature), nil
}

// newNonce has 26 characters of A-Z2-7 with at least 128 random bits.
func newNonce() string { return rand.Text() }

// checkID keeps the header's quotes closed and its fields apart.
func checkID(s string) error {
	if s == "" || len(s) > 32 {
		return errors.New("must have 1 to 32 digits")
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return errors.New("must have digits only")
		}
	}
	return nil
}

func isMethod(s string) bool {
	for i := range len(s) {
		if c := s[i] | 0x20; c < 'a' || c > 'z' {
			return false
		}
	}
	return s != ""
}

// isTarget accepts origin form in visible ASCII, which net/http writes as it is.
func isTarget(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return strings.HasPrefix(s, "/")
}
