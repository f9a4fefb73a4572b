package merchant_test

import (
	"context"
	"crypto"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/wxproxy/wxproxy/internal/merchant"
	"github.com/wxproxy/wxproxy/internal/secret"
)

var errNoPolicy = errors.New(`the policy needs: path "transit/sign/shop/sha2-256"`)

// distant is a reader whose keys are elsewhere, where they may fail.
type distant struct {
	vault
	failing *error
}

func (d distant) Key(ctx context.Context, r secret.Ref, like crypto.PublicKey) (crypto.Signer, error) {
	key, err := d.vault.Key(ctx, r, like)
	return distantKey{key, d.failing}, err
}

type distantKey struct {
	crypto.Signer
	failing *error
}

func (k distantKey) Failing() (time.Time, error) { return epoch, *k.failing }

func (k distantKey) Try(context.Context) error {
	*k.failing = nil
	return nil
}

// A key that does not sign is no key to start with, and is named. Once it is in
// use, what else is new is taken over all the same; another key is not.
func TestKeyThatDoesNotSign(t *testing.T) {
	t.Parallel()
	spec, v := full(t)
	spec.PrivateKey = secret.Ref{Scheme: secret.SchemeTransit, Mount: "transit", Target: "KEY"}
	spec.SerialNo = ""
	failing := errNoPolicy
	d := distant{v, &failing}
	m, err := merchant.New(spec, d, now, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Reload(t.Context()); !errors.Is(err, merchant.ErrMaterial) || !strings.Contains(err.Error(), "merchant shop: private_key: it does not sign: "+errNoPolicy.Error()) {
		t.Errorf("got %v", err)
	}
	failing = nil
	if err := m.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	failing = errNoPolicy
	v["APIV3"] = []byte(strings.Repeat("k", 32))
	if err := m.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := m.Current()
	if _, err := got.Failing(); !errors.Is(err, errNoPolicy) || string(got.APIv3Keys[0].Bytes()) != strings.Repeat("k", 32) || len(got.Warnings) != 1 {
		t.Errorf("got %v, warnings %v", err, got.Warnings)
	}
	v["KEY"], v["CERT"] = pkcs8(t, 1), certificate(t, 1, mchid, epoch.Add(-year), epoch.Add(year))
	if err := m.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "does not sign") || m.Current() != got {
		t.Errorf("another key that does not sign was taken over: %v", err)
	}
	got.Try(t.Context())
	if _, err := got.Failing(); err != nil {
		t.Errorf("after it signed again: %v", err)
	}
}
