package signer_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/wxproxy/wxproxy/internal/wire"
	"github.com/wxproxy/wxproxy/signer"
)

func TestAuthorization(t *testing.T) {
	t.Parallel()
	s := newSigner(t)
	for name, tt := range map[string]struct{ method, target, body string }{
		"GET":    {"GET", "/v3/certificates", ""},
		"query":  {"GET", "/v3/bill/tradebill?bill_date=2026-01-02", ""},
		"POST":   {"POST", "/v3/pay/transactions/jsapi", `{"mchid":"1900007291"}`},
		"binary": {"POST", "/v3/a", "\x00\xff\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			header, err := s.Authorization(tt.method, tt.target, []byte(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			a := parse(t, header)
			want := wire.Authorization{
				Scheme: "WECHATPAY2-SHA256-RSA2048", ID: mchID, Serial: serial,
				Timestamp: "1554208460", Nonce: a.Nonce, Signature: a.Signature,
			}
			if a != want || len(a.Nonce) < 26 || len(a.Nonce) > 32 {
				t.Errorf("got %+v, want %+v", a, want)
			}
			message := tt.method + "\n" + tt.target + "\n1554208460\n" + a.Nonce + "\n" + tt.body + "\n"
			if !holds(t, s, a.Signature, []byte(message)) {
				t.Error("the signature does not hold")
			}
		})
	}
}

func TestAuthorizationIsNewEachTime(t *testing.T) {
	t.Parallel()
	s, seen := newSigner(t), map[string]bool{}
	for range 20 {
		header, err := s.Authorization("GET", "/v3/certificates", nil)
		if err != nil {
			t.Fatal(err)
		}
		a := parse(t, header)
		if seen[a.Nonce] || seen[a.Signature] {
			t.Fatalf("nonce %s or its signature came twice", a.Nonce)
		}
		seen[a.Nonce], seen[a.Signature] = true, true
	}
}

// TestAuthorizationRefuses: method and target are one line each of the message,
// whoever asks.
func TestAuthorizationRefuses(t *testing.T) {
	t.Parallel()
	s := newSigner(t)
	for name, tt := range map[string]struct{ method, target string }{
		"no method":                 {"", "/v3/a"},
		"method of two lines":       {"GET\n/v3/b", "/v3/a"},
		"method with a space":       {"GET ", "/v3/a"},
		"no target":                 {"GET", ""},
		"star":                      {"OPTIONS", "*"},
		"absolute target":           {"GET", "https://api.mch.weixin.qq.com/v3/a"},
		"target of two lines":       {"GET", "/v3/a\n1554208460"},
		"target with CR":            {"GET", "/v3/a\r"},
		"target with a space":       {"GET", "/v3/a b"},
		"target that is not ASCII":  {"GET", "/v3/中"},
		"target with NUL":           {"GET", "/v3/a\x00"},
		"target without a slash":    {"GET", "v3/a"},
		"query alone":               {"GET", "?a=b"},
		"target with LF at the end": {"GET", "/v3/a\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got, err := s.Authorization(tt.method, tt.target, nil); !errors.Is(err, signer.ErrSigning) || got != "" {
				t.Errorf("got %q, %v, want ErrSigning", got, err)
			}
		})
	}
}

// TestAnswerAuthorization: three lines, and the first is a number, which no
// request message begins with.
func TestAnswerAuthorization(t *testing.T) {
	t.Parallel()
	s := newSigner(t)
	body := "POST\n/v3/pay/transactions/jsapi\n"
	header, err := s.AnswerAuthorization(t.Context(), []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	a := parse(t, header)
	if a.ID != mchID || a.Serial != serial || a.Timestamp != "1554208460" {
		t.Errorf("got %+v", a)
	}
	if !holds(t, s, a.Signature, []byte("1554208460\n"+a.Nonce+"\n"+body+"\n")) {
		t.Error("the signature does not hold")
	}
}

// brokenKey is a key that lives elsewhere and cannot be reached.
type brokenKey struct{ crypto.PublicKey }

var errUnreachable = errors.New("transit: connection refused")

func (k brokenKey) Public() crypto.PublicKey { return k.PublicKey }

func (brokenKey) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errUnreachable
}

