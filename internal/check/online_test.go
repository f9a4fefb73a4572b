package check_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wxproxy/wxproxy/internal/secret"
)

// unpinned leaves only the certificates.
func unpinned(s *setup) { s.shop().PublicKey, s.shop().PublicKeyID = secret.Ref{}, "" }

// pinnedOnly leaves only the public key, which then signs as well.
func pinnedOnly(s *setup) {
	s.shop().Certificates = false
	s.wechat.signer, s.wechat.signerID = made().public, pubKeyID
}

// both makes one change of several.
func both(changes ...func(*setup)) func(*setup) {
	return func(s *setup) {
		for _, change := range changes {
			change(s)
		}
	}
}

func answers(status int, code, message string) func(*setup) {
	return func(s *setup) { s.wechat.before = answering(status, code, message) }
}

// serialOnly is a merchant without its certificate.
func serialOnly(s *setup) {
	s.shop().Certificate, s.shop().SerialNo = secret.Ref{}, serial(made().shop)
}

func TestRefusedByWeChatPay(t *testing.T) {
	t.Parallel()
	const line = "Platform keys/shop certificates"
	withHTML := func(s *setup) {
		s.wechat.before = func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(http.StatusBadGateway)
			_, _ = w.Write([]byte("<html>"))
			return true
		}
	}
	each(t, []broken{
		{"wrong signature, no certificate", both(unpinned, serialOnly, func(s *setup) { s.write("key.pem", made().other.pkcs8()) }),
			line, false, "401 SIGN_ERROR", "private_key is hardly the key"},
		{"wrong serial, no certificate", both(unpinned, serialOnly, answers(401, "SIGN_ERROR", "商户证书序列号有误")),
			line, false, "商户证书序列号有误", "serial_no " + serial(made().shop)},
		{"certificate not in use", both(unpinned, answers(401, "SIGN_ERROR", "商户证书序列号有误")),
			line, false, "401 SIGN_ERROR", "not revoked"},
		{"wrong mchid", both(unpinned, answers(401, "SIGN_ERROR", "商户号错误")), line, false, "401", "check mchid"},
		{"timestamp", both(unpinned, answers(401, "SIGN_ERROR", "Http头Authorization值中的时间戳与发起请求的时间超过5分钟")), line, false, "401", "clock"},
		{"no authority", both(unpinned, answers(403, "NO_AUTH", "商户无权限")), line, false, "403 NO_AUTH", "permission"},
		{"rate", both(unpinned, answers(429, "FREQUENCY_LIMITED", "频率超限")), line, false, "429", "in a minute"},
		{"trouble", both(unpinned, answers(500, "SYSTEM_ERROR", "系统错误")), line, false, "Request-ID 08DEADBEEF-0", "try again"},
		{"bad request", both(unpinned, answers(400, "PARAM_ERROR", "header")), line, false, "400 PARAM_ERROR", "gateways"},
		{"something else", both(unpinned, answers(404, "NOT_FOUND", "")), line, false, "404 NOT_FOUND", "message"},
		{"gateway", both(unpinned, withHTML), line, false, "502", "portal"},
		{"no certificates and no public key", both(unpinned, func(s *setup) { s.wechat.certificates = false }),
			line, false, "no platform certificates", "pub_key.pem"},
		{"public key ID of another", both(pinnedOnly, func(s *setup) { s.shop().PublicKeyID += "9" }),
			"Platform keys/shop echo", false, "400 PARAM_ERROR", "public_key_id " + pubKeyID + "9 is not one"},
		{"public key of another", both(pinnedOnly, func(s *setup) { s.write("pub.pem", made().platform.public()) }),
			"Platform keys/shop echo", false, "400 PARAM_ERROR", "may not be the key of " + pubKeyID},
	}, true)
}

