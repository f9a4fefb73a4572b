package wire

import (
	"errors"
	"fmt"
	"strings"
)

// ErrAuthorization: an Authorization header does not have APIv3's form.
var ErrAuthorization = errors.New("not an APIv3 authorization")

// maxAuthorization bounds what ParseAuthorization looks at; a genuine header
// has about 600 bytes.
const maxAuthorization = 4096

// Authorization is the credential of one request.
type Authorization struct {
	Scheme    string // SchemeRSA or SchemeBrand
	ID        string // of who signs: mchid or brand_id, as IDName says
	Nonce     string
	Signature string // standard base64
	Timestamp string // Unix seconds
	Serial    string // of the signer's API certificate
}

// String writes the header value: one space after the scheme, fields quoted
// and separated by commas.
func (a Authorization) String() string {
	return a.Scheme + ` ` + IDName(a.Scheme) + `="` + a.ID + `",nonce_str="` + a.Nonce + `",signature="` + a.Signature +
		`",timestamp="` + a.Timestamp + `",serial_no="` + a.Serial + `"`
}

// ParseAuthorization reads a header value. The fields may stand in any order,
// each exactly once and not empty; unknown fields are refused. The error never
// repeats the value.
func ParseAuthorization(s string) (Authorization, error) {
	if len(s) > maxAuthorization {
		return Authorization{}, fmt.Errorf("%w: longer than %d bytes", ErrAuthorization, maxAuthorization)
	}
	scheme, rest, ok := strings.Cut(s, " ")
	if !ok || !strings.HasPrefix(scheme, "WECHATPAY") || strings.IndexFunc(scheme, notSchemeChar) >= 0 {
		return Authorization{}, fmt.Errorf("%w: no WECHATPAY scheme", ErrAuthorization)
	}
	a := Authorization{Scheme: scheme}
	fields := map[string]*string{
		IDName(scheme): &a.ID, "nonce_str": &a.Nonce, "signature": &a.Signature,
		"timestamp": &a.Timestamp, "serial_no": &a.Serial,
	}
	for part := range strings.SplitSeq(rest, ",") {
		name, value, err := authorizationField(part)
		if err != nil {
			return Authorization{}, err
		}
		to := fields[name]
		if to == nil {
			return Authorization{}, fmt.Errorf("%w: unknown or repeated field", ErrAuthorization)
		}
		*to = value
		delete(fields, name)
	}
	if len(fields) != 0 {
		return Authorization{}, fmt.Errorf("%w: %d fields missing", ErrAuthorization, len(fields))
	}
	return a, nil
}

func authorizationField(part string) (name, value string, err error) {
	name, quoted, ok := strings.Cut(strings.TrimLeft(part, " "), "=")
	if !ok || len(quoted) < 3 || quoted[0] != '"' || quoted[len(quoted)-1] != '"' {
		return "", "", fmt.Errorf("%w: a field is not name=\"value\"", ErrAuthorization)
	}
	value = quoted[1 : len(quoted)-1]
	for i := range len(value) {
		if c := value[i]; c <= ' ' || c >= 0x7f || c == '"' {
			return "", "", fmt.Errorf("%w: a field has a character that cannot stand there", ErrAuthorization)
		}
	}
	return name, value, nil
}

func notSchemeChar(r rune) bool { return r != '-' && notAlphanumeric(r) }
