package verifier_test

import (
	"context"
	"crypto/rsa"
	"errors"
	"testing"
	"time"

	"github.com/wxproxy/wxproxy/internal/wire"
	"github.com/wxproxy/wxproxy/verifier"
)

// TestVerifyLooksUpLate: what fails without a key must not cost a look-up,
// which can mean a refresh.
func TestVerifyLooksUpLate(t *testing.T) {
	t.Parallel()
	now := time.Unix(signedAt, 0)
	for name, tt := range map[string]struct {
		change  func(*message)
		lookups int32
	}{
		"genuine":          {func(*message) {}, 1},
		"serial unknown":   {func(m *message) { m.header.Set("Wechatpay-Serial", "AB") }, 1},
		"probe":            {func(m *message) { m.header.Set("Wechatpay-Signature", "WECHATPAY/SIGNTEST/A") }, 0},
		"stale":            {func(m *message) { m.header.Set("Wechatpay-Timestamp", "1554208760") }, 0},
		"serial no serial": {func(m *message) { m.header.Set("Wechatpay-Serial", "../../x") }, 0},
		"header missing":   {func(m *message) { m.header.Del("Wechatpay-Nonce") }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, k := newMessage(t, signedAt, body), newKeys(t)
			tt.change(m)
			_ = verify(t.Context(), k, m, now)
			if got := k.lookups.Load(); got != tt.lookups {
				t.Errorf("%d look-ups, want %d", got, tt.lookups)
			}
		})
	}
}

func TestVerifyHandsOnTheErrorOfKeys(t *testing.T) {
	t.Parallel()
	for _, want := range []error{verifier.ErrSerialUnknown, verifier.ErrKeysUnavailable, context.DeadlineExceeded} {
		k := &keys{err: want}
		if err := verify(t.Context(), k, newMessage(t, signedAt, body), time.Unix(signedAt, 0)); !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
}

// TestCheckRefusesProbe: also where the key is at hand already.
func TestCheckRefusesProbe(t *testing.T) {
	t.Parallel()
	stamp := wire.Stamp{Timestamp: "1554208460", Unix: signedAt, Nonce: nonce, Serial: serial, Signature: "WECHATPAY/SIGNTEST/AAAA"}
	if err := verifier.Check(&vectors.PrivateKey(t, keyFile).PublicKey, stamp, nil); !errors.Is(err, verifier.ErrProbe) {
		t.Errorf("got %v, want ErrProbe", err)
	}
}

// TestEmptyBody: a 204 is signed over an empty line.
func TestEmptyBody(t *testing.T) {
	t.Parallel()
	m := newMessage(t, signedAt, "")
	if err := verify(t.Context(), newKeys(t), m, time.Unix(signedAt, 0)); err != nil {
		t.Error(err)
	}
	m.body = "\n"
	if err := verify(t.Context(), newKeys(t), m, time.Unix(signedAt, 0)); !errors.Is(err, verifier.ErrSignature) {
		t.Errorf("got %v, want ErrSignature", err)
	}
}

var _ verifier.Keys = keysFunc(nil)

type keysFunc func(string) (*rsa.PublicKey, error)

func (f keysFunc) Lookup(_ context.Context, serial string) (*rsa.PublicKey, error) { return f(serial) }

// TestLookupSeesTheSerialAsItCame: spelling is the business of Keys.
func TestLookupSeesTheSerialAsItCame(t *testing.T) {
	t.Parallel()
	m := newMessage(t, signedAt, body)
	m.header.Set("Wechatpay-Serial", "00aB")
	k := keysFunc(func(serial string) (*rsa.PublicKey, error) {
		if serial != "00aB" {
			t.Errorf("got %q", serial)
		}
		return &vectors.PrivateKey(t, keyFile).PublicKey, nil
	})
	if err := verify(t.Context(), k, m, time.Unix(signedAt, 0)); err != nil {
		t.Error(err)
	}
}
