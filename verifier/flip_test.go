package verifier_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wechatpay-apiv3/wechatpay-go/core/auth/validators"
	"github.com/wechatpay-apiv3/wechatpay-go/core/auth/verifiers"

	"github.com/wxproxy/wxproxy/verifier"
)

// row flips one thing of a genuine message.
type row struct {
	change func(t *testing.T, m *message)
	want   error
	sdk    bool // the official SDK accepts it, though we do not
}

const base64Digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

// flipChar changes the lowest bit of a character, in the sense of base64.
func flipChar(s string, i int) string {
	return s[:i] + string(base64Digits[strings.IndexByte(base64Digits, s[i])^1]) + s[i+1:]
}

func setHeader(name string, value func(string) string) func(*testing.T, *message) {
	return func(_ *testing.T, m *message) { m.header.Set(name, value(m.header.Get(name))) }
}

func to(value string) func(string) string { return func(string) string { return value } }

func flipRows() map[string]row {
	signature := func(f func(string) string) func(*testing.T, *message) { return setHeader("Wechatpay-Signature", f) }
	rows := map[string]row{
		"first byte of the body":      {func(_ *testing.T, m *message) { m.body = "[" + m.body[1:] }, verifier.ErrSignature, false},
		"last byte of the body":       {func(_ *testing.T, m *message) { m.body = m.body[:len(m.body)-1] + "]" }, verifier.ErrSignature, false},
		"body shorter":                {func(_ *testing.T, m *message) { m.body = m.body[:len(m.body)-1] }, verifier.ErrSignature, false},
		"body empty":                  {func(_ *testing.T, m *message) { m.body = "" }, verifier.ErrSignature, false},
		"body with line feed":         {func(_ *testing.T, m *message) { m.body += "\n" }, verifier.ErrSignature, false},
		"body with space":             {func(_ *testing.T, m *message) { m.body = strings.Replace(m.body, ":", ": ", 1) }, verifier.ErrSignature, false},
		"timestamp one second":        {setHeader("Wechatpay-Timestamp", to("1554208461")), verifier.ErrSignature, false},
		"nonce":                       {setHeader("Wechatpay-Nonce", func(s string) string { return flipChar(s, 0) }), verifier.ErrSignature, false},
		"nonce in lower case":         {setHeader("Wechatpay-Nonce", strings.ToLower), verifier.ErrSignature, false},
		"nonce into the body":         {func(_ *testing.T, m *message) { m.body = nonce + "\n" + m.body }, verifier.ErrSignature, false},
		"signature, first character":  {signature(func(s string) string { return flipChar(s, 0) }), verifier.ErrSignature, false},
		"signature, middle":           {signature(func(s string) string { return flipChar(s, 170) }), verifier.ErrSignature, false},
		"signature, stray bits":       {signature(func(s string) string { return flipChar(s, len(s)-3) }), verifier.ErrSignature, true},
		"signature without padding":   {signature(func(s string) string { return strings.TrimRight(s, "=") }), verifier.ErrSignature, false},
		"signature in URL's alphabet": {signature(strings.NewReplacer("+", "-", "/", "_").Replace), verifier.ErrSignature, false},
		"signature cut":               {signature(func(s string) string { return s[4:] }), verifier.ErrSignature, false},
		"signature of one character":  {signature(to("A")), verifier.ErrSignature, false},
		"signature of zeros":          {signature(to(strings.Repeat("A", 342) + "==")), verifier.ErrSignature, false},
		"signature twice in one":      {signature(func(s string) string { return s + s }), verifier.ErrSignature, false},
		"signature with space after":  {signature(func(s string) string { return s + " " }), verifier.ErrHeaders, true},
		"signature with space before": {signature(func(s string) string { return " " + s }), verifier.ErrHeaders, true},
		"signature with a line feed":  {signature(func(s string) string { return s[:76] + "\n" + s[76:] }), verifier.ErrHeaders, true},
		"signature folded":            {signature(func(s string) string { return s[:76] + "\r\n " + s[76:] }), verifier.ErrHeaders, false},
		"signature of another key": {func(t *testing.T, m *message) {
			m.header.Set("Wechatpay-Signature", sign(t, vectors.PrivateKey(t, otherFile), "1554208460", nonce, body))
		}, verifier.ErrSignature, false},
		"signature of a request": {func(t *testing.T, m *message) {
			m.header.Set("Wechatpay-Signature", sign(t, vectors.PrivateKey(t, keyFile), "POST\n/v3/a\n1554208460", nonce, body))
		}, verifier.ErrSignature, false},
		"serial of another key":         {setHeader("Wechatpay-Serial", to("5157F09EFD")), verifier.ErrSignature, false},
		"serial unknown":                {setHeader("Wechatpay-Serial", to("5157F09EFE")), verifier.ErrSerialUnknown, false},
		"key ID unknown":                {setHeader("Wechatpay-Serial", func(s string) string { return s[:len(s)-1] + "7" }), verifier.ErrSerialUnknown, false},
		"key ID in lower case":          {setHeader("Wechatpay-Serial", strings.ToLower), verifier.ErrHeaders, false},
		"key ID without prefix":         {setHeader("Wechatpay-Serial", func(s string) string { return strings.TrimPrefix(s, "PUB_KEY_ID_") }), verifier.ErrSerialUnknown, false},
		"key ID with space":             {setHeader("Wechatpay-Serial", func(s string) string { return s + " " }), verifier.ErrHeaders, true},
		"serial with control character": {setHeader("Wechatpay-Serial", func(s string) string { return s + "\x00" }), verifier.ErrHeaders, false},
		"type of SM2":                   {setHeader("Wechatpay-Signature-Type", to("WECHATPAY2-SM2-WITH-SM3")), verifier.ErrHeaders, true},
		"type of brands":                {setHeader("Wechatpay-Signature-Type", to("WECHATPAY-BRAND-SHA256-RSA2048")), verifier.ErrHeaders, true},
		"type in lower case":            {setHeader("Wechatpay-Signature-Type", strings.ToLower), verifier.ErrHeaders, true},
		"type empty":                    {setHeader("Wechatpay-Signature-Type", to("")), verifier.ErrHeaders, true},
		"probe":                         {signature(func(s string) string { return "WECHATPAY/SIGNTEST/" + s }), verifier.ErrProbe, false},
		"probe of a good length":        {signature(to("WECHATPAY/SIGNTEST/A")), verifier.ErrProbe, false},
		"probe of an odd length":        {signature(to("WECHATPAY/SIGNTEST/ABCDE")), verifier.ErrProbe, false},
		"probe alone":                   {signature(to("WECHATPAY/SIGNTEST/")), verifier.ErrProbe, false},
		"probe of 344 characters":       {signature(func(s string) string { return "WECHATPAY/SIGNTEST/" + s[19:] }), verifier.ErrProbe, false},
		"probe in lower case":           {signature(func(s string) string { return "wechatpay/signtest/" + s[19:] }), verifier.ErrSignature, false},
		"probe with an unknown serial": {func(_ *testing.T, m *message) {
			m.header.Set("Wechatpay-Signature", "WECHATPAY/SIGNTEST/ABCDE")
			m.header.Set("Wechatpay-Serial", "0123456789")
		}, verifier.ErrProbe, false},
		"no headers": {func(_ *testing.T, m *message) { m.header = http.Header{"Request-Id": {"08-0"}} }, verifier.ErrUnsigned, false},
	}
	for _, name := range []string{"Wechatpay-Timestamp", "Wechatpay-Nonce", "Wechatpay-Signature", "Wechatpay-Serial"} {
		add := func(value func(string) string) func(*testing.T, *message) {
			return func(_ *testing.T, m *message) { m.header.Add(name, value(m.header.Get(name))) }
		}
		rows[name+" missing"] = row{func(_ *testing.T, m *message) { m.header.Del(name) }, verifier.ErrHeaders, false}
		rows[name+" empty"] = row{setHeader(name, to("")), verifier.ErrHeaders, false}
		rows[name+" blank"] = row{setHeader(name, to(" ")), verifier.ErrHeaders, false}
		rows[name+" doubled"] = row{add(func(s string) string { return s }), verifier.ErrHeaders, true}
		rows[name+" with another after it"] = row{add(to("1")), verifier.ErrHeaders, true}
		rows[name+" joined by a comma"] = row{setHeader(name, func(s string) string { return s + ", " + s }), verifier.ErrHeaders, false}
	}
	return rows
}

