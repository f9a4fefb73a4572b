package proxy_test

import (
	"context"
	"crypto"
	"crypto/rsa"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/wxproxy/wxproxy/proxy"
	"github.com/wxproxy/wxproxy/signer"
)

// distantKey is a key that lives elsewhere, and tells how long it is waited for.
type distantKey struct {
	*rsa.PrivateKey
	until chan time.Time
}

func (k distantKey) SignContext(ctx context.Context, rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	until, _ := ctx.Deadline()
	k.until <- until
	return k.Sign(rand, digest, opts)
}

// The signature of an answer is a part of the time that WeChat Pay gives.
func TestAnswerIsSignedWithinItsTime(t *testing.T) {
	t.Parallel()
	a := newApp(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"code":"SUCCESS"}`)) })
	key := distantKey{keys().other, make(chan time.Time, 1)}
	s, err := signer.New(signer.Credential{ID: mchID, Serial: otherSerial, Key: key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	g := newGate(t, a, func(o *proxy.NotifyOptions) {
		o.Routes[0].Answer = proxy.AnswerSigned
		o.Merchants[0].PrivateKey = func() proxy.PrivateKey { return proxy.PrivateKey{Signer: s} }
	})
	if answer := g.post(notice{event: "NEW.QUESTION"}); answer.status != 200 || answer.header.Get("Authorization") == "" {
		t.Fatalf("got %d %q", answer.status, answer.body)
	}
	if until := <-key.until; until.IsZero() || time.Until(until) > 5*time.Second {
		t.Errorf("the key is waited for until %v", until)
	}
}
