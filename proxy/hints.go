package proxy

import (
	"bytes"
	"fmt"
	"mime"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/wxproxy/wxproxy/internal/endpoint"
	"github.com/wxproxy/wxproxy/internal/jsonedit"
)

// Hints says what is done with a body in which there is what WeChat Pay is
// known to answer with PARAM_ERROR. The zero value is off.
type Hints string

// What to do.
const (
	HintsOff    Hints = ""
	HintsWarn   Hints = "warn"   // tell the app and the log, and send it
	HintsRefuse Hints = "refuse" // answer 400, where the table knows the call
)

// hint is one such thing: a code of a closed list, and where it stands.
type hint struct{ code, pointer string }

// hintTexts are the codes with what they mean. A notify URL elsewhere is no
// error to WeChat Pay; it only may be one of the shop.
var hintTexts = map[string]string{
	"body_not_json":      "the body is not JSON",
	"content_type":       "the Content-Type is not application/json",
	"null":               "is null: leave the member out",
	"four_byte_utf8":     "has a character of four bytes in UTF-8, such as an emoji",
	"missing":            "is missing",
	"amount_not_integer": "is not a whole number of fen",
	"notify_url_query":   "has a query",
	hintForeign:          "does not lead to a route of the merchant under notify.public_url",
}

const (
	hintForeign = "notify_url_foreign"
	maxHints    = 8
)

// giveHints looks for what WeChat Pay would refuse. It never changes anything,
// and refuses only where that is configured and the table knows the call.
func (o *Outbound) giveHints(x *exchange, d *draft) *failure {
	if o.hints == HintsOff || len(d.body) == 0 {
		return nil
	}
	media, _, _ := mime.ParseMediaType(d.header.Get("Content-Type")) // what cannot be read is no media type
	if strings.HasPrefix(media, "multipart/") {
		return nil
	}
	var list []hint
	if media != "application/json" {
		list = append(list, hint{code: "content_type"})
	}
	if isJSON(d.body) {
		list = append(list, bodyHints(x.endpoint.Body, d.body, o.ourURLs[x.merchant.Name])...)
		list = append(list, oddValues(d.body)...)
	} else {
		list = append(list, hint{code: "body_not_json"})
	}
	if len(list) > maxHints {
		list = list[:maxHints]
	}
	x.hints = hintHeader(list)
	i := slices.IndexFunc(list, func(h hint) bool { return h.code != hintForeign })
	if o.hints == HintsWarn || i < 0 || x.endpoint.Body == nil {
		return nil
	}
	h := list[i]
	what := strings.TrimSpace(outside(h.pointer) + " " + hintTexts[h.code])
	return fail(ReasonBadParameter, "%s, which WeChat Pay refuses; outbound.hints: warn would send it nevertheless", what).
		with("field", outside(h.pointer)).with("issue", h.code).with("location", "body")
}

// isJSON is as lenient as those who read bodies here.
func isJSON(body []byte) bool {
	return jsontext.Value(body).IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

var wholeNumber = regexp.MustCompile(`^-?[0-9]+$`)

// bodyHints are those that the table knows of the call. The body is JSON.
func bodyHints(b *endpoint.Body, body []byte, ours []string) (list []hint) {
	if b == nil {
		return nil
	}
	list = missing(list, b.Required[""], body, "")
	objects, err := b.Objects.Find(body)
	if err != nil {
		return list
	}
	for _, m := range objects {
		list = missing(list, b.Required[m.Path], m.Raw, m.Pointer)
	}
	amounts, err := b.Amounts.Find(body)
	if err != nil {
		return list
	}
	for _, m := range amounts {
		if m.Kind() != 'n' && !wholeNumber.Match(m.Raw) { // null has a hint of its own
			list = append(list, hint{"amount_not_integer", m.Pointer})
		}
	}
	topLevel(body, func(name string, raw []byte) {
		if text, ok := jsonedit.Unquote(raw); ok && name == b.Notify {
			list = append(list, notifyHints(text, ours, "/"+name)...)
		}
	})
	return list
}

func missing(list []hint, required []string, object []byte, at string) []hint {
	if len(required) == 0 || jsontext.Value(object).Kind() != jsontext.KindBeginObject {
		return list
	}
	there := make(map[string]bool)
	topLevel(object, func(name string, _ []byte) { there[name] = true })
	for _, name := range required {
		if !there[name] {
			list = append(list, hint{"missing", at + "/" + name})
		}
	}
	return list
}

func notifyHints(text string, ours []string, at string) (list []hint) {
	if u, err := url.Parse(text); err == nil && (u.RawQuery != "" || u.ForceQuery) {
		list = append(list, hint{"notify_url_query", at})
	}
	if len(ours) > 0 && !slices.Contains(ours, plainURL(text)) {
		list = append(list, hint{hintForeign, at})
	}
	return list
}

// plainURL writes a URL so that those that lead to the same handler are equal:
// without query, with port, the host in lower case. Empty is none.
func plainURL(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.User != nil || u.Opaque != "" {
		return ""
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	return u.Scheme + "://" + net.JoinHostPort(strings.ToLower(u.Hostname()), port) + u.EscapedPath()
}

func plainURLs(byAlias map[string][]string) map[string][]string {
	plain := make(map[string][]string, len(byAlias))
	for alias, urls := range byAlias {
		for _, u := range urls {
			plain[alias] = append(plain[alias], plainURL(u))
		}
	}
	return plain
}

// oddValues finds nulls and characters of four bytes, wherever they stand. Most
// bodies have neither, which one look at their bytes tells.
func oddValues(body []byte) (list []hint) {
	odd := bytes.Contains(body, []byte("null")) || bytes.Contains(body, []byte(`\u`)) ||
		slices.ContainsFunc(body, func(c byte) bool { return c >= 0xf0 })
	if !odd {
		return nil
	}
	d := jsontext.NewDecoder(bytes.NewBuffer(body), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	for len(list) < maxHints {
		token, err := d.ReadToken()
		if err != nil {
			return list
		}
		switch token.Kind() {
		case jsontext.KindNull:
			list = append(list, hint{"null", string(d.StackPointer())})
		case jsontext.KindString:
			if strings.ContainsFunc(token.String(), func(r rune) bool { return r > 0xffff }) {
				list = append(list, hint{"four_byte_utf8", string(d.StackPointer())})
			}
		default:
		}
	}
	return list
}

var notInHint = regexp.MustCompile(`[^0-9A-Za-z_./~-]`)

// hintHeader writes codes and pointers, of which the app chose the latter.
func hintHeader(list []hint) string {
	texts := make([]string, 0, len(list))
	for _, h := range list {
		pointer := notInHint.ReplaceAllString(h.pointer, "?")
		if len(pointer) > maxOutside {
			pointer = pointer[:maxOutside]
		}
		texts = append(texts, strings.TrimSpace(fmt.Sprint(h.code, " ", pointer)))
	}
	return strings.Join(texts, ", ")
}
