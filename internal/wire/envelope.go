package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// ErrEnvelope: the body of a notify or of a list of certificates does not have
// its form.
var ErrEnvelope = errors.New("bad envelope")

// Envelope is the body of a notify before decryption.
type Envelope struct {
	ID           string   `json:"id"`
	CreateTime   string   `json:"create_time"`
	EventType    string   `json:"event_type"`
	ResourceType string   `json:"resource_type"`
	Summary      string   `json:"summary"`
	Resource     Resource `json:"resource"`
}

// ParseEnvelope reads the body of a notify. Unknown fields are left alone:
// event types are never whitelisted and new fields must not stop a payment.
func ParseEnvelope(body []byte) (Envelope, error) {
	var e Envelope
	if err := decodeOne(body, &e); err != nil {
		return Envelope{}, err
	}
	if e.ID == "" || e.EventType == "" || e.Resource.Ciphertext == "" {
		return Envelope{}, fmt.Errorf("%w: id, event_type or resource.ciphertext is missing", ErrEnvelope)
	}
	return e, nil
}

// SealedCertificate is one platform certificate as the certificates endpoint
// lists it. EffectiveTime and ExpireTime are RFC 3339 and are the API's own
// word: WeChat Pay shortens ExpireTime there before a change, while the end
// that stands inside the certificate stays.
type SealedCertificate struct {
	SerialNo           string   `json:"serial_no"`
	EffectiveTime      string   `json:"effective_time"`
	ExpireTime         string   `json:"expire_time"`
	EncryptCertificate Resource `json:"encrypt_certificate"`
}

// ParseCertificates reads the answer of GET /v3/certificates.
func ParseCertificates(body []byte) ([]SealedCertificate, error) {
	var list struct {
		Data []SealedCertificate `json:"data"`
	}
	if err := decodeOne(body, &list); err != nil {
		return nil, err
	}
	if len(list.Data) == 0 {
		return nil, fmt.Errorf("%w: no certificate in data", ErrEnvelope)
	}
	return list.Data, nil
}

// decodeOne reads exactly one JSON value. The decoder's own error is dropped
// but for its kind, since it can repeat the input.
func decodeOne(body []byte, to any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	if err := d.Decode(to); err != nil {
		return fmt.Errorf("%w: not the JSON object expected", ErrEnvelope)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: something follows the JSON object", ErrEnvelope)
	}
	return nil
}
