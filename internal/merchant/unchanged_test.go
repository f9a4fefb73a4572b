package merchant_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/wxproxy/wxproxy/internal/merchant"
	"github.com/wxproxy/wxproxy/internal/secret"
)

func TestReloadUnchanged(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	spec, v := full(t)
	at := epoch
	m, err := merchant.New(spec, v, func() time.Time { return at }, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	lines := func(want int) {
		t.Helper()
		if err := m.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(log.String(), "\n"); got != want {
			t.Errorf("got %d log lines, want %d: %s", got, want, log.String())
		}
	}
	lines(1)
	at = epoch.Add(time.Hour)
	lines(1)
	if got := m.Current().LoadedAt; !got.Equal(epoch) {
		t.Errorf("touched files: loaded at %v", got)
	}
	at = epoch.Add(350 * 24 * time.Hour) // the certificate expires soon: said once
	lines(2)
	lines(2)
	v["APIV3"] = []byte(strings.Repeat("k", 32))
	lines(3)
	if got := m.Current(); !got.LoadedAt.Equal(at) || string(got.APIv3Keys[0].Bytes()) != strings.Repeat("k", 32) {
		t.Errorf("a changed key: got %+v", got)
	}
	delete(v, "KEY")
	if err := m.Reload(t.Context()); err == nil || m.Current() == nil {
		t.Errorf("got %v", err)
	}
	checkLeaks(t, log.String())
}

// TestReloadRenewedCertificate: the same key under a new serial number is a
// change.
func TestReloadRenewedCertificate(t *testing.T) {
	t.Parallel()
	spec, v := full(t)
	spec.SerialNo = ""
	at := epoch
	m, err := merchant.New(spec, v, func() time.Time { return at }, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	at = epoch.Add(time.Hour)
	v["CERT"] = renewed(t, 1, 0, mchid, epoch, epoch.Add(2*year))
	if err := m.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := m.Current(); got.Signer.Serial() != serial1 || !got.LoadedAt.Equal(at) {
		t.Errorf("got %+v", got)
	}
}

// TestReloadOtherMerchant: where mchid comes from the certificate, a reload
// must not turn one merchant into another.
func TestReloadOtherMerchant(t *testing.T) {
	t.Parallel()
	spec, v := full(t)
	spec.MchID = ""
	m := load(t, spec, v)
	if err := m.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	v["CERT"] = certificate(t, 0, "1900000009", epoch.Add(-year), epoch.Add(year))
	err := m.Reload(t.Context())
	if !errors.Is(err, merchant.ErrMaterial) || !strings.Contains(err.Error(), "1900000009") || m.Err() != err {
		t.Errorf("got %v", err)
	}
	if got := m.Current().MchID; got != mchid {
		t.Errorf("got merchant %s", got)
	}
}

// hoarder keeps what it gave away.
type hoarder struct {
	vault

	given map[string][]byte
}

func (h hoarder) Read(ctx context.Context, r secret.Ref) (secret.Value, error) {
	v, err := h.vault.Read(ctx, r)
	h.given[r.Target] = v.Bytes()
	return v, err
}

// TestTextIsCleared: once the private key is parsed its text is overwritten.
func TestTextIsCleared(t *testing.T) {
	t.Parallel()
	spec, v := full(t)
	h := hoarder{v, make(map[string][]byte)}
	if f := merchant.Inspect(t.Context(), spec, h, now); len(f) == 0 {
		t.Fatal("nothing was inspected")
	}
	if got := h.given["KEY"]; len(got) == 0 || !bytes.Equal(got, make([]byte, len(got))) {
		t.Error("the text of the private key is still there")
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	if m, err := merchant.New(merchant.Spec{}, secret.Reader{}, nil, nil); err == nil || m != nil {
		t.Errorf("got %v, %v", m, err)
	}
	if m, err := merchant.New(merchant.Spec{Name: "shop"}, nil, nil, nil); err == nil || m != nil {
		t.Errorf("got %v, %v", m, err)
	}
}

// sealed is a Vault in an outage.
type sealed struct{ vault }

func (sealed) Read(_ context.Context, r secret.Ref) (secret.Value, error) {
	return secret.Value{}, fmt.Errorf("%s: %w", r, secret.ErrOutage)
}

// While Vault gives nothing no reference is to blame.
func TestOutageBlamesNoReference(t *testing.T) {
	t.Parallel()
	spec, v := full(t)
	blamed := 0
	for _, f := range merchant.Inspect(t.Context(), spec, sealed{v}, now) {
		if strings.Contains(f.Detail, secret.ErrOutage.Error()) {
			if blamed++; !strings.HasPrefix(f.Fix, "see to Vault") {
				t.Errorf("%s: %s", f.Name, f.Fix)
			}
		}
	}
	if blamed < 3 {
		t.Errorf("only %d references were not read", blamed)
	}
}

// alone is a Vault that a check leaves alone.
type alone struct{ vault }

func (alone) Read(_ context.Context, r secret.Ref) (secret.Value, error) {
	return secret.Value{}, fmt.Errorf("%s: %w", r, secret.ErrUnread)
}

// What was left alone is neither right nor wrong, and no material.
func TestUnread(t *testing.T) {
	t.Parallel()
	spec, v := full(t)
	for _, f := range merchant.Inspect(t.Context(), spec, alone{v}, now) {
		if f.Unread != strings.Contains(f.Detail, secret.ErrUnread.Error()) || (!f.Unread && !f.OK) {
			t.Errorf("got %+v", f)
		}
	}
	m, err := merchant.New(spec, alone{v}, now, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Reload(t.Context()); !errors.Is(err, merchant.ErrMaterial) || m.Current() != nil {
		t.Errorf("got %v", err)
	}
}
