package wire

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"errors"
	"fmt"
)

// AlgorithmAESGCM is the only cipher this build opens.
const AlgorithmAESGCM = "AEAD_AES_256_GCM"

// APIv3KeyLen is the length of an APIv3 key in bytes; its text is the key.
const APIv3KeyLen = 32

var (
	// ErrResource: an encrypted resource is malformed.
	ErrResource = errors.New("bad encrypted resource")
	// ErrAlgorithm: a resource is encrypted with a cipher that this build does
	// not have, as AEAD_SM4_GCM. It is an ErrResource, too.
	ErrAlgorithm = errors.New("cipher not supported")
	// ErrDecrypt: a resource does not open with the key: wrong key or changed
	// bytes, which cannot be told apart.
	ErrDecrypt = errors.New("decryption failed")
)

// Resource is an encrypted object in a notify or in the list of certificates.
type Resource struct {
	OriginalType   string `json:"original_type,omitempty"`
	Algorithm      string `json:"algorithm"`
	Ciphertext     string `json:"ciphertext"` // base64 of ciphertext and 16-byte tag
	AssociatedData string `json:"associated_data,omitempty"`
	Nonce          string `json:"nonce"`
}

// Open decrypts the resource with an APIv3 key.
func (r Resource) Open(key []byte) ([]byte, error) {
	s, err := r.Sealed()
	if err != nil {
		return nil, err
	}
	return s.Open(key)
}

// Sealed is a Resource made ready for trying many keys.
type Sealed struct{ nonce, associated, text []byte }

// Sealed decodes the resource.
func (r Resource) Sealed() (Sealed, error) {
	if r.Algorithm != AlgorithmAESGCM {
		return Sealed{}, fmt.Errorf("%w: %w: %.64q (this build opens %s)", ErrResource, ErrAlgorithm, r.Algorithm, AlgorithmAESGCM)
	}
	text, err := base64.StdEncoding.Strict().DecodeString(r.Ciphertext)
	if err != nil {
		return Sealed{}, fmt.Errorf("%w: ciphertext is not base64", ErrResource)
	}
	return Sealed{[]byte(r.Nonce), []byte(r.AssociatedData), text}, nil
}

// Open decrypts with an APIv3 key.
func (s Sealed) Open(key []byte) ([]byte, error) {
	gcm, err := newGCM(key, len(s.nonce))
	if err != nil {
		return nil, err
	}
	plain, err := gcm.Open(nil, s.nonce, s.text, s.associated)
	if err != nil {
		return nil, ErrDecrypt
	}
	return plain, nil
}

// Seal encrypts plain the way WeChat Pay does; simulators and tests need it.
func Seal(key []byte, nonce, associatedData string, plain []byte) (string, error) {
	gcm, err := newGCM(key, len(nonce))
	if err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(gcm.Seal(nil, []byte(nonce), plain, []byte(associatedData))), nil
}

// newGCM takes nonces of 12 to 16 bytes: WeChat Pay sends 12, its documents
// allow 16, and published vectors of other clients use 16.
func newGCM(key []byte, nonceLen int) (cipher.AEAD, error) {
	if nonceLen < 12 || nonceLen > 16 {
		return nil, fmt.Errorf("%w: nonce has %d bytes, not 12 to 16", ErrResource, nonceLen)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("%w: key has %d bytes, not %d", ErrResource, len(key), APIv3KeyLen)
	}
	return cipher.NewGCMWithNonceSize(block, nonceLen)
}
