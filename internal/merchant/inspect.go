package merchant

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/wxproxy/wxproxy/internal/secret"
	"github.com/wxproxy/wxproxy/signer"
)

// inspection is one pass over a merchant's material: it reads, checks and
// gathers. Each piece that failed stays zero, and the comparisons that need it
// are skipped.
type inspection struct {
	spec     Spec
	reader   reader
	clock    func() time.Time
	held     crypto.PublicKey // of the key in use; nil: none
	now      time.Time        // of the whole pass
	findings []Finding

	key      crypto.Signer // RSA, here or in Vault
	previous *rsa.PrivateKey
	cert     *x509.Certificate
	m        Material
}

// inspect returns the material and what was found; the material is complete
// when no finding stops it. held is the public half of the key in use, if any.
func inspect(ctx context.Context, spec Spec, reader reader, clock func() time.Time, held crypto.PublicKey) (*Material, []Finding) {
	i := &inspection{spec: spec, reader: reader, clock: clock, now: clock(), held: held}
	i.certificate(ctx) // first: of several versions of a key in Vault it tells which
	i.privateKey(ctx)
	i.previousKey(ctx)
	i.pair()
	i.merchantID()
	i.apiv3Keys(ctx)
	i.apiv2Key(ctx)
	i.publicKey(ctx)
	i.sign()
	i.m.LoadedAt = i.now
	i.m.Warnings = warnings(i.findings)
	m := i.m // not a pointer into i, which would keep the parsed certificate and every finding
	return &m, i.findings
}

func (i *inspection) ok(name, format string, args ...any) {
	i.findings = append(i.findings, Finding{Name: name, OK: true, Detail: fmt.Sprintf(format, args...)})
}

func (i *inspection) fail(name, fix, format string, args ...any) {
	i.findings = append(i.findings, Finding{Name: name, Detail: fmt.Sprintf(format, args...), Fix: fix})
}

// wrong is a fail that does not stop the material from being used.
func (i *inspection) wrong(name, fix, format string, args ...any) {
	i.findings = append(i.findings, Finding{Name: name, Warn: true, Detail: fmt.Sprintf(format, args...), Fix: fix})
}

func (i *inspection) warn(name, fix, format string, args ...any) {
	i.findings = append(i.findings, Finding{Name: name, OK: true, Warn: true, Detail: fmt.Sprintf(format, args...), Fix: fix})
}

// read returns what ref names. The reader's errors name the place themselves.
func (i *inspection) read(ctx context.Context, name string, ref secret.Ref) (secret.Value, bool) {
	v, err := i.reader.Read(ctx, ref)
	if err != nil {
		i.unreadable(name, err)
		return secret.Value{}, false
	}
	return v, true
}

func (i *inspection) unreadable(name string, err error) {
	i.findings = append(i.findings, Finding{Name: name, Unread: errors.Is(err, secret.ErrUnread), Detail: err.Error(), Fix: remedy(name, err)})
}

// remedy is for a reference that gave nothing. While nothing can be read from
// Vault the reference is not to blame.
func remedy(name string, err error) string {
	switch {
	case errors.Is(err, secret.ErrUnread):
		return "nothing, if it is right"
	case errors.Is(err, secret.ErrOutage):
		return "see to Vault; " + name + " is not what is wrong"
	}
	return "correct " + name + ", or put what it names in place"
}

func (i *inspection) privateKey(ctx context.Context) {
	const name = "private_key"
	ref := i.spec.PrivateKey
	if ref.IsZero() {
		i.fail(name, "set it to where apiclient_key.pem is", "no reference is given")
		return
	}
	if ref.Scheme == secret.SchemeTransit {
		i.transitKey(ctx, ref)
		return
	}
	if key := i.localKey(ctx, name, ref); key != nil {
		i.key = key
	}
}

// localKey reads a private key that is then held here; nil when it cannot be
// used.
func (i *inspection) localKey(ctx context.Context, name string, ref secret.Ref) *rsa.PrivateKey {
	text, ok := i.read(ctx, name, ref)
	if !ok {
		return nil
	}
	defer text.Clear()
	key, err := signer.ParsePrivateKey(text.Bytes())
	if err != nil {
		i.fail(name, "put the content of apiclient_key.pem there, whole", "%s: %v", ref, err)
		return nil
	}
	if bits := key.N.BitLen(); bits < minKeyBits {
		i.fail(name, "make a new key and certificate in the merchant console", "%s: RSA with %d bits, fewer than the %d that WeChat Pay takes", ref, bits, minKeyBits)
		return nil
	}
	i.ok(name, "%s: RSA, %d bits", ref, key.N.BitLen())
	return key
}

// previousKey reads the private key of before, which opens what was encrypted
// for the certificate of before.
func (i *inspection) previousKey(ctx context.Context) {
	const name = "private_key_previous"
	ref := i.spec.PreviousKey
	if ref.IsZero() {
		return
	}
	key := i.localKey(ctx, name, ref)
	switch {
	case key == nil || i.key == nil:
	case key.PublicKey.Equal(i.key.Public()):
		i.warn(name, "remove it once the change of keys is over", "%s: it is the same key as private_key", ref)
	default:
		i.previous = key
	}
}

// transitKey finds the key that stays in Vault. A rotation there makes a new
// version that WeChat Pay does not know yet, so the version is the one named,
// or the one that fits the certificate; never just the latest.
func (i *inspection) transitKey(ctx context.Context, ref secret.Ref) {
	const name = "private_key"
	var like crypto.PublicKey
	if i.cert != nil {
		like = i.cert.PublicKey
	}
	if like == nil && !i.spec.Certificate.IsZero() {
		return // what is wrong with the certificate was said; the key waits for it
	}
	if like == nil && ref.Version == 0 {
		i.fail(name, "set certificate, or name the version, as in "+ref.String()+"@1", "%s: without the certificate nothing tells which version of the key WeChat Pay knows", ref)
		return
	}
	key, err := i.reader.Key(ctx, ref, like)
	if err != nil {
		i.unreadable(name, err)
		return
	}
	i.key = key
	i.trial(name, ref)
}

// trial tells whether a key in Vault signed when it was asked to. One in use
// that does not is no reason to refuse what else is new; another one would
// replace a key that may sign.
func (i *inspection) trial(name string, ref secret.Ref) {
	var err error
	if r, ok := i.key.(remote); ok {
		_, err = r.Failing()
	}
	fix := "let the key in Vault sign, and the login by its policy"
	if errors.Is(err, secret.ErrOutage) {
		fix = remedy(name, err)
	}
	public, _ := i.key.Public().(*rsa.PublicKey)
	switch {
	case err == nil:
		i.ok(name, "%s: RSA, signs in Vault", ref)
	case i.held != nil && public != nil && public.Equal(i.held):
		i.wrong(name, fix, "it does not sign: %v", err)
	default:
		i.fail(name, fix, "it does not sign: %v", err)
	}
}

// sign makes the signer, when there is all that it needs.
func (i *inspection) sign() {
	serial := i.serial()
	if i.key == nil || serial == "" || i.m.MchID == "" {
		return
	}
	s, err := signer.New(signer.Credential{Scheme: i.spec.Scheme, ID: i.m.MchID, Serial: serial, Key: i.key}, i.clock)
	if err != nil {
		i.fail("signer", "correct the above", "%v", err)
		return
	}
	i.m.Signer = s
	i.m.remote, _ = i.key.(remote)
	if key, ok := i.key.(crypto.Decrypter); ok {
		i.m.own = append(i.m.own, key)
		if i.previous != nil {
			i.m.own = append(i.m.own, i.previous)
		}
	}
}
