package wire_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/wxproxy/wxproxy/internal/wire"
)

const goodAuthorization = `WECHATPAY2-SHA256-RSA2048 mchid="1900007291",nonce_str="593BEC0C",signature="jnks4dlr+/==",timestamp="1554208460",serial_no="408B07E7"`

func TestParseAuthorization(t *testing.T) {
	t.Parallel()
	want := wire.Authorization{
		Scheme: wire.SchemeRSA, ID: "1900007291", Nonce: "593BEC0C",
		Signature: "jnks4dlr+/==", Timestamp: "1554208460", Serial: "408B07E7",
	}
	for name, s := range map[string]string{
		"as we write it":     goodAuthorization,
		"as the SDK orders":  `WECHATPAY2-SHA256-RSA2048 mchid="1900007291",nonce_str="593BEC0C",timestamp="1554208460",serial_no="408B07E7",signature="jnks4dlr+/=="`,
		"space after commas": strings.ReplaceAll(goodAuthorization, ",", ", "),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got, err := wire.ParseAuthorization(s); err != nil || got != want {
				t.Errorf("got %+v, %v, want %+v", got, err, want)
			}
		})
	}
}

func TestParseAuthorizationRefuses(t *testing.T) {
	t.Parallel()
	replace := func(old, to string) string { return strings.Replace(goodAuthorization, old, to, 1) }
	rows := map[string]string{
		"empty":                   "",
		"scheme only":             "WECHATPAY2-SHA256-RSA2048",
		"scheme and a space":      "WECHATPAY2-SHA256-RSA2048 ",
		"another scheme":          replace("WECHATPAY2-SHA256-RSA2048", "Bearer"),
		"scheme in lower case":    strings.ToLower(goodAuthorization),
		"scheme with line feed":   replace("RSA2048 ", "RSA2048\n "),
		"scheme not ASCII":        replace("RSA2048 ", "RSÄ2048 "),
		"space before the scheme": " " + goodAuthorization,
		"brand":                   replace(`mchid=`, `brand_id=`),
		"field unknown":           goodAuthorization + `,x="y"`,
		"field repeated":          goodAuthorization + `,mchid="1900007291"`,
		"comma at the end":        goodAuthorization + ",",
		"space at the end":        goodAuthorization + " ",
		"single quotes":           strings.ReplaceAll(goodAuthorization, `"`, `'`),
		"no quotes":               strings.ReplaceAll(goodAuthorization, `"`, ``),
		"one quote":               replace(`"1900007291"`, `"`),
		"empty value":             replace(`"1900007291"`, `""`),
		"space in a value":        replace(`1900007291`, `1900 7291`),
		"quote in a value":        replace(`1900007291`, `1900"7291`),
		"comma in a value":        replace(`1900007291`, `1900,7291`),
		"line feed in a value":    replace(`1900007291`, "1900\n7291"),
		"not ASCII in a value":    replace(`1900007291`, "1900\xff7291"),
		"name in upper case":      replace(`mchid`, `MCHID`),
		"semicolons":              strings.ReplaceAll(goodAuthorization, `,`, `;`),
		"too long":                replace(`jnks4dlr`, strings.Repeat("A", 4096)),
	}
	for _, field := range []string{"mchid", "nonce_str", "signature", "timestamp", "serial_no"} {
		fields := strings.Split(strings.TrimPrefix(goodAuthorization, wire.SchemeRSA+" "), ",")
		var kept []string
		for _, f := range fields {
			if !strings.HasPrefix(f, field+"=") {
				kept = append(kept, f)
			}
		}
		rows[field+" missing"] = wire.SchemeRSA + " " + strings.Join(kept, ",")
	}
	for name, s := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := wire.ParseAuthorization(s)
			if !errors.Is(err, wire.ErrAuthorization) || got != (wire.Authorization{}) {
				t.Fatalf("got %+v, %v, want ErrAuthorization", got, err)
			}
			if strings.Contains(err.Error(), "jnks4dlr") || strings.Contains(err.Error(), "593BEC0C") {
				t.Errorf("the error repeats the header: %v", err)
			}
		})
	}
}

// Brands sign with a scheme of their own, which names them otherwise. The header
// is the one of WeChat Pay's documents, doc/brand/4015597833.
func TestAuthorizationOfBrands(t *testing.T) {
	t.Parallel()
	const header = `WECHATPAY-BRAND-SHA256-RSA2048 brand_id="123456789",nonce_str="593BEC0C930BF1AFEB40B4A08C8FB242",signature="gZGk==",timestamp="1554208460",serial_no="1DDE55AD98ED71D6EDD4A4A16996DE7B47773A8C"`
	got, err := wire.ParseAuthorization(header)
	if err != nil || got.Scheme != wire.SchemeBrand || got.ID != "123456789" || got.String() != header {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, mixed := range []string{
		strings.Replace(header, "brand_id", "mchid", 1),
		strings.Replace(header, wire.SchemeBrand, wire.SchemeRSA, 1),
	} {
		if _, err := wire.ParseAuthorization(mixed); !errors.Is(err, wire.ErrAuthorization) {
			t.Errorf("%s: %v", mixed, err)
		}
	}
}

// The path alone decides which scheme a call wants.
func TestSchemeOf(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/v3/certificates": wire.SchemeRSA, "/hk/v3/certificates": wire.SchemeRSA, "/brand/x": wire.SchemeBrand,
		"/v3/brand/profitsharing/orders": wire.SchemeRSA, "/Brand/x": wire.SchemeRSA, "/brand": wire.SchemeRSA,
	} {
		if got := wire.SchemeOf(path); got != want {
			t.Errorf("%s wants %s, got %s", path, want, got)
		}
	}
}