func TestAnswersNotToBelieve(t *testing.T) {
	t.Parallel()
	const line = "Platform keys/shop certificates"
	spoiled := func(spoil func(http.Header, []byte) []byte) func(*setup) {
		return func(s *setup) { s.wechat.spoil = spoil }
	}
	setHeader := func(name, value string) func(*setup) {
		return spoiled(func(h http.Header, b []byte) []byte {
			h.Set(name, value)
			return b
		})
	}
	k := made()
	each(t, []broken{
		{"wrong APIv3 key", both(unpinned, func(s *setup) { s.wechat.sealKey = otherKey }), line, false, "does not open with apiv3_key", mchid},
		{"body changed", both(unpinned, spoiled(func(_ http.Header, b []byte) []byte { return append(b, ' ') })), line, false, serial(k.platform), "changes the answer"},
		{"headers stripped", both(unpinned, spoiled(func(h http.Header, b []byte) []byte {
			for name := range h {
				if strings.HasPrefix(name, "Wechatpay-") {
					delete(h, name)
				}
			}
			return b
		})), line, false, "no signature headers", "Wechatpay-*"},
		{"one header stripped", both(unpinned, spoiled(func(h http.Header, b []byte) []byte {
			h.Del("Wechatpay-Nonce")
			return b
		})), line, false, "Wechatpay-Nonce is missing", "Wechatpay-*"},
		{"stale", both(unpinned, func(s *setup) {
			s.wechat.before = func(http.ResponseWriter, *http.Request) bool {
				s.wechat.clock = func() time.Time { return time.Now().Add(-10 * time.Minute) }
				return false
			}
			s.server.Config.Handler = plain(0)
		}), line, false, "5 minutes", "clock"},
		{"signed with a public key that is not configured", both(unpinned, setHeader("Wechatpay-Serial", pubKeyID)), line, false, pubKeyID, "set platform.public_key"},
		{"signed with an unknown certificate", both(unpinned, setHeader("Wechatpay-Serial", serial(k.other))), line, false, serial(k.platform) + " (listed in the answer)", "from WeChat Pay?"},
		{"unreadable serial", both(unpinned, setHeader("Wechatpay-Serial", "\x1b[31mfake")), line, false, "malformed", "Wechatpay-*"},
		{"signed with another public key", both(pinnedOnly, setHeader("Wechatpay-Serial", pubKeyID+"9")), "Platform keys/shop echo", false, pubKeyID + "9", "download pub_key.pem again"},
		{"still signed with a certificate", both(pinnedOnly, setHeader("Wechatpay-Serial", serial(k.platform))), "Platform keys/shop echo", false, serial(k.platform), "certificates: auto"},
		{"echo forged", both(pinnedOnly, spoiled(func(_ http.Header, b []byte) []byte { return append(b, ' ') })), "Platform keys/shop echo", false, "does not fit its bytes", "hardly the key"},
		{"always a probe", both(unpinned, setHeader("Wechatpay-Signature", "WECHATPAY/SIGNTEST/abc")), line, true, "probe", "try again"},
		{"encrypted for another certificate", both(pinnedOnly, func(s *setup) { s.wechat.encryptFor = k.other }), "Platform keys/shop decrypt", false, "does not open", "one pair"},
	}, true)
}

func TestNoAnswer(t *testing.T) {
	t.Parallel()
	each(t, []broken{
		{"timeout", both(unpinned, func(s *setup) { s.wechat.fail = fmt.Errorf("no answer: %w", context.DeadlineExceeded) }),
			"Platform keys/shop certificates", false, "no answer within 10s", "Network"},
		{"unreachable", both(pinnedOnly, func(s *setup) { s.wechat.fail = fmt.Errorf("no route") }),
			"Platform keys/shop echo", false, "no route", "Network"},
	}, true)
}

// TestPassingProbe: one probe says nothing.
func TestPassingProbe(t *testing.T) {
	t.Parallel()
	s := newSetup(t)
	s.online()
	var calls atomic.Int32
	s.wechat.spoil = func(h http.Header, b []byte) []byte {
		if calls.Add(1)%2 == 1 {
			h.Set("Wechatpay-Signature", "WECHATPAY/SIGNTEST/abc")
		}
		return b
	}
	if r := s.run(); !r.OK || strings.Contains(text(t, r), "!") {
		t.Errorf("not fine:\n%s", text(t, r))
	}
}

// TestPublicKeyOnly: a merchant without certificates is a good one.
func TestPublicKeyOnly(t *testing.T) {
	t.Parallel()
	s := newSetup(t)
	s.online()
	s.wechat.certificates = false
	s.wechat.signer, s.wechat.signerID = made().public, pubKeyID
	r := s.run()
	if !r.OK || !strings.Contains(find(t, r, "Platform keys/shop certificates").Detail, "used alone") {
		t.Errorf("got:\n%s", text(t, r))
	}
}

