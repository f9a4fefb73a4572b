package sim

import (
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wxproxy/wxproxy/internal/wire"
)

// PlatformKey is a key of the simulated WeChat Pay: a platform certificate, or
// the public key.
type PlatformKey struct {
	ID          string            // what stands in Wechatpay-Serial
	Certificate *x509.Certificate // nil: the public key
	PrivateKey  *Key
	// ExpireTime is what the certificates endpoint says. A rotation shortens it;
	// NotAfter inside the certificate stays.
	ExpireTime time.Time
}

// begin is when the key became valid; the public key has no such time.
func (k *PlatformKey) begin() (t time.Time) {
	if k.Certificate != nil {
		t = k.Certificate.NotBefore
	}
	return t
}

// Steps of a rotation, in this order.
const (
	RotateAnnounce = "announce" // a new certificate is listed beside the old ones, which still sign
	RotateSwitch   = "switch"   // the newest certificate signs, the old ones are still listed
	RotateRetire   = "retire"   // only the certificate that signs is listed
)

// Modes of the public key.
const (
	PublicKeyOff  = "off"  // known, but not activated: certificates sign everything
	PublicKeyOn   = "on"   // answers follow the request's Wechatpay-Serial, notifies a percentage
	PublicKeyOnly = "only" // no certificates: new merchants have this
)

// announcedFor is how long an old certificate is listed on after a new one was
// announced.
const announcedFor = 24 * time.Hour

const maxRetired = 10

var (
	// ErrStep: a step of a rotation comes before its turn, or is none.
	ErrStep = errors.New("bad rotation step")
	// ErrMode: a mode or percentage of the public key is none.
	ErrMode = errors.New("bad public key mode")
)

// platform is the set of WeChat Pay's keys and which of them signs what.
type platform struct {
	mu sync.Mutex

	certificates []*PlatformKey // oldest first
	signing      *PlatformKey   // one of certificates
	retired      []*PlatformKey // not listed any more, but callers may still name them
	public       *PlatformKey
	mode         string
	percent      float64 // of notifies, in mode on
	share        float64 // carried from notify to notify
}

func (p *platform) add(k PlatformKey) error {
	if k.PrivateKey == nil {
		return fmt.Errorf("platform key %.64q has no private key", k.ID)
	}
	if k.Certificate == nil {
		if p.public != nil || !strings.HasPrefix(k.ID, wire.PublicKeyIDPrefix) || wire.CheckSerial(k.ID) != nil {
			return fmt.Errorf("platform key %.64q is a second public key, or its ID is none", k.ID)
		}
		p.public = &k
		return nil
	}
	public, ok := k.Certificate.PublicKey.(*rsa.PublicKey)
	if !ok || !k.PrivateKey.PublicKey.Equal(public) {
		return fmt.Errorf("platform key %.64q and its certificate are not a pair", k.ID)
	}
	k.ID = wire.CertificateSerial(k.Certificate)
	if k.ExpireTime.IsZero() {
		k.ExpireTime = k.Certificate.NotAfter
	}
	p.certificates = append(p.certificates, &k)
	p.signing = &k
	return nil
}

// RotateCertificate takes one step of a change of the platform certificate.
func (s *Sim) RotateCertificate(step string) error {
	if step == RotateAnnounce {
		k, err := s.newCertificate()
		if err != nil {
			return err
		}
		s.platform.announce(k, s.now())
	} else if err := s.platform.rotate(step); err != nil {
		return err
	}
	s.log.Info("platform certificate rotated", "step", step)
	if s.opts.Dir != "" {
		return s.writeKeys(s.opts.Dir)
	}
	return nil
}

func (p *platform) announce(k PlatformKey, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	k.ID, k.ExpireTime = wire.CertificateSerial(k.Certificate), k.Certificate.NotAfter
	for i, old := range p.certificates {
		if end := now.Add(announcedFor); end.Before(old.ExpireTime) {
			shortened := *old
			shortened.ExpireTime = end
			p.certificates[i] = &shortened
			if p.signing == old {
				p.signing = &shortened
			}
		}
	}
	p.certificates = append(p.certificates, &k)
}

func (p *platform) rotate(step string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	newest := p.certificates[len(p.certificates)-1]
	switch step {
	case RotateSwitch:
		if p.signing == newest {
			return fmt.Errorf("%w: announce a certificate before the switch to it", ErrStep)
		}
		p.signing = newest
	case RotateRetire:
		if p.signing != newest {
			return fmt.Errorf("%w: switch to the new certificate before the old one is retired", ErrStep)
		}
		p.retired = append(p.retired, p.certificates[:len(p.certificates)-1]...)
		p.retired = p.retired[max(0, len(p.retired)-maxRetired):]
		p.certificates = []*PlatformKey{newest}
	default:
		return fmt.Errorf("%w %.64q: it is %s, %s or %s", ErrStep, step, RotateAnnounce, RotateSwitch, RotateRetire)
	}
	return nil
}

