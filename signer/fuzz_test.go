package signer_test

import (
	"crypto/x509"
	"errors"
	"testing"

	"github.com/wechatpay-apiv3/wechatpay-go/utils"

	"github.com/wxproxy/wxproxy/signer"
)

// FuzzParsePrivateKey: what is accepted is a whole key; every refusal has its
// kind and a message of ours. What the official SDK loads we load too.
func FuzzParsePrivateKey(f *testing.F) {
	text, key := vectors.File(f, keyFile), vectors.PrivateKey(f, keyFile)
	f.Add(text)
	f.Add(block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key)))
	f.Add(block("PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key)))
	f.Add(vectors.File(f, "go_notify_cert.pem"))
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n"))
	f.Add([]byte("-----BEGIN RSA PRIVATE KEY-----\nDEK-Info: x\n\nAAAA\n-----END RSA PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		key, err := signer.ParsePrivateKey(text)
		theirs, theirErr := utils.LoadPrivateKey(string(text))
		if err != nil {
			if key != nil || !errors.Is(err, signer.ErrPrivateKey) || len(err.Error()) > 200 || theirErr == nil {
				t.Fatalf("got %v; the SDK %v", err, theirErr)
			}
			return
		}
		if err := key.Validate(); err != nil {
			t.Fatal(err)
		}
		if theirErr == nil && !key.Equal(theirs) {
			t.Fatal("the SDK reads another key")
		}
	})
}
