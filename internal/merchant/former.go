package merchant

import (
	"crypto"
	"crypto/rsa"
	"slices"
	"time"
)

const (
	// keepFormer is how long a private key goes on decrypting after another
	// took its place. WeChat Pay repeats a notify, with what is encrypted in
	// it, for 24 h 4 min, and may have made it some time after the change here.
	keepFormer = 48 * time.Hour
	// mostFormer bounds such keys: the last ones are kept.
	mostFormer = 2
)

// former is a private key that was in use until another took its place. It is
// in memory and nowhere else, and signs nothing.
type former struct {
	key   crypto.Decrypter
	until time.Time
}

// keepKey has fresh decrypt with the key of old, too, and with those of before,
// until their time is over. The caller holds m.reloading.
func (m *Merchant) keepKey(old, fresh *Material) {
	if old != nil && len(old.own) > 0 && !samePublic(old.Signer, fresh.Signer) {
		f := former{old.own[0], m.now().Add(keepFormer)}
		m.former = slices.Insert(m.former, 0, f)
		m.log.Info("the private key of before goes on decrypting, not signing", "serial", old.Signer.Serial(), "until", f.until.UTC())
		time.AfterFunc(keepFormer, m.dropKeys)
	}
	now := m.now()
	m.former = slices.DeleteFunc(m.former, func(f former) bool { return !now.Before(f.until) || samePublic(f.key, fresh.Signer) })
	if len(m.former) > mostFormer {
		m.former = slices.Delete(m.former, mostFormer, len(m.former)) // clears what it drops
	}
	fresh.Decrypters = slices.Clone(fresh.own)
	for _, f := range m.former {
		if !slices.ContainsFunc(fresh.own, func(k crypto.Decrypter) bool { return samePublic(k, f.key) }) {
			fresh.Decrypters = append(fresh.Decrypters, f.key)
		}
	}
}

// dropKeys forgets the keys whose time is over. What the garbage collector then
// takes is not overwritten: crypto/rsa holds copies that nobody can reach.
func (m *Merchant) dropKeys() {
	m.reloading.Lock()
	defer m.reloading.Unlock()
	now := *m.current.Load()
	m.keepKey(nil, &now)
	m.current.Store(&now)
}

// samePublic reports whether two private keys are the same, which their public
// halves tell.
func samePublic(a, b interface{ Public() crypto.PublicKey }) bool {
	public, ok := a.Public().(*rsa.PublicKey)
	return ok && public.Equal(b.Public())
}