func TestKeyThatDoesNotSign(t *testing.T) {
	t.Parallel()
	s, err := signer.New(signer.Credential{
		ID: mchID, Serial: serial, Key: brokenKey{vectors.PrivateKey(t, keyFile).Public()},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, authorizationErr := s.Authorization("GET", "/v3/a", nil)
	_, answerErr := s.AnswerAuthorization(t.Context(), nil)
	_, signErr := s.Sign(t.Context(), "x")
	for name, err := range map[string]error{"Authorization": authorizationErr, "AnswerAuthorization": answerErr, "Sign": signErr} {
		if !errors.Is(err, signer.ErrSigning) || !errors.Is(err, errUnreachable) {
			t.Errorf("%s: got %v, want ErrSigning and its cause", name, err)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := signer.Credential{ID: mchID, Serial: serial, Key: vectors.PrivateKey(t, keyFile)}
	if _, err := signer.New(good, time.Now); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		change func(*signer.Credential)
		want   string
	}{
		"no key":                   {func(c *signer.Credential) { c.Key = nil }, "no key"},
		"small key":                {func(c *signer.Credential) { c.Key = small }, "1024 bits"},
		"EC key":                   {func(c *signer.Credential) { c.Key = curve }, "not RSA"},
		"no merchant":              {func(c *signer.Credential) { c.ID = "" }, "mchid"},
		"merchant closes quotes":   {func(c *signer.Credential) { c.ID = `1",mchid="2` }, "mchid"},
		"merchant with line feed":  {func(c *signer.Credential) { c.ID = "1900007291\n" }, "mchid"},
		"merchant too long":        {func(c *signer.Credential) { c.ID = strings.Repeat("1", 33) }, "mchid"},
		"no serial":                {func(c *signer.Credential) { c.Serial = "" }, "serial"},
		"serial with colons":       {func(c *signer.Credential) { c.Serial = "40:8B" }, "serial"},
		"serial closes quotes":     {func(c *signer.Credential) { c.Serial = `4",mchid="2` }, "serial"},
		"serial in decimal":        {func(c *signer.Credential) { c.Serial = "368466253421457634263462346234623462346234623462" }, "decimal"},
		"ID of WeChat Pay's key":   {func(c *signer.Credential) { c.Serial = "PUB_KEY_ID_01" }, "public key"},
		"serial longer than RFC's": {func(c *signer.Credential) { c.Serial = strings.Repeat("A", 41) }, "serial"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := good
			tt.change(&c)
			s, err := signer.New(c, nil)
			if s != nil || err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, %v, want an error with %q", s, err, tt.want)
			}
			if strings.Contains(tt.want, "serial") && !errors.Is(err, signer.ErrSerial) {
				t.Errorf("got %v, want ErrSerial", err)
			}
		})
	}
}

func TestSerialGoesOutInUpperCase(t *testing.T) {
	t.Parallel()
	s := newSignerFor(t, keyFile, mchID, strings.ToLower(serial))
	header, err := s.Authorization("GET", "/v3/a", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := parse(t, header).Serial; got != serial || s.Serial() != serial || s.ID() != mchID {
		t.Errorf("got %s, %s of %s", got, s.Serial(), s.ID())
	}
}

// A brand's signature covers the same message; the scheme and the name of its
// number differ. The answer of a notify is signed likewise.
func TestBrand(t *testing.T) {
	t.Parallel()
	key := vectors.PrivateKey(t, keyFile)
	s, err := signer.New(signer.Credential{Scheme: signer.SchemeBrand, ID: "123456789", Serial: serial, Key: key}, at1554208460)
	if err != nil {
		t.Fatal(err)
	}
	header, err := s.Authorization("POST", "/brand/x", []byte("{}"))
	if err != nil || !strings.HasPrefix(header, `WECHATPAY-BRAND-SHA256-RSA2048 brand_id="123456789",nonce_str="`) {
		t.Fatalf("got %s, %v", header, err)
	}
	a := parse(t, header)
	if !holds(t, s, a.Signature, []byte("POST\n/brand/x\n1554208460\n"+a.Nonce+"\n{}\n")) {
		t.Error("the signature does not hold")
	}
	if _, err := signer.New(signer.Credential{Scheme: "WECHATPAY2-SM2-WITH-SM3", ID: "1", Serial: serial, Key: key}, nil); err == nil {
		t.Error("took a scheme that it cannot sign for")
	}
}
