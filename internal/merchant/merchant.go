// Package merchant holds one merchant's own key material: private key,
// certificate or its serial number, APIv3 keys, and the WeChat Pay public key
// that the merchant pinned.
//
// The pieces are read from their references, checked one by one and against
// each other, and taken over all together or not at all: a key file that was
// replaced before its certificate leaves the old pair at work. The package
// neither watches files nor downloads anything; whoever does calls Reload.
package merchant

import (
	"context"
	"crypto"
	"crypto/rsa"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wxproxy/wxproxy/internal/secret"
	"github.com/wxproxy/wxproxy/signer"
)

// Spec says who the merchant is and where its key material is.
type Spec struct {
	Name             string     // alias
	MchID            string     // empty: taken from the certificate; of a brand its brand_id
	Scheme           string     // signer.SchemeMerchant or SchemeBrand; empty: SchemeMerchant
	Certificate      secret.Ref // optional with SerialNo
	SerialNo         string     // optional with Certificate
	PrivateKey       secret.Ref
	PreviousKey      secret.Ref // private key of before; optional, only decrypts
	APIv3Key         secret.Ref
	APIv3KeyPrevious secret.Ref // optional
	APIv2Key         secret.Ref // optional
	PublicKey        secret.Ref // WeChat Pay's; optional, with PublicKeyID
	PublicKeyID      string
}

// reader reads what a reference names. Each Value it returns is new and may be
// overwritten.
type reader interface {
	Read(ctx context.Context, ref secret.Ref) (secret.Value, error)
	// Key returns a key that signs where it is kept: the version that ref
	// names, or else the one whose public half is like.
	Key(ctx context.Context, ref secret.Ref, like crypto.PublicKey) (crypto.Signer, error)
}

// remote is a key that signs where it is kept, if it does.
type remote interface {
	// Failing tells what was wrong with the last signature, and since when there
	// was none; nil while the key signs.
	Failing() (since time.Time, err error)
	// Try asks for a signature that nobody needs.
	Try(ctx context.Context) error
}

// Material is a complete, checked set. It is immutable.
type Material struct {
	MchID     string // of a brand its brand_id
	Signer    *signer.Signer
	APIv3Keys []secret.Value // the current one first, then the previous
	APIv2Key  secret.Value   // zero when there is none
	// Decrypters are the private key and, for a time after a change, those
	// before it; none when the key stays in Vault, which cannot open what WeChat
	// Pay encrypts (OAEP with SHA-1).
	Decrypters []crypto.Decrypter
	own        []crypto.Decrypter // of Decrypters, those that the references name

	PinnedSerial string         // ID of the WeChat Pay public key, empty when there is none
	Pinned       *rsa.PublicKey // nil when there is none

	CertificateNotAfter time.Time // zero when only serial_no was given
	LoadedAt            time.Time // when this set was first seen
	Warnings            []Finding // what is wrong without stopping anything

	remote remote // the key, if it is one
}

// Failing tells why the key, one in Vault, does not sign, and since when; nil
// while it does.
func (m *Material) Failing() (since time.Time, err error) {
	if m.remote == nil {
		return time.Time{}, nil
	}
	return m.remote.Failing()
}

// Try asks a key that does not sign whether it does again, which Failing tells
// then.
func (m *Material) Try(ctx context.Context) {
	if _, err := m.Failing(); err != nil {
		_ = m.remote.Try(ctx) // Failing has the error
	}
}

// Merchant is the material of the moment. It is safe for concurrent use.
type Merchant struct {
	spec   Spec
	reader reader
	now    func() time.Time
	log    *slog.Logger

	current atomic.Pointer[Material]
	err     atomic.Pointer[error]

	reloading sync.Mutex // one Reload at a time, so that the last to read is the last to swap
	former    []former   // the latest first; guarded by reloading
	apart     *apart     // guarded by reloading
}

// New makes a Merchant without material; Reload loads it. A nil now means
// time.Now, a nil log discards.
func New(spec Spec, reader reader, now func() time.Time, log *slog.Logger) (*Merchant, error) {
	if spec.Name == "" || reader == nil {
		return nil, errors.New("merchant without a name or a reader")
	}
	if now == nil {
		now = time.Now
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Merchant{spec: spec, reader: reader, now: now, log: log.With("merchant", spec.Name), apart: &apart{}}, nil
}

// Name is the merchant's alias.
func (m *Merchant) Name() string { return m.spec.Name }

// Current returns the material in use, nil before the first successful Reload.
// It never waits.
func (m *Merchant) Current() *Material { return m.current.Load() }

// Err tells what was wrong with the last Reload, nil if nothing was. The
// material of before stays in use meanwhile.
func (m *Merchant) Err() error {
	if err := m.err.Load(); err != nil {
		return *err
	}
	return nil
}

// Reload reads everything anew and swaps it in when all of it fits together.
// On error nothing changes.
func (m *Merchant) Reload(ctx context.Context) error {
	m.reloading.Lock()
	defer m.reloading.Unlock()
	old := m.current.Load()
	var held crypto.PublicKey
	if old != nil {
		held = old.Signer.Public()
	}
	fresh, findings := inspect(ctx, m.spec, m.reader, m.now, held)
	err := failures(m.spec.Name, findings)
	if err == nil && old != nil && fresh.MchID != old.MchID {
		// Whoever asked for one merchant must not get another's signature.
		err = fmt.Errorf("%w: merchant %s: the certificate is now of merchant %s, before it was of %s; put the right one back, or restart to change the merchant",
			ErrMaterial, m.spec.Name, fresh.MchID, old.MchID)
	}
	if err == nil {
		m.apart.taking.Lock()
		defer m.apart.taking.Unlock()
		err = m.apart.check(m, old, fresh)
	}
	if err != nil {
		m.err.Store(&err)
		return err
	}
	m.err.Store(nil)
	if old != nil && fresh.same(old) {
		// The files were touched, not changed. LoadedAt goes on telling the
		// age of the keys; only what depends on the clock is new.
		fresh.LoadedAt = old.LoadedAt
	}
	m.tell(old, fresh)
	m.keepKey(old, fresh)
	m.current.Store(fresh)
	return nil
}

// tell logs a change of keys, and warnings that were not there before.
func (m *Merchant) tell(old, fresh *Material) {
	if old == nil || !fresh.same(old) {
		m.log.Info("merchant keys loaded", "mchid", fresh.MchID, "serial", fresh.Signer.Serial(), "public_key_id", fresh.PinnedSerial)
	}
	for _, w := range fresh.Warnings {
		if old == nil || !hasFinding(old.Warnings, w) {
			m.log.Warn(w.Name+": "+w.Detail, "fix", w.Fix)
		}
	}
}

// same reports whether both sets hold the same keys.
func (m *Material) same(o *Material) bool {
	if len(m.APIv3Keys) != len(o.APIv3Keys) {
		return false
	}
	for i, k := range m.APIv3Keys {
		if !k.Equal(o.APIv3Keys[i]) {
			return false
		}
	}
	if (m.Pinned == nil) != (o.Pinned == nil) || (m.Pinned != nil && !m.Pinned.Equal(o.Pinned)) {
		return false
	}
	return samePublic(m.Signer, o.Signer) && m.Signer.Serial() == o.Signer.Serial() &&
		slices.EqualFunc(m.own, o.own, func(a, b crypto.Decrypter) bool { return samePublic(a, b) }) &&
		m.APIv2Key.Equal(o.APIv2Key) && m.PinnedSerial == o.PinnedSerial
}