// TestFlipOneThing: the SDK column says which refusals go beyond the official
// SDK's; what the SDK refuses we must refuse.
func TestFlipOneThing(t *testing.T) {
	t.Parallel()
	for name, tt := range flipRows() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, now := newMessage(t, signedAt, body), time.Unix(signedAt, 0)
			if err := verify(t.Context(), newKeys(t), m, now); err != nil {
				t.Fatalf("before the flip: %v", err)
			}
			if !sdkAccepts(t, m, now) {
				t.Fatal("the official SDK refuses it before the flip")
			}
			tt.change(t, m)
			if err := verify(t.Context(), newKeys(t), m, now); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if got := sdkAccepts(t, m, now); got != tt.sdk {
				t.Errorf("the official SDK accepts: %v, want %v", got, tt.sdk)
			}
		})
	}
}

// TestWindow: one second decides, in both directions, for us as for the SDK.
func TestWindow(t *testing.T) {
	t.Parallel()
	now := time.Unix(signedAt, 999_999_999)
	for offset, want := range map[int64]error{
		0: nil, 299: nil, -299: nil,
		300: verifier.ErrStale, -300: verifier.ErrStale, 301: verifier.ErrStale, -301: verifier.ErrStale,
		-signedAt + 1: verifier.ErrStale, 900_000_000_000: verifier.ErrStale,
	} {
		m := newMessage(t, signedAt+offset, body)
		err := verify(t.Context(), newKeys(t), m, now)
		if !errors.Is(err, want) {
			t.Errorf("%d seconds: got %v, want %v", offset, err, want)
		}
		if got := sdkAccepts(t, m, now); got != (want == nil) {
			t.Errorf("%d seconds: the official SDK accepts: %v", offset, got)
		}
	}
}

