package wire_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/wxproxy/wxproxy/internal/wire"
)

const (
	stampSerial    = "5157F09EFDC096DE15EBE81A47057A7232F1B8E1"
	stampSignature = "AAAA"
)

// stampHeaders is an http.Header as the server would make it, changed.
func stampHeaders(change func(http.Header)) http.Header {
	h := http.Header{}
	h.Set("Wechatpay-Timestamp", "1554208460")
	h.Set("Wechatpay-Nonce", "593BEC0C930BF1AFEB40B4A08C8FB242")
	h.Set("Wechatpay-Signature", stampSignature)
	h.Set("Wechatpay-Serial", stampSerial)
	h.Set("Wechatpay-Signature-Type", "WECHATPAY2-SHA256-RSA2048")
	if change != nil {
		change(h)
	}
	return h
}

func set(name, value string) func(http.Header) {
	return func(h http.Header) { h[name] = []string{value} }
}

func TestParseStamp(t *testing.T) {
	t.Parallel()
	want := wire.Stamp{
		Timestamp: "1554208460", Unix: 1554208460, Nonce: "593BEC0C930BF1AFEB40B4A08C8FB242",
		Serial: stampSerial, Signature: stampSignature, Type: wire.SchemeRSA,
	}
	got, err := wire.ParseStamp(stampHeaders(nil))
	if err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	for name, change := range map[string]func(http.Header){
		"no signature type":    func(h http.Header) { h.Del("Wechatpay-Signature-Type") },
		"type of brands":       set("Wechatpay-Signature-Type", "WECHATPAY-BRAND-SHA256-RSA2048"),
		"public key ID":        set("Wechatpay-Serial", "PUB_KEY_ID_0119000000012024101500123456"),
		"lower case serial":    set("Wechatpay-Serial", strings.ToLower(stampSerial)),
		"longest nonce":        set("Wechatpay-Nonce", strings.Repeat("n", 128)),
		"probe of odd length":  set("Wechatpay-Signature", "WECHATPAY/SIGNTEST/abc"),
		"an unrelated header":  set("Request-Id", "08A1-0"),
		"longest of signature": set("Wechatpay-Signature", strings.Repeat("A", 2048)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := wire.ParseStamp(stampHeaders(change)); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestParseStampRefuses(t *testing.T) {
	t.Parallel()
	rows := map[string]func(http.Header){
		"timestamp signed":           set("Wechatpay-Timestamp", "+1554208460"),
		"timestamp negative":         set("Wechatpay-Timestamp", "-1"),
		"timestamp with zero before": set("Wechatpay-Timestamp", "01554208460"),
		"timestamp hexadecimal":      set("Wechatpay-Timestamp", "0x5CA35E8C"),
		"timestamp of 13 digits":     set("Wechatpay-Timestamp", "1554208460000"),
		"timestamp with a fraction":  set("Wechatpay-Timestamp", "1554208460.0"),
		"timestamp in other digits":  set("Wechatpay-Timestamp", "１５５４２０８４６０"),
		"nonce too long":             set("Wechatpay-Nonce", strings.Repeat("n", 129)),
		"nonce not ASCII":            set("Wechatpay-Nonce", "näh"),
		"signature too long":         set("Wechatpay-Signature", strings.Repeat("A", 2049)),
		"serial too long":            set("Wechatpay-Serial", strings.Repeat("A", 65)),
		"serial not hexadecimal":     set("Wechatpay-Serial", "5157F09G"),
		"serial not ASCII":           set("Wechatpay-Serial", "5157F09\xff"),
		"key ID in lower case":       set("Wechatpay-Serial", "pub_key_id_01"),
		"key ID without number":      set("Wechatpay-Serial", "PUB_KEY_ID_"),
		"key ID with a slash":        set("Wechatpay-Serial", "PUB_KEY_ID_../x"),
		"type SM2":                   set("Wechatpay-Signature-Type", "WECHATPAY2-SM2-WITH-SM3"),
		"type empty":                 set("Wechatpay-Signature-Type", ""),
		"type doubled": func(h http.Header) {
			h.Add("Wechatpay-Signature-Type", "WECHATPAY2-SHA256-RSA2048")
		},
	}
	for _, name := range []string{"Wechatpay-Timestamp", "Wechatpay-Nonce", "Wechatpay-Signature", "Wechatpay-Serial"} {
		rows[name+" missing"] = func(h http.Header) { h.Del(name) }
		rows[name+" without a value"] = func(h http.Header) { h[name] = nil }
		rows[name+" empty"] = set(name, "")
		rows[name+" doubled"] = func(h http.Header) { h.Add(name, h.Get(name)) }
		rows[name+" of two kinds"] = func(h http.Header) { h.Add(name, "1") }
		for what, c := range map[string]string{"space": " ", "tab": "\t", "line feed": "\n", "NUL": "\x00", "DEL": "\x7f"} {
			rows[name+" with "+what+" after"] = func(h http.Header) { h.Set(name, h.Get(name)+c) }
			rows[name+" with "+what+" before"] = func(h http.Header) { h.Set(name, c+h.Get(name)) }
			rows[name+" with "+what+" inside"] = func(h http.Header) { h.Set(name, h.Get(name)[:2]+c+h.Get(name)[2:]) }
		}
	}
	for name, change := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := wire.ParseStamp(stampHeaders(change))
			if !errors.Is(err, wire.ErrHeaders) || got != (wire.Stamp{}) {
				t.Errorf("got %+v, %v, want ErrHeaders", got, err)
			}
		})
	}
}

