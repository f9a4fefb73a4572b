package proxy

import (
	"context"
	"errors"
	"fmt"

	"github.com/wxproxy/wxproxy/internal/wire"
)

// valuesForm is a list of texts to encrypt or decrypt.
var valuesForm = []param{{name: "values", texts: true, most: 64}}

// sealed is the answer of encrypt: Serial goes into the header
// Wechatpay-Serial of the request that holds the ciphertexts.
type sealed struct {
	Values []string `json:"values"`
	Serial string   `json:"serial"`
}

// encryptValues encrypts sensitive texts for WeChat Pay, all with one key.
func (*Outbound) encryptValues(_ context.Context, c *localCall) (any, *failure) {
	serial, key, ok := c.merchant.Preferred()
	if !ok {
		return nil, fail(ReasonKeyUnavailable, "no key of WeChat Pay is known for merchant %s yet; see /readyz on the admin port", c.merchant.Name)
	}
	answer := sealed{Serial: serial}
	for i, item := range c.form.items {
		text, err := wire.SealField(key, item[""])
		switch {
		case errors.Is(err, wire.ErrFieldTooLong):
			return nil, badParameter(fmt.Sprintf("/values/%d", i), "is "+err.Error())
		case err != nil:
			return nil, fail(ReasonInternal, "a value could not be encrypted").because(err)
		}
		answer.Values = append(answer.Values, text)
	}
	return answer, nil
}

// openedValues is the answer of decrypt.
type openedValues struct {
	Values []string `json:"values"`
}

// decryptValues decrypts what WeChat Pay encrypted for the merchant. Whatever is
// wrong with a value, it is told in the same words, to the log too.
func (*Outbound) decryptValues(_ context.Context, c *localCall) (any, *failure) {
	keys := c.merchant.PrivateKey().Decrypters
	if len(keys) == 0 {
		return nil, fail(ReasonKeyUnavailable, "the private key of merchant %s cannot decrypt: Vault's Transit has no OAEP with SHA-1, and before the first load there is none; "+
			"for decrypting, private_key must be a file:, env: or vault: reference", c.merchant.Name)
	}
	var answer openedValues
	for i, item := range c.form.items {
		text, err := openField(keys, item[""])
		if err != nil {
			f := fail(ReasonDecryptFailed, "/values/%d does not open with the key of merchant %s", i, c.merchant.Name)
			return nil, f.with("field", fmt.Sprintf("/values/%d", i))
		}
		answer.Values = append(answer.Values, text)
	}
	return answer, nil
}