func TestStaleTellsTheSkew(t *testing.T) {
	t.Parallel()
	stamp, err := verifier.Stamp(newMessage(t, signedAt-301, body).header, time.Unix(signedAt, 0))
	if !errors.Is(err, verifier.ErrStale) || !strings.Contains(err.Error(), "-301 seconds") || stamp.Serial != serial {
		t.Errorf("got %+v, %v", stamp, err)
	}
}

// sdkAccepts asks the official SDK's validator of answers and that of notifies,
// which must agree, at the given time.
func sdkAccepts(t *testing.T, m *message, now time.Time) (accepts bool) {
	t.Helper()
	ok := t.Run("sdk", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(time.Until(now)) // the bubble's clock: the SDK knows no other
			v := sdkVerifier{newKeys(t)}
			answer := validators.NewWechatPayResponseValidator(v).Validate(t.Context(), m.response())
			notify := validators.NewWechatPayNotifyValidator(v).Validate(t.Context(), m.request(t))
			accepts = answer == nil
			if accepts != (notify == nil) {
				t.Errorf("the SDK takes an answer (%v) otherwise than a notify (%v)", answer, notify)
			}
		})
	})
	return ok && accepts
}

// sdkVerifier gives the official SDK several keys, each in its own verifier.
type sdkVerifier struct{ *keys }

func (v sdkVerifier) Verify(ctx context.Context, serial, message, signature string) error {
	key, err := v.Lookup(ctx, serial)
	if err != nil {
		return err
	}
	return verifiers.NewSHA256WithRSAPubkeyVerifier(serial, *key).Verify(ctx, serial, message, signature)
}

func (sdkVerifier) GetSerial(context.Context) (string, error) { return serial, nil }