func TestParseStampUnsigned(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]http.Header{
		"nil":       nil,
		"none":      {"Content-Type": {"text/html"}},
		"type only": {"Wechatpay-Signature-Type": {"WECHATPAY2-SHA256-RSA2048"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := wire.ParseStamp(h); !errors.Is(err, wire.ErrUnsigned) {
				t.Errorf("got %v, want ErrUnsigned", err)
			}
		})
	}
}

func TestStampFresh(t *testing.T) {
	t.Parallel()
	const now = 1554208460
	for skew, want := range map[int64]bool{
		0: true, 1: true, -1: true, 299: true, -299: true,
		300: false, -300: false, 301: false, -301: false, -now: false, 999999999999 - now: false,
	} {
		s := wire.Stamp{Unix: now + skew}
		if got := s.Fresh(now); got != want || s.Skew(now) != skew {
			t.Errorf("skew %d (%d): got %v, want %v", skew, s.Skew(now), got, want)
		}
	}
}

func TestStampProbe(t *testing.T) {
	t.Parallel()
	for signature, want := range map[string]bool{
		"WECHATPAY/SIGNTEST/":     true,
		"WECHATPAY/SIGNTEST/abcd": true,
		"WECHATPAY/SIGNTES":       false,
		"wechatpay/signtest/abcd": false,
		"AWECHATPAY/SIGNTEST/":    false,
		"":                        false,
	} {
		if got := (wire.Stamp{Signature: signature}).Probe(); got != want {
			t.Errorf("%q: got %v, want %v", signature, got, want)
		}
	}
}

// A stamp fits those whose scheme it names; one that names none fits all. What
// this build cannot verify has an error of its own.
func TestStampType(t *testing.T) {
	t.Parallel()
	for kind, fits := range map[string][2]bool{
		"":                               {true, true},
		"WECHATPAY2-SHA256-RSA2048":      {true, false},
		"WECHATPAY-BRAND-SHA256-RSA2048": {false, true},
	} {
		s, err := wire.ParseStamp(stampHeaders(func(h http.Header) {
			h.Del("Wechatpay-Signature-Type")
			if kind != "" {
				h.Set("Wechatpay-Signature-Type", kind)
			}
		}))
		if err != nil || s.Type != kind || s.Fits(wire.SchemeRSA) != fits[0] || s.Fits(wire.SchemeBrand) != fits[1] {
			t.Errorf("%s: got %+v, %v", kind, s, err)
		}
	}
	_, err := wire.ParseStamp(stampHeaders(set("Wechatpay-Signature-Type", "WECHATPAY2-SM2-WITH-SM3")))
	if !errors.Is(err, wire.ErrSignatureType) || !strings.Contains(err.Error(), "WECHATPAY2-SM2-WITH-SM3") {
		t.Errorf("got %v, want ErrSignatureType with the type", err)
	}
}