// TestMeasuredClockExplains: what is measured beats what WeChat Pay says.
func TestMeasuredClockExplains(t *testing.T) {
	t.Parallel()
	s := newSetup(t)
	s.online()
	unpinned(s)
	s.wechat.clock = func() time.Time { return time.Now().Add(7 * time.Minute) }
	s.wechat.before = answering(401, "SIGN_ERROR", "签名错误")
	if c := find(t, s.run(), "Platform keys/shop certificates"); c.OK || !strings.Contains(c.Fix, "behind") {
		t.Errorf("got %+v", c)
	}
}

// TestNotTriedWithoutKeys: WeChat Pay is not called with broken material.
func TestNotTriedWithoutKeys(t *testing.T) {
	t.Parallel()
	s := newSetup(t)
	s.online()
	s.write("key.pem", made().other.pkcs8())
	s.wechat.before = func(http.ResponseWriter, *http.Request) bool {
		t.Error("called")
		return false
	}
	if c := find(t, s.run(), "Platform keys/shop online"); !c.Warn || !strings.Contains(c.Fix, "merchant shop") {
		t.Errorf("got %+v", c)
	}
}

// TestOutsideTextIsTamed: an error text can neither forge lines nor fill the
// screen.
func TestOutsideTextIsTamed(t *testing.T) {
	t.Parallel()
	s := newSetup(t)
	s.online()
	unpinned(s)
	s.wechat.before = answering(403, "NO_AUTH", "\x1b[2J\n  ✓ all fine"+strings.Repeat("长", 200))
	out := text(t, s.run())
	if strings.ContainsAny(out, "\x1b") || strings.Contains(out, "\n  ✓ all fine") || strings.Count(out, "长") > 64 {
		t.Errorf("got:\n%s", out)
	}
}

// TestHugeAnswer is cut off.
func TestHugeAnswer(t *testing.T) {
	t.Parallel()
	s := newSetup(t)
	s.online()
	unpinned(s)
	s.wechat.before = func(w http.ResponseWriter, _ *http.Request) bool {
		_, _ = w.Write(bytes.Repeat([]byte("x"), 2<<20))
		return true
	}
	if c := find(t, s.run(), "Platform keys/shop certificates"); c.OK || !strings.Contains(c.Detail, "longer") {
		t.Errorf("got %+v", c)
	}
}

// TestEchoOfSomethingElse: verified, and not an answer to what was asked.
func TestEchoOfSomethingElse(t *testing.T) {
	t.Parallel()
	s := newSetup(t)
	s.online()
	pinnedOnly(s)
	s.wechat.before = func(w http.ResponseWriter, _ *http.Request) bool {
		s.wechat.answer(w, map[string]string{"echo_message": "hello"})
		return true
	}
	if c := find(t, s.run(), "Platform keys/shop echo"); c.OK || !strings.Contains(c.Detail, "does not repeat") {
		t.Errorf("got %+v", c)
	}
}

// TestExpiryExplains: an expired certificate is why a signature is refused.
func TestExpiryExplains(t *testing.T) {
	t.Parallel()
	s := newSetup(t)
	s.online()
	unpinned(s)
	over := certify(made().shop.key, mchid, 1, time.Now().Add(-time.Hour))
	s.write("cert.pem", block("CERTIFICATE", over.Raw))
	s.wechat.before = answering(401, "SIGN_ERROR", "签名错误")
	if c := find(t, s.run(), "Platform keys/shop certificates"); c.OK || !strings.Contains(c.Fix, "expired at") {
		t.Errorf("got %+v", c)
	}
}

// TestEchoWithoutCertificates: what follows from a fault above is not told as
// a fault of its own.
func TestEchoWithoutCertificates(t *testing.T) {
	t.Parallel()
	s := newSetup(t)
	s.online()
	s.wechat.sealKey = otherKey
	r := s.run()
	if c := find(t, r, "Platform keys/shop certificates"); c.OK {
		t.Errorf("got %+v", c)
	}
	if c := find(t, r, "Platform keys/shop echo"); !c.Warn || !strings.Contains(c.Fix, "shop certificates first") {
		t.Errorf("got %+v", c)
	}
}
