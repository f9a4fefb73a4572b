package wire

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // WeChat Pay's OAEP is the one with SHA-1, which nothing is known against
	"encoding/base64"
	"errors"
	"fmt"
)

var (
	// ErrFieldTooLong: a text is longer than one RSA block holds.
	ErrFieldTooLong = errors.New("too long for one RSA block")
	// ErrField: a sensitive field does not open. It is one error whatever was
	// wrong: telling base64 from padding from key would be an oracle.
	ErrField = errors.New("does not open with this key")
)

// SealField encrypts one sensitive field for the owner of key: RSAES-OAEP with
// SHA-1 and MGF1-SHA1, empty label, standard base64. An empty text stays empty,
// as in the official SDKs. The error is ErrFieldTooLong (more than 214 bytes
// with a key of 2048 bits).
func SealField(key *rsa.PublicKey, text string) (string, error) {
	if text == "" {
		return "", nil
	}
	if most := key.Size() - 2*sha1.Size - 2; len(text) > most {
		return "", fmt.Errorf("%w: %d bytes, at most %d", ErrFieldTooLong, len(text), most)
	}
	sealed, err := rsa.EncryptOAEP(sha1.New(), rand.Reader, key, []byte(text), nil) //nolint:gosec // see the import
	if err != nil {
		return "", fmt.Errorf("encrypting a field: %w", err)
	}
	return base64.StdEncoding.EncodeToString(sealed), nil
}

// OpenField decrypts what SealField, or WeChat Pay, encrypted. The error is
// ErrField and nothing else.
func OpenField(key crypto.Decrypter, sealed string) (string, error) {
	if sealed == "" {
		return "", nil
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(sealed)
	if err != nil {
		return "", ErrField
	}
	plain, err := key.Decrypt(rand.Reader, raw, &rsa.OAEPOptions{Hash: crypto.SHA1})
	if err != nil {
		return "", ErrField
	}
	return string(plain), nil
}

// MaxField is the longest text that a key of 2048 bits encrypts, in bytes.
const MaxField = 214

// IsSealedField reports whether a text has the form of a field that an RSA key
// of size bytes encrypted: the canonical base64 of as many bytes. No text that
// is short enough to be encrypted has it.
func IsSealedField(text string, size int) bool {
	if len(text) != base64.StdEncoding.EncodedLen(size) {
		return false
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(text)
	return err == nil && len(raw) == size // line feeds inside would make it shorter
}
