package wire_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/wechatpay-apiv3/wechatpay-go/utils"

	"github.com/wxproxy/wxproxy/internal/wire"
)

const (
	base64Digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

	apiv3Key  = "0123456789abcdef0123456789abcdef"
	plaintext = `{"out_trade_no":"121775250120140703323336801"}`
)

func sealed(t testing.TB) wire.Resource {
	t.Helper()
	r := wire.Resource{Algorithm: wire.AlgorithmAESGCM, AssociatedData: "transaction", Nonce: "fdasfjihihih"}
	var err error
	if r.Ciphertext, err = wire.Seal([]byte(apiv3Key), r.Nonce, r.AssociatedData, []byte(plaintext)); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestOpen(t *testing.T) {
	t.Parallel()
	r := sealed(t)
	if plain, err := r.Open([]byte(apiv3Key)); err != nil || string(plain) != plaintext {
		t.Errorf("got %q, %v", plain, err)
	}
	if plain, err := utils.DecryptAES256GCM(apiv3Key, r.AssociatedData, r.Nonce, r.Ciphertext); err != nil || plain != plaintext {
		t.Errorf("the official SDK got %q, %v", plain, err)
	}
}

// TestOpenRefuses flips one thing a row. The official SDK refuses the same,
// but for those marked: it panics on nonces that have not 12 bytes, decrypts
// without a look at the algorithm, and lets stray bits pass at the end.
func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	flip := func(s string, i int) string { return s[:i] + string(s[i]^1) + s[i+1:] }
	flip64 := func(s string, i int) string { // the lowest bit of a base64 character
		return s[:i] + string(base64Digits[strings.IndexByte(base64Digits, s[i])^1]) + s[i+1:]
	}
	for name, tt := range map[string]struct {
		change func(r *wire.Resource, key *string)
		want   error
		sdk    string // "": refuses too
	}{
		"wrong key":               {func(_ *wire.Resource, key *string) { *key = flip(*key, 0) }, wire.ErrDecrypt, ""},
		"key too short":           {func(_ *wire.Resource, key *string) { *key = (*key)[1:] }, wire.ErrResource, ""},
		"key too long":            {func(_ *wire.Resource, key *string) { *key += "\n" }, wire.ErrResource, ""},
		"key empty":               {func(_ *wire.Resource, key *string) { *key = "" }, wire.ErrResource, ""},
		"ciphertext":              {func(r *wire.Resource, _ *string) { r.Ciphertext = flip64(r.Ciphertext, 0) }, wire.ErrDecrypt, ""},
		"tag":                     {func(r *wire.Resource, _ *string) { r.Ciphertext = flip64(r.Ciphertext, len(r.Ciphertext)-5) }, wire.ErrDecrypt, ""},
		"ciphertext cut":          {func(r *wire.Resource, _ *string) { r.Ciphertext = r.Ciphertext[4:] }, wire.ErrDecrypt, ""},
		"ciphertext empty":        {func(r *wire.Resource, _ *string) { r.Ciphertext = "" }, wire.ErrDecrypt, ""},
		"shorter than a tag":      {func(r *wire.Resource, _ *string) { r.Ciphertext = "AAAA" }, wire.ErrDecrypt, ""},
		"not base64":              {func(r *wire.Resource, _ *string) { r.Ciphertext = "*" + r.Ciphertext[1:] }, wire.ErrResource, ""},
		"base64 of URLs":          {func(r *wire.Resource, _ *string) { r.Ciphertext = "-_" + r.Ciphertext[2:] }, wire.ErrResource, ""},
		"base64 without padding":  {func(r *wire.Resource, _ *string) { r.Ciphertext = strings.TrimRight(r.Ciphertext, "=") }, wire.ErrResource, ""},
		"base64 with stray bits":  {func(r *wire.Resource, _ *string) { r.Ciphertext = flip64(r.Ciphertext, len(r.Ciphertext)-2) }, wire.ErrResource, "opens"},
		"associated data":         {func(r *wire.Resource, _ *string) { r.AssociatedData = flip(r.AssociatedData, 0) }, wire.ErrDecrypt, ""},
		"associated data missing": {func(r *wire.Resource, _ *string) { r.AssociatedData = "" }, wire.ErrDecrypt, ""},
		"nonce":                   {func(r *wire.Resource, _ *string) { r.Nonce = flip(r.Nonce, 0) }, wire.ErrDecrypt, ""},
		"nonce empty":             {func(r *wire.Resource, _ *string) { r.Nonce = "" }, wire.ErrResource, "panics"},
		"nonce of 11":             {func(r *wire.Resource, _ *string) { r.Nonce = r.Nonce[1:] }, wire.ErrResource, "panics"},
		"nonce of 13":             {func(r *wire.Resource, _ *string) { r.Nonce += "h" }, wire.ErrDecrypt, "panics"},
		"nonce of 17":             {func(r *wire.Resource, _ *string) { r.Nonce += "hhhhh" }, wire.ErrResource, "panics"},
		"algorithm missing":       {func(r *wire.Resource, _ *string) { r.Algorithm = "" }, wire.ErrResource, "opens"},
		"algorithm of SM":         {func(r *wire.Resource, _ *string) { r.Algorithm = "AEAD_SM4_GCM" }, wire.ErrResource, "opens"},
		"algorithm in lower case": {func(r *wire.Resource, _ *string) { r.Algorithm = "aead_aes_256_gcm" }, wire.ErrResource, "opens"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, key := sealed(t), apiv3Key
			tt.change(&r, &key)
			plain, err := r.Open([]byte(key))
			if !errors.Is(err, tt.want) || plain != nil {
				t.Errorf("got %q, %v, want %v", plain, err, tt.want)
			}
			if err != nil && (strings.Contains(err.Error(), apiv3Key[:8])) {
				t.Errorf("the error repeats the input: %v", err)
			}
			if got := sdkOpen(r, key); got != tt.sdk {
				t.Errorf("the official SDK %q, want %q", got, tt.sdk)
			}
		})
	}
}

func sdkOpen(r wire.Resource, key string) (outcome string) {
	defer func() {
		if recover() != nil {
			outcome = "panics"
		}
	}()
	if _, err := utils.DecryptAES256GCM(key, r.AssociatedData, r.Nonce, r.Ciphertext); err != nil {
		return ""
	}
	return "opens"
}

func TestSealRefuses(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ key, nonce string }{
		"key too short":   {"short", "fdasfjihihih"},
		"nonce too short": {apiv3Key, "fdasfjihihi"},
		"nonce too long":  {apiv3Key, "0123456789abcdef0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got, err := wire.Seal([]byte(tt.key), tt.nonce, "", nil); !errors.Is(err, wire.ErrResource) || got != "" {
				t.Errorf("got %q, %v, want ErrResource", got, err)
			}
		})
	}
}
