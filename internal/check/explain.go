package check

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/wxproxy/wxproxy/certcache"
	"github.com/wxproxy/wxproxy/internal/wire"
	"github.com/wxproxy/wxproxy/verifier"
)

// explanation is what a failed call means and what to do.
type explanation struct{ detail, fix string }

const clockFix = "set this machine's clock (NTP)"

// explain translates the failure of the last call.
func (o *online) explain(err error) explanation {
	var netError net.Error
	last := o.last.Load()
	switch {
	case last != nil && last.status != http.StatusOK:
		return o.refused(last)
	case errors.Is(err, wire.ErrDecrypt):
		return explanation{"WeChat Pay took our signature, but what it sent does not open with apiv3_key",
			fmt.Sprintf("apiv3_key must be the APIv3 key (APIv3密钥) of merchant %s as last set in the merchant console (账户中心 > API安全): is it another merchant's, the APIv2 key, or was it changed? If it is lost, set a new one there", o.material.MchID)}
	case errors.Is(err, verifier.ErrStale):
		return explanation{"the answer's time is 5 minutes or more from this machine's", clockFix}
	case errors.Is(err, verifier.ErrUnsigned), errors.Is(err, verifier.ErrHeaders):
		return explanation{"the answer lacks WeChat Pay's signature: " + reasonOf(err),
			"something between this machine and WeChat Pay answers in its place or drops the Wechatpay-* headers: check proxies, gateways and outbound.upstreams"}
	case errors.Is(err, verifier.ErrSerialUnknown):
		return o.serialUnknown()
	case errors.Is(err, verifier.ErrSignature):
		return o.forged()
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &netError) && netError.Timeout():
		return explanation{fmt.Sprintf("no answer within %v", o.Timeout), "see Network; if that is fine, try again with a longer --timeout"}
	case errors.Is(err, certcache.ErrAnswer):
		return explanation{err.Error(), "something between this machine and WeChat Pay may change answers: check proxies, gateways and outbound.upstreams"}
	default:
		return explanation{err.Error(), "see Network"}
	}
}

// reasonOf is the innermost text of an error chain that says the same thing
// more and more exactly.
func reasonOf(err error) string {
	text := err.Error()
	if i := strings.LastIndex(text, ": "); i >= 0 {
		return text[i+2:]
	}
	return text
}

// seen is the key that signed the last answer.
func (o *online) seen() string {
	if last := o.last.Load(); last != nil && last.serial != "" {
		return last.serial
	}
	return "an unreadable serial number"
}

// known lists the keys that could have signed: the trusted ones, and those in
// a list of certificates that was not believed.
func (o *online) known() string {
	var ids []string
	for _, k := range o.cache.Status().Keys {
		ids = append(ids, k.Serial)
	}
	if last := o.last.Load(); last != nil {
		if listed, err := wire.ParseCertificates(last.body); err == nil {
			for _, c := range listed {
				if wire.CheckSerial(c.SerialNo) == nil {
					ids = append(ids, c.SerialNo+" (listed in the answer)")
				}
			}
		}
	}
	if len(ids) == 0 {
		return "none"
	}
	return strings.Join(ids, ", ")
}

func (o *online) serialUnknown() explanation {
	e := explanation{detail: fmt.Sprintf("the answer is signed with %s; known are: %s", o.seen(), o.known())}
	publicKey := strings.HasPrefix(o.seen(), wire.PublicKeyIDPrefix)
	switch {
	case publicKey && o.material.Pinned != nil:
		e.fix = "WeChat Pay uses another public key than the configured one: download pub_key.pem again and set platform.public_key and platform.public_key_id to it"
	case publicKey:
		e.fix = "download the WeChat Pay public key (微信支付公钥, pub_key.pem) from the merchant console and set platform.public_key and platform.public_key_id; certificates may stay on"
	case !o.m.Certificates:
		e.fix = "WeChat Pay still signs with a platform certificate: set platform.certificates: auto, or put the public key into use in the merchant console"
	default:
		e.fix = "is the answer from WeChat Pay? Check proxies, gateways and outbound.upstreams"
	}
	return e
}

func (o *online) forged() explanation {
	e := explanation{
		fmt.Sprintf("the signature of the answer, made with %s, does not fit its bytes; known are: %s", o.seen(), o.known()),
		"something between this machine and WeChat Pay changes the answer: check proxies and gateways",
	}
	if o.material.Pinned != nil && o.seen() == o.material.PinnedSerial {
		e.fix = "platform.public_key is hardly the key of platform.public_key_id: download pub_key.pem again and copy the ID beside it; else something between this machine and WeChat Pay changes the answer"
	}
	return e
}

