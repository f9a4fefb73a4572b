package merchant_test

import (
	"bytes"
	"context"
	"crypto"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxproxy/wxproxy/internal/merchant"
	"github.com/wxproxy/wxproxy/internal/secret"
	"github.com/wxproxy/wxproxy/internal/wire"
)

// opens checks with which keys of the pool m decrypts, and in which order.
func opens(t *testing.T, m *merchant.Material, want ...int) bool {
	t.Helper()
	ok := len(m.Decrypters) == len(want)
	for place, i := range want {
		sealed, err := wire.SealField(&key(t, i).PublicKey, "13800138000")
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			break
		}
		plain, err := wire.OpenField(m.Decrypters[place], sealed)
		ok = err == nil && plain == "13800138000"
	}
	if !ok {
		t.Errorf("%d keys decrypt, or in another order: want keys %v", len(m.Decrypters), want)
	}
	return ok
}

// A key that was replaced decrypts for two days more, longer than WeChat Pay
// repeats a notify, and is then forgotten without a reload.
func TestFormerKeys(t *testing.T) {
	t.Parallel()
	key(t, 0) // made outside of the bubble
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		spec, v := full(t)
		spec.PreviousKey, spec.SerialNo = secret.Ref{}, ""
		m, err := merchant.New(spec, v, nil, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		change := func(i int, want ...int) {
			t.Helper()
			v["KEY"], v["CERT"] = pkcs8(t, i), certificate(t, i, mchid, epoch.Add(-year), epoch.Add(year))
			if err := m.Reload(t.Context()); err != nil {
				t.Fatal(err)
			}
			opens(t, m.Current(), want...)
		}
		after := func(d time.Duration, want ...int) {
			t.Helper()
			time.Sleep(d)
			synctest.Wait()
			opens(t, m.Current(), want...)
		}
		change(0, 0)
		change(1, 1, 0)
		change(1, 1, 0) // touched, not changed
		before := m.Current()
		after(24*time.Hour+4*time.Minute, 1, 0)
		v["KEY"] = pkcs8(t, 0) // half a change, refused
		if err := m.Reload(t.Context()); err == nil {
			t.Error("half a pair was taken")
		}
		after(23*time.Hour+55*time.Minute, 1, 0)
		after(time.Minute, 1)
		if got := m.Current(); got.Signer != before.Signer || got.LoadedAt != before.LoadedAt {
			t.Errorf("forgetting a key changed more: %+v, then %+v", before, got)
		}
		opens(t, before, 1, 0) // what calls hold stays as it was

		change(0, 0, 1)
		after(time.Hour, 0, 1)
		change(1, 1, 0) // and back
		change(5, 5, 1, 0)
		change(4, 4, 5, 1) // two at most
		after(47*time.Hour+59*time.Minute, 4, 5, 1)
		after(time.Minute, 4)
		for _, line := range []string{"goes on decrypting, not signing", "serial=" + serial0, "until="} {
			if !strings.Contains(log.String(), line) {
				t.Errorf("the log lacks %q: %s", line, log.String())
			}
		}
		checkLeaks(t, log.String())
	})
}

// The key that a reference names decrypts for as long as it does, once.
func TestFormerKeyBesidePrevious(t *testing.T) {
	t.Parallel()
	spec, v := full(t)
	spec.SerialNo = ""
	m := load(t, spec, v)
	for _, step := range []struct {
		key, previous int
		want          []int
	}{
		{0, 1, []int{0, 1}},
		{5, 0, []int{5, 0}}, // the former and the previous are one
		{4, 1, []int{4, 1, 5, 0}},
	} {
		v["KEY"], v["CERT"], v["OLDKEY"] = pkcs8(t, step.key), certificate(t, step.key, mchid, epoch.Add(-year), epoch.Add(year)), pkcs8(t, step.previous)
		if err := m.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		opens(t, m.Current(), step.want...)
	}
}

// transit signs and does not decrypt, as Vault's engine.
type transit struct{ vault }

type signsAlone struct{ crypto.Signer }

func (v transit) Key(ctx context.Context, r secret.Ref, like crypto.PublicKey) (crypto.Signer, error) {
	key, err := v.vault.Key(ctx, r, like)
	return signsAlone{key}, err
}

func TestFormerKeysOfTransit(t *testing.T) {
	t.Parallel()
	spec, v := full(t)
	spec.PrivateKey.Scheme, spec.SerialNo, spec.PreviousKey = secret.SchemeTransit, "", secret.Ref{}
	m, err := merchant.New(spec, transit{v}, now, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		v["KEY"], v["CERT"] = pkcs8(t, i), certificate(t, i, mchid, epoch.Add(-year), epoch.Add(year))
		if err := m.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		opens(t, m.Current())
	}
}
