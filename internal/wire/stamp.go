package wire

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

var (
	// ErrUnsigned: none of the signature headers is there.
	ErrUnsigned = errors.New("no signature headers")
	// ErrHeaders: a signature header is missing, doubled, empty or malformed.
	ErrHeaders = errors.New("bad signature headers")
	// ErrSignatureType: signed in a way that this build does not verify, as
	// with SM2. It is an ErrHeaders, too, and says nothing about whose the bytes are.
	ErrSignatureType = errors.New("signature type not supported")
)

const (
	maxNonce     = 128
	maxSignature = 2048
)

// Stamp is the signature that came with an answer or a notify, not verified.
type Stamp struct {
	Timestamp string // as it came: it is part of the signed message
	Unix      int64  // the same, in seconds
	Nonce     string
	Serial    string // of the signing key, checked for syntax only
	Signature string // as it came; base64 unless it is a probe
	Type      string // the scheme that Wechatpay-Signature-Type names; empty: the header is not there
}

// Fits reports whether the stamp is one for a signer of the scheme. Older
// answers do not say; the key decides in any case.
func (s Stamp) Fits(scheme string) bool { return s.Type == "" || s.Type == scheme }

// Probe reports whether the signature is one of WeChat Pay's deliberate fakes.
func (s Stamp) Probe() bool { return strings.HasPrefix(s.Signature, ProbePrefix) }

// ParseStamp reads the signature headers. Each must be there exactly once and
// have its form: two values could be read differently by two readers. With
// none of them there it is ErrUnsigned, otherwise ErrHeaders naming the header.
func ParseStamp(h http.Header) (Stamp, error) {
	var s Stamp
	fields := []struct {
		name string
		to   *string
		ok   func(string) bool
	}{
		{HeaderTimestamp, &s.Timestamp, isTimestamp},
		{HeaderNonce, &s.Nonce, func(v string) bool { return len(v) <= maxNonce && isVisible(v) }},
		{HeaderSignature, &s.Signature, func(v string) bool { return len(v) <= maxSignature && isVisible(v) }},
		{HeaderSerial, &s.Serial, func(v string) bool { return CheckSerial(v) == nil }},
	}
	absent := 0
	for _, f := range fields {
		if len(h[f.name]) == 0 {
			absent++
		}
	}
	if absent == len(fields) {
		return Stamp{}, ErrUnsigned
	}
	for _, f := range fields {
		v := h[f.name]
		switch {
		case len(v) == 0:
			return Stamp{}, fmt.Errorf("%w: %s is missing", ErrHeaders, f.name)
		case len(v) > 1:
			return Stamp{}, fmt.Errorf("%w: %s stands %d times", ErrHeaders, f.name, len(v))
		case !f.ok(v[0]):
			return Stamp{}, fmt.Errorf("%w: %s is empty or malformed", ErrHeaders, f.name)
		}
		*f.to = v[0]
	}
	var err error
	if s.Type, err = signatureType(h[HeaderSignatureType]); err != nil {
		return Stamp{}, err
	}
	if s.Unix, err = strconv.ParseInt(s.Timestamp, 10, 64); err != nil {
		return Stamp{}, fmt.Errorf("%w: %s is not a number", ErrHeaders, HeaderTimestamp)
	}
	return s, nil
}

func signatureType(values []string) (string, error) {
	switch {
	case len(values) == 0:
		return "", nil
	case len(values) > 1 || !isVisible(values[0]):
		return "", fmt.Errorf("%w: %s is empty, malformed or stands twice", ErrHeaders, HeaderSignatureType)
	case !KnownScheme(values[0]):
		return "", fmt.Errorf("%w: %w: %.64s (this build verifies %s and %s)", ErrHeaders, ErrSignatureType, values[0], SchemeRSA, SchemeBrand)
	}
	return values[0], nil
}

// Skew is how many seconds the stamp is ahead of now (Unix seconds).
func (s Stamp) Skew(now int64) int64 { return s.Unix - now }

// Fresh reports whether the stamp lies within the window around now.
func (s Stamp) Fresh(now int64) bool {
	skew := s.Skew(now)
	return skew > -WindowSeconds && skew < WindowSeconds
}

// isTimestamp accepts plain decimal digits without leading zeros, since a
// reader that signs the number and one that signs the text would differ over
// them; twelve reach beyond year 30000, so that differences cannot overflow.
func isTimestamp(v string) bool {
	if len(v) == 0 || len(v) > 12 || v[0] == '0' {
		return false
	}
	for i := range len(v) {
		if v[i] < '0' || v[i] > '9' {
			return false
		}
	}
	return true
}

// isVisible accepts printable ASCII without space.
func isVisible(v string) bool {
	for i := range len(v) {
		if v[i] <= ' ' || v[i] >= 0x7f {
			return false
		}
	}
	return v != ""
}
