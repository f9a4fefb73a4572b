// Package verifier answers one question: are these bytes from WeChat Pay?
//
// It checks the signature headers, the time and the signature over the raw
// bytes. It does not decide what happens to bytes that fail, nor which keys
// are trusted: those come from a Keys.
package verifier

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/wxproxy/wxproxy/internal/wire"
)

var (
	// ErrUnsigned: no signature headers at all.
	ErrUnsigned = wire.ErrUnsigned
	// ErrHeaders: signature headers incomplete, doubled or malformed.
	ErrHeaders = wire.ErrHeaders
	// ErrSignatureType: signed in a way that this build does not verify, as with
	// SM2. It is an ErrHeaders, too.
	ErrSignatureType = wire.ErrSignatureType
	// ErrStale: the timestamp is 300 seconds or more away from the clock.
	ErrStale = errors.New("timestamp out of the window")
	// ErrProbe: WeChat Pay's deliberately wrong signature. A refusal like any
	// other, with a name of its own so that it can be counted apart.
	ErrProbe = errors.New("signature probe")
	// ErrSignature: the signature does not fit the bytes.
	ErrSignature = errors.New("signature does not match")
	// ErrSerialUnknown: no trusted key has that serial number, and a fresh
	// list of certificates does not change it.
	ErrSerialUnknown = errors.New("serial number unknown")
	// ErrKeysUnavailable: no trusted key has that serial number now, and the
	// list of certificates could not be renewed to be sure.
	ErrKeysUnavailable = errors.New("platform keys could not be refreshed")
)

// Keys finds the trusted key for a serial number as it stands in
// Wechatpay-Serial. It may wait for a refresh, as long as ctx allows. Without
// a key the error is ErrSerialUnknown or ErrKeysUnavailable. It is called
// concurrently.
type Keys interface {
	Lookup(ctx context.Context, serial string) (*rsa.PublicKey, error)
}

// Stamp reads the signature headers of what is signed for ordinary merchants
// and checks the time, without the body and without a key: what fails here costs
// nothing more.
func Stamp(h http.Header, now time.Time) (wire.Stamp, error) {
	return StampFor(wire.SchemeRSA, h, now)
}

// StampFor is Stamp for the signers of another credential scheme, or of any
// when it is empty: then it remains to be asked whom the stamp fits.
func StampFor(scheme string, h http.Header, now time.Time) (wire.Stamp, error) {
	stamp, err := wire.ParseStamp(h)
	if err != nil {
		return wire.Stamp{}, err
	}
	if scheme != "" && !stamp.Fits(scheme) {
		return wire.Stamp{}, fmt.Errorf("%w: signed as %s, not as %s", ErrHeaders, stamp.Type, scheme)
	}
	if !stamp.Fresh(now.Unix()) {
		return stamp, fmt.Errorf("%w: it differs from this machine's clock by %d seconds; check that the clock is right",
			ErrStale, stamp.Skew(now.Unix()))
	}
	return stamp, nil
}

// Verify checks the stamp's signature over body with the key it names. A nil
// error means: WeChat Pay signed these bytes at that time.
func Verify(ctx context.Context, keys Keys, stamp wire.Stamp, body []byte) error {
	if stamp.Probe() {
		return ErrProbe // no key needs to be looked up: a probe may carry any serial number
	}
	key, err := keys.Lookup(ctx, stamp.Serial)
	if err != nil {
		return err
	}
	return Check(key, stamp, body)
}

// Check is Verify with the key at hand and without regard to time; a text that
// is not base64 is simply a wrong signature.
func Check(key *rsa.PublicKey, stamp wire.Stamp, body []byte) error {
	if stamp.Probe() {
		return ErrProbe
	}
	signature, err := base64.StdEncoding.Strict().DecodeString(stamp.Signature)
	if err != nil {
		return ErrSignature
	}
	digest := sha256.Sum256(wire.ResponseMessage(stamp.Timestamp, stamp.Nonce, body))
	if rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], signature) != nil {
		return ErrSignature
	}
	return nil
}
