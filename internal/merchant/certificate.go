package merchant

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/x509"
	"math/big"
	"regexp"
	"strings"
	"time"

	"github.com/wxproxy/wxproxy/internal/wire"
	"github.com/wxproxy/wxproxy/signer"
	"github.com/wxproxy/wxproxy/verifier"
)

const (
	minKeyBits = 2048
	// expirySoon leaves time to apply for a new merchant certificate.
	expirySoon = 30 * 24 * time.Hour
	serialHint = "write what this prints: openssl x509 -in apiclient_cert.pem -noout -serial"
)

// mchidPattern is what a merchant number looks like in a certificate's subject.
var mchidPattern = regexp.MustCompile(`^[0-9]{8,10}$`)

// maxSerialDigits: a certificate's serial number has at most 20 bytes.
const maxSerialDigits = 40

func (i *inspection) certificate(ctx context.Context) {
	const name = "certificate"
	ref := i.spec.Certificate
	if ref.IsZero() {
		i.serialAlone()
		return
	}
	text, ok := i.read(ctx, name, ref)
	if !ok {
		return
	}
	defer text.Clear() // it may be the private key
	cert, _, err := verifier.ParseCertificate(text.Bytes())
	switch {
	case err != nil && bytes.Contains(text.Bytes(), []byte("PRIVATE KEY-----")):
		i.fail(name, "point it to apiclient_cert.pem", "%s: this is a private key, not a certificate", ref)
	case err != nil:
		i.fail(name, "put the content of apiclient_cert.pem there, whole (the .p12 file is not read)", "%s: %v", ref, err)
	case isPlatform(cert, i.spec.MchID):
		i.fail(name, "point it to apiclient_cert.pem, the certificate of the merchant; platform certificates are downloaded by wxproxy itself",
			"%s: this looks like WeChat Pay's platform certificate (subject %q)", ref, clip(cert.Subject.CommonName))
	default:
		i.cert = cert
		i.m.CertificateNotAfter = cert.NotAfter
		i.ok(name, "%s: serial number %s, subject %q", ref, wire.CertificateSerial(cert), clip(cert.Subject.CommonName))
		i.validity()
		i.serialAgrees()
	}
}

// isPlatform knows WeChat Pay's own certificates by their subject: those that
// it issues to merchants bear the mchid there.
func isPlatform(cert *x509.Certificate, mchid string) bool {
	return cert.Subject.CommonName != mchid && strings.Contains(cert.Subject.CommonName, "Tenpay.com")
}

// validity is told and does not stop the material: WeChat Pay decides whether
// it still takes the signature, and the clock here may be the one that is
// wrong.
func (i *inspection) validity() {
	const name, renew = "validity", "apply for a new certificate in the merchant console and replace key and certificate together"
	from, to := i.cert.NotBefore.UTC().Format(time.DateTime), i.cert.NotAfter.UTC().Format(time.DateTime)
	switch ref := i.spec.Certificate; {
	case !i.now.Before(i.cert.NotAfter):
		i.wrong(name, renew, "%s: the certificate expired at %s UTC", ref, to)
	case i.now.Before(i.cert.NotBefore):
		i.wrong(name, "check this machine's clock", "%s: the certificate is not valid before %s UTC", ref, from)
	case i.cert.NotAfter.Sub(i.now) < expirySoon:
		i.warn(name, renew, "%s: the certificate expires soon, at %s UTC", ref, to)
	default:
		i.ok(name, "%s: until %s UTC", ref, to)
	}
}

func (i *inspection) serialAgrees() {
	const name = "serial_no"
	given, own := i.spec.SerialNo, wire.CertificateSerial(i.cert)
	switch {
	case given == "":
	case wire.CanonicalSerial(given) == wire.CanonicalSerial(own):
		i.ok(name, "it is that of the certificate")
	case isDecimalOf(given, i.cert):
		i.fail(name, "write "+own+", or leave serial_no out", "it is the certificate's serial number in decimal; WeChat Pay wants hexadecimal")
	default:
		i.fail(name, "write "+own+", or leave serial_no out, or replace the certificate: one of them is of another pair",
			"it is not the serial number of the certificate in %s", i.spec.Certificate)
	}
}

func isDecimalOf(s string, cert *x509.Certificate) bool {
	n, ok := new(big.Int).SetString(s, 10)
	return ok && n.Cmp(cert.SerialNumber) == 0
}

// serialAlone checks the form, all that can be told without the certificate.
func (i *inspection) serialAlone() {
	const name = "serial_no"
	s := i.spec.SerialNo
	switch {
	case s == "":
		i.fail(name, "set certificate to where apiclient_cert.pem is, or serial_no to its serial number", "neither certificate nor serial_no is given")
	case strings.HasPrefix(s, wire.PublicKeyIDPrefix):
		i.fail(name, "move it to platform.public_key_id; for serial_no "+serialHint, "this is the ID of WeChat Pay's public key")
	case len(s) > maxSerialDigits && strings.Trim(s, "0123456789") == "":
		i.fail(name, serialHint, "it is decimal; WeChat Pay wants hexadecimal")
	case len(s) > maxSerialDigits || wire.CheckSerial(s) != nil:
		i.fail(name, serialHint, "it is not 1 to %d hexadecimal digits", maxSerialDigits)
	default:
		i.ok(name, "%s; whether it belongs to the private key can only be told from the certificate", strings.ToUpper(s))
	}
}

// serial is what goes out with each signature: the certificate's own spelling,
// else the user's in WeChat Pay's upper case.
func (i *inspection) serial() string {
	if i.cert != nil {
		return wire.CertificateSerial(i.cert)
	}
	return strings.ToUpper(i.spec.SerialNo)
}

// pair is what a half-done rotation trips over.
func (i *inspection) pair() {
	const name = "pair"
	if i.key == nil || i.cert == nil {
		return
	}
	public, ok := i.cert.PublicKey.(*rsa.PublicKey)
	if !ok || !public.Equal(i.key.Public()) {
		i.fail(name, "replace both files together, with the pair that the certificate tool made", "the key in %s does not fit its certificate in %s",
			i.spec.PrivateKey, i.spec.Certificate)
		return
	}
	i.ok(name, "the private key fits the certificate")
}

func (i *inspection) merchantID() {
	const name = "mchid"
	i.m.MchID = i.spec.MchID
	if i.spec.Scheme == signer.SchemeBrand { // whom its certificate names is not known
		i.ok("brand_id", "%s", clip(i.spec.MchID))
		return
	}
	var named string
	if i.cert != nil && mchidPattern.MatchString(i.cert.Subject.CommonName) {
		named = i.cert.Subject.CommonName
	}
	switch {
	case i.spec.MchID == "" && named != "":
		i.m.MchID = named
		i.ok(name, "%s, from the certificate", named)
	case i.spec.MchID == "" && (i.cert != nil || i.spec.Certificate.IsZero()):
		i.fail(name, "set mchid to the merchant number (商户号)", "none is given, and no certificate names one")
	case named != "" && named != i.spec.MchID:
		i.fail(name, "correct mchid, or take the certificate of this merchant", "it is %s, but the certificate in %s is of merchant %s",
			clip(i.spec.MchID), i.spec.Certificate, named)
	case named != "":
		i.ok(name, "%s, as in the certificate", named)
	}
}

// clip shortens what comes from a file for messages.
func clip(s string) string {
	const most = 64
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