// refused translates an error of WeChat Pay. Its texts only help to choose a
// hint; nothing depends on them.
func (o *online) refused(e *exchange) explanation {
	switch {
	case e.code == "":
		return explanation{fmt.Sprintf("the answer is %v, and not in WeChat Pay's form", e),
			"is there a proxy, gateway or login portal between this machine and WeChat Pay? Check outbound.upstreams"}
	case e.status == http.StatusUnauthorized:
		return o.signError(e)
	case e.status == http.StatusBadRequest:
		return o.badRequest(e)
	case e.status == http.StatusForbidden:
		return explanation{fmt.Sprintf("WeChat Pay does not allow it: %v", e),
			fmt.Sprintf("check that merchant %s is active and has this permission (产品中心 in the merchant console)", o.material.MchID)}
	case e.status == http.StatusTooManyRequests:
		return explanation{fmt.Sprintf("WeChat Pay limits the rate: %v", e), "try again in a minute; if it stays, something else calls in this merchant's name too often"}
	case e.status >= http.StatusInternalServerError:
		return explanation{fmt.Sprintf("WeChat Pay has trouble: %v", e), "try again; if it stays, give the Request-ID to WeChat Pay's support"}
	default:
		return explanation{fmt.Sprintf("WeChat Pay refused: %v", e), "do what its message says; WeChat Pay's support can look up the Request-ID"}
	}
}

// signError finds out which of clock, merchant number, serial number and key
// is likely wrong: first by what is measured, then by what WeChat Pay says,
// then by what the key and certificate here already rule out.
func (o *online) signError(e *exchange) explanation {
	x := explanation{detail: fmt.Sprintf("WeChat Pay refused our signature: %v", e)}
	mchid, serial := o.material.MchID, o.material.Signer.Serial()
	withCertificate := !o.m.Certificate.IsZero()
	switch {
	case e.skew.Abs() >= maxSkew:
		x.fix = fmt.Sprintf("%s: it is %s of WeChat Pay's", clockFix, offset(e.skew))
	case e.says("时间戳", "timestamp"):
		x.fix = clockFix
	case e.says("商户号", "mchid"):
		x.fix = fmt.Sprintf("check mchid: %s, and that certificate and key were made for this merchant", mchid)
	case !o.material.CertificateNotAfter.IsZero() && !o.Now().Before(o.material.CertificateNotAfter):
		x.fix = fmt.Sprintf("the merchant certificate expired at %s UTC: apply for a new one", o.material.CertificateNotAfter.UTC().Format(time.DateTime))
	case withCertificate:
		x.fix = fmt.Sprintf("key and certificate fit each other; check in the merchant console (账户中心 > API安全) that certificate %s is in use for merchant %s and was not revoked, and that mchid is right", serial, mchid)
	case e.says("序列号", "serial"):
		x.fix = fmt.Sprintf("serial_no %s is not that of a certificate of merchant %s: set certificate instead, or write what this prints: openssl x509 -in apiclient_cert.pem -noout -serial", serial, mchid)
	default:
		x.fix = fmt.Sprintf("private_key is hardly the key of certificate %s: set certificate to apiclient_cert.pem, so that wxproxy can compare them; check mchid %s too", serial, mchid)
	}
	return x
}

// badRequest is about the key that we named or encrypted with: there is nothing
// else in our requests to be wrong.
func (o *online) badRequest(e *exchange) explanation {
	x := explanation{detail: fmt.Sprintf("WeChat Pay refused the request: %v", e)}
	again := fmt.Sprintf("download pub_key.pem and copy its ID from the merchant console of %s (账户中心 > API安全 > 微信支付公钥), both from the same place", o.material.MchID)
	switch {
	case o.material.Pinned == nil:
		x.fix = "something between this machine and WeChat Pay may change requests or drop headers: check proxies and gateways"
	case e.says("序列号", "serial", "公钥id"):
		x.fix = fmt.Sprintf("platform.public_key_id %s is not one that WeChat Pay has for this merchant: %s", o.material.PinnedSerial, again)
	default:
		x.fix = fmt.Sprintf("platform.public_key may not be the key of %s: %s", o.material.PinnedSerial, again)
	}
	return x
}

func (e *exchange) says(words ...string) bool {
	text := strings.ToLower(e.message)
	for _, w := range words {
		if strings.Contains(text, w) {
			return true
		}
	}
	return false
}