// UsePublicKey sets how far the change from certificates to the public key has
// come. percent is the share of notifies that it signs in mode on.
func (s *Sim) UsePublicKey(mode string, percent float64) error {
	if mode != PublicKeyOff && mode != PublicKeyOn && mode != PublicKeyOnly {
		return fmt.Errorf("%w %.64q: it is %s, %s or %s", ErrMode, mode, PublicKeyOff, PublicKeyOn, PublicKeyOnly)
	}
	if !(percent >= 0 && percent <= 100) {
		return fmt.Errorf("%w: %v percent", ErrMode, percent)
	}
	s.platform.mu.Lock()
	defer s.platform.mu.Unlock()
	s.platform.mode, s.platform.percent, s.platform.share = mode, percent, 0
	s.log.Info("public key mode set", "mode", mode, "percent", percent)
	return nil
}

// find returns the key that a request's Wechatpay-Serial names, nil when the
// merchant has none of that name.
func (p *platform) find(id string) *PlatformKey {
	p.mu.Lock()
	defer p.mu.Unlock()
	if id == p.public.ID {
		return p.public
	}
	if p.mode == PublicKeyOnly {
		return nil
	}
	for _, k := range slices.Concat(p.certificates, p.retired) {
		if k.ID == id {
			return k
		}
	}
	return nil
}

// forAnswer chooses the key that signs an answer. Only the public key is
// followed: which certificate signs is WeChat Pay's own choice.
func (p *platform) forAnswer(requested string) *PlatformKey {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mode == PublicKeyOnly || p.mode == PublicKeyOn && requested == p.public.ID {
		return p.public
	}
	return p.signing
}

// forNotify chooses the key that signs a notify: exactly the percentage, spread
// evenly, so that tests can count.
func (p *platform) forNotify() *PlatformKey {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mode == PublicKeyOnly {
		return p.public
	}
	if p.mode != PublicKeyOn {
		return p.signing
	}
	p.share += p.percent
	if p.share < 100 {
		return p.signing
	}
	p.share -= 100
	return p.public
}

// listed returns the certificates that the endpoint lists; none in public key
// only mode.
func (p *platform) listed() []*PlatformKey {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mode == PublicKeyOnly {
		return nil
	}
	return slices.Clone(p.certificates)
}

// PublicKey returns the WeChat Pay public key and its ID, as a merchant
// downloads them from the console.
func (s *Sim) PublicKey() (id string, key *rsa.PublicKey) {
	return s.platform.public.ID, &s.platform.public.PrivateKey.PublicKey
}

// Certificates returns the platform certificates, oldest first, whether or not
// they are listed now.
func (s *Sim) Certificates() []*x509.Certificate {
	s.platform.mu.Lock()
	defer s.platform.mu.Unlock()
	var list []*x509.Certificate
	for _, k := range s.platform.certificates {
		list = append(list, k.Certificate)
	}
	return list
}

func (s *Sim) newCertificate() (PlatformKey, error) {
	key, err := s.opts.NewKey()
	if err != nil {
		return PlatformKey{}, err
	}
	subject := pkix.Name{
		CommonName:         "Tenpay.com sign",
		Organization:       []string{"Tenpay.com"},
		OrganizationalUnit: []string{"wxproxy simulator"},
		Locality:           []string{"Shenzhen"},
		Country:            []string{"CN"},
	}
	cert, err := issue(subject, key, s.platform.nextBegin(s.now()))
	if err != nil {
		return PlatformKey{}, err
	}
	return PlatformKey{Certificate: cert, PrivateKey: key}, nil
}

// nextBegin is when a new certificate becomes valid: now, and later than all
// others, since clients take the one with the latest begin for the newest.
func (p *platform) nextBegin(now time.Time) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	begin := now.Add(-clockTolerance)
	for _, k := range p.certificates {
		if next := k.begin().Add(time.Second); next.After(begin) {
			begin = next
		}
	}
	return begin
}

func (s *Sim) newPublicKey() (PlatformKey, error) {
	key, err := s.opts.NewKey()
	if err != nil {
		return PlatformKey{}, err
	}
	return PlatformKey{ID: wire.PublicKeyIDPrefix + "01" + SimulatedMchID + randomDigits(22), PrivateKey: key}, nil
}

func marshalPublicKey(key *rsa.PublicKey) []byte {
	der, _ := x509.MarshalPKIXPublicKey(key) // fails for unknown kinds of keys only
	return der
}
