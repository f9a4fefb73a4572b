package proxy_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/wxproxy/wxproxy/proxy"
	"github.com/wxproxy/wxproxy/signer"
)

// changing gives a merchant another private key from change on, that does not
// open what the first one opens.
func changing(t *testing.T, m *proxy.Merchant, change *atomic.Bool) {
	t.Helper()
	s, err := signer.New(signer.Credential{ID: mchID, Serial: otherSerial, Key: keys().other}, nil)
	if err != nil {
		t.Fatal(err)
	}
	before := m.PrivateKey()
	m.PrivateKey = func() proxy.PrivateKey {
		if change.Load() {
			return proxy.PrivateKey{Signer: s, Decrypters: []crypto.Decrypter{keys().other}}
		}
		return before
	}
}

// The key that signed a call opens its answer, whatever key came meanwhile; a
// repeat is signed with that one, and opened with it.
func TestKeyChangesInFlight(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		status []int
		serial string // of the last attempt
	}{
		"while it is answered":   {[]int{200}, merchantSerial},
		"before it is repeated":  {[]int{503, 200}, otherSerial},
		"and then stays as such": {[]int{503, 500, 200}, otherSerial},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var changed atomic.Bool
			var calls atomic.Int64
			w := newWechat(t, func(rw http.ResponseWriter, r *http.Request) {
				changed.Store(true)
				status := row.status[calls.Add(1)-1]
				c, err := parseCredential(r.Header)
				if err != nil {
					t.Error(err)
				}
				to := &keys().merchant.PublicKey
				if c.Serial == otherSerial {
					to = &keys().other.PublicKey
				}
				answer{status: status, bare: status != 200, body: `{ "payer_phone" : "` + sealAlone(t, to, "13800138000") + `" }`}.serve(rw, r)
			})
			r := newRig(t, w, func(s *setup) { changing(t, s.Merchants[0], &changed) })
			g := r.do("GET", complaint, "")
			g.passed(t, 200, "true")
			if g.body != `{ "payer_phone" : "13800138000" }` || g.header.Get("Wxproxy-Sensitive") != "decrypted" {
				t.Errorf("got %s with Wxproxy-Sensitive %q", g.body, g.header.Get("Wxproxy-Sensitive"))
			}
			seen := w.seen()
			if c, err := parseCredential(seen[len(seen)-1].Header); err != nil || c.Serial != row.serial {
				t.Errorf("the last attempt is signed by %s, %v; want %s", c.Serial, err, row.serial)
			}
		})
	}
}

// A call that waits for its rate is signed with the key of the time when it
// leaves: before, no key is asked for.
func TestKeyIsTakenAfterTheWait(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	r := newRig(t, newWechat(t, nil), func(s *setup) {
		s.Rate = proxy.Rate{PerSecond: 0.01, Burst: 1}
		take := s.Merchants[0].PrivateKey
		s.Merchants[0].PrivateKey = func() proxy.PrivateKey { asked.Add(1); return take() }
	})
	r.do("GET", complaint, "").passed(t, 200, "true")
	before := asked.Load()
	r.do("GET", complaint, "").refused(t, http.StatusTooManyRequests, proxy.ReasonRateLimited)
	if asked.Load() != before {
		t.Error("the key was taken before the wait")
	}
}

// A repeat while no key is loaded goes on with the key of the call.
func TestKeyGoneInFlight(t *testing.T) {
	t.Parallel()
	var gone atomic.Bool
	w := newWechat(t, func(rw http.ResponseWriter, r *http.Request) {
		if !gone.Swap(true) {
			answer{status: 503, bare: true}.serve(rw, r)
			return
		}
		answer{body: `{"payer_phone":"` + sealAlone(t, &keys().merchant.PublicKey, "13800138000") + `"}`}.serve(rw, r)
	})
	r := newRig(t, w, func(s *setup) {
		take := s.Merchants[0].PrivateKey
		s.Merchants[0].PrivateKey = func() proxy.PrivateKey {
			if gone.Load() {
				return proxy.PrivateKey{}
			}
			return take()
		}
	})
	if g := r.do("GET", complaint, ""); g.body != `{"payer_phone":"13800138000"}` {
		t.Errorf("got %d %s", g.status, g.body)
	}
}

// What WeChat Pay encrypted for the certificate of before opens while its key
// is kept, also when the new key has another size.
func TestKeyOfBeforeOpens(t *testing.T) {
	t.Parallel()
	larger, err := rsa.GenerateKey(rand.Reader, 3072)
	if err != nil {
		t.Fatal(err)
	}
	for name, now := range map[string]*rsa.PrivateKey{"same size": keys().other, "another size": larger} {
		kept := func(m *proxy.Merchant) { decryptsWith(m, now, keys().merchant) }
		value := func(plain string) string { return `"` + sealAlone(t, &keys().merchant.PublicKey, plain) + `"` }
		fresh := sealAlone(t, &now.PublicKey, "13800138000")

		t.Run("answer, "+name, func(t *testing.T) {
			t.Parallel()
			w := newWechat(t, answer{body: `{"data":[{"payer_phone":` + value("x") + `},{"payer_phone":"` + fresh + `"}]}`}.serve)
			g := newRig(t, w, func(s *setup) { kept(s.Merchants[0]) }).do("GET", "/v3/merchant-service/complaints-v2?limit=2", "")
			if g.body != `{"data":[{"payer_phone":"x"},{"payer_phone":"13800138000"}]}` || g.header.Get("Wxproxy-Sensitive") != "decrypted" {
				t.Errorf("got %s with %q", g.body, g.header.Get("Wxproxy-Sensitive"))
			}
		})
		t.Run("notify, "+name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t, nil)
			g := newGate(t, a, bodyForm(proxy.BodyResource), func(o *proxy.NotifyOptions) { kept(o.Merchants[0]) })
			g.post(notice{event: userCard, plain: cardText(value)}).acknowledged(t)
			if d := a.only(t); d.Body != cardText(plainValue) || d.Header.Get("Wxproxy-Sensitive") != "decrypted" {
				t.Errorf("got %s with %q", d.Body, d.Header.Get("Wxproxy-Sensitive"))
			}
		})
		t.Run("bill, "+name, func(t *testing.T) {
			t.Parallel()
			b := sealedBill{}.billing(t)
			link := targetOf(t, linkOf(t, newRig(t, b.wechat).do("GET", subMerchantBill+aesGCM, "", "Wxproxy-Decrypt", "on")))
			if g := newRig(t, b.wechat, func(s *setup) { kept(s.Merchants[0]) }).do("GET", link, ""); g.status != 200 || g.body != "hello" {
				t.Errorf("got %d %s", g.status, g.body)
			}
		})
		t.Run("local, "+name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, newWechat(t, nil), withDecrypt, func(s *setup) { kept(s.Merchants[0]) })
			g := r.do("POST", local("decrypt"), `{"values":[`+value("x")+`,"`+fresh+`"]}`, "Wxproxy-Token", "token")
			if strings.TrimSpace(g.body) != `{"values":["x","13800138000"]}` {
				t.Errorf("got %d %s", g.status, g.body)
			}
		})
	}
}
