package sim

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
	"time"

	"github.com/wxproxy/wxproxy/internal/wire"
)

// sign makes the signature headers of an answer or a notify, true or as the
// fault wants them, and returns the body that goes with them.
func (s *Sim) sign(k *PlatformKey, body []byte, f *Fault) (http.Header, []byte) {
	var kind string
	now := s.now()
	if f != nil {
		kind = f.Kind
	}
	if kind == FaultUnsigned {
		return http.Header{}, body
	}
	if kind == FaultSkew {
		now = now.Add(time.Duration(f.Skew))
	}
	timestamp, nonce, serial := wire.FormatTimestamp(now.Unix()), randomHex(32), k.ID
	digest := sha256.Sum256(wire.ResponseMessage(timestamp, nonce, body))
	// Signing with a valid key of 2048 bits cannot fail; if it did, the empty
	// signature would be refused, which is safe.
	signature, _ := rsa.SignPKCS1v15(rand.Reader, k.PrivateKey, crypto.SHA256, digest[:])
	text := base64.StdEncoding.EncodeToString(signature)
	switch kind {
	case FaultProbe:
		fake := make([]byte, len(signature))
		_, _ = rand.Read(fake)
		text = wire.ProbePrefix + base64.StdEncoding.EncodeToString(fake)
	case FaultWrongSerial:
		serial = strings.ToUpper(randomHex(40))
	case FaultFlipSignature:
		signature[len(signature)/2] ^= 1
		text = base64.StdEncoding.EncodeToString(signature)
	case FaultFlipBody:
		body = flip(body)
	}
	return http.Header{
		wire.HeaderTimestamp:     {timestamp},
		wire.HeaderNonce:         {nonce},
		wire.HeaderSerial:        {serial},
		wire.HeaderSignature:     {text},
		wire.HeaderSignatureType: {wire.SchemeRSA},
	}, body
}

// flip changes one bit of one byte so that JSON stays JSON: only a verifier
// notices, not a parser.
func flip(body []byte) []byte {
	changed := bytes.Clone(body)
	for i := len(changed) - 1; i >= 0; i-- {
		if changed[i] >= '0' && changed[i] <= '9' {
			changed[i] ^= 1
			return changed
		}
	}
	return append(changed, ' ')
}
