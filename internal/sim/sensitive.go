package sim

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // WeChat Pay encrypts fields with OAEP and SHA-1
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"
)

// openFields decrypts the sensitive fields of a request in place, so that the
// endpoint sees and compares what the caller meant: two ciphertexts of one name
// are the same parameter. Plaintext is refused, as WeChat Pay refuses it.
func (s *Sim) openFields(c *call, paths []string) *apiError {
	if len(paths) == 0 || len(c.body) == 0 {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(c.body))
	d.UseNumber()
	var body any
	if d.Decode(&body) != nil {
		return bodyError("/", "not a JSON object")
	}
	for _, path := range paths {
		steps := strings.Split(strings.ReplaceAll(path, "[]", ".[]"), ".")
		opened, err := s.openAt(c, body, steps, "")
		if err != nil {
			return err
		}
		body = opened
	}
	c.body, _ = json.Marshal(body) // what was just read can be written
	return nil
}

// openAt returns v with what stands at the end of the steps decrypted.
func (s *Sim) openAt(c *call, v any, steps []string, pointer string) (any, *apiError) {
	if len(steps) == 0 {
		text, ok := v.(string)
		switch {
		case !ok:
			return nil, bodyError(pointer, "must be a text")
		case text == "":
			return v, nil
		}
		return s.decryptField(c, pointer, text)
	}
	switch v := v.(type) {
	case map[string]any:
		if member, ok := v[steps[0]]; ok {
			opened, err := s.openAt(c, member, steps[1:], pointer+"/"+steps[0])
			if err != nil {
				return nil, err
			}
			v[steps[0]] = opened
		}
	case []any:
		for i := range v {
			if steps[0] != "[]" {
				break
			}
			opened, err := s.openAt(c, v[i], steps[1:], pointer+"/"+strconv.Itoa(i))
			if err != nil {
				return nil, err
			}
			v[i] = opened
		}
	}
	return v, nil
}

// decryptField opens a sensitive field that the caller encrypted with the key
// it named in Wechatpay-Serial.
func (s *Sim) decryptField(c *call, field, value string) (string, *apiError) {
	if c.serial == "" {
		return "", headerError("PARAM_ERROR", messageNoSerial, field+" is encrypted, but no Wechatpay-Serial says for which key")
	}
	key := s.platform.find(c.serial)
	sealed, err := base64.StdEncoding.DecodeString(value)
	if key == nil || err != nil {
		return "", bodyError(field, "must be base64 of a value encrypted for the key in Wechatpay-Serial")
	}
	plain, err := rsa.DecryptOAEP(sha1.New(), nil, key.PrivateKey, sealed, nil)
	if err != nil {
		return "", bodyError(field, "was not encrypted for the key in Wechatpay-Serial with OAEP and SHA-1")
	}
	return string(plain), nil
}

// encryptField seals a sensitive field for the merchant's certificate.
func encryptField(m *Merchant, plain string) (string, error) {
	return seal(m.publicKey(), plain)
}

// answerField seals a sensitive field of an answer, for another key than the
// merchant's if a fault says so.
func (s *Sim) answerField(c *call, plain string) (string, error) {
	if plain == "" {
		return "", nil
	}
	if s.faults.take(OnAnswer, c.method+" "+c.target, []string{FaultBadField}) != nil {
		return seal(&s.platform.public.PrivateKey.PublicKey, plain)
	}
	return encryptField(c.merchant, plain)
}

func seal(key *rsa.PublicKey, plain string) (string, error) {
	sealed, err := rsa.EncryptOAEP(sha1.New(), rand.Reader, key, []byte(plain), nil)
	return base64.StdEncoding.EncodeToString(sealed), err
}
