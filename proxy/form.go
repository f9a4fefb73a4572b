package proxy

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/wxproxy/wxproxy/internal/jsonedit"
)

// param is one member of a local endpoint's JSON body. Texts have a strict
// pattern: what is signed is made of them.
type param struct {
	name     string
	pattern  *regexp.Regexp // nil: any text
	optional bool
	list     []param // of objects with these members; nil: a text
	texts    bool    // a list of texts
	most     int     // items of a list, which has at least one
}

// form is a body that was read: the texts by name, and the items of the one
// list that a body may have. The items of a list of texts have no names.
type form struct {
	texts map[string]string
	items []map[string]string
}

// readForm reads a body whose members are params and no others. Names that
// stand twice, invalid UTF-8 and lone surrogates are refused: two readers could
// take the body for two different ones.
func readForm(body []byte, params []param) (form, *failure) {
	f := form{}
	if !jsontext.Value(body).IsValid() || jsontext.Value(body).Kind() != jsontext.KindBeginObject {
		return f, fail(ReasonBadParameter, "the body is not a JSON object in UTF-8 in which each name stands once")
	}
	var wrong *failure
	f.texts, wrong = readMembers(body, "", params, func(p param, raw []byte) (wrong *failure) {
		f.items, wrong = readItems(raw, "/"+p.name, p)
		return wrong
	})
	return f, wrong
}

// readMembers reads the texts of one object; list reads a member that is one.
func readMembers(object []byte, at string, params []param, list func(param, []byte) *failure) (map[string]string, *failure) {
	texts, seen := make(map[string]string), make(map[string]bool)
	var wrong *failure
	topLevel(object, func(name string, raw []byte) {
		if wrong != nil {
			return
		}
		p, known := paramNamed(params, name)
		seen[name] = true
		switch {
		case !known:
			wrong = badParameter(at+"/"+pointerEscape(outside(name)), "is not a member of this body; it has "+names(params))
		case p.list != nil || p.texts:
			wrong = list(p, raw)
		default:
			texts[name], wrong = readText(raw, at+"/"+name, p)
		}
	})
	for _, p := range params {
		if wrong == nil && !p.optional && !seen[p.name] {
			wrong = badParameter(at+"/"+p.name, "is missing")
		}
	}
	return texts, wrong
}

func readText(raw []byte, at string, p param) (string, *failure) {
	text, ok := jsonedit.Unquote(raw)
	switch {
	case !ok:
		return "", badParameter(at, "is not a text in quotes")
	case p.pattern != nil && !p.pattern.MatchString(text):
		return "", badParameter(at, fmt.Sprintf("does not have the form %s", p.pattern))
	}
	return text, nil
}

// readItems reads a list. The text is well-formed, so the decoder cannot fail.
func readItems(raw []byte, at string, p param) (items []map[string]string, wrong *failure) {
	if jsontext.Value(raw).Kind() != jsontext.KindBeginArray {
		return nil, badParameter(at, "is not a list")
	}
	paths, err := jsonedit.Compile("list[]")
	if err != nil {
		return nil, fail(ReasonInternal, "the list could not be read").because(err)
	}
	found, err := paths.Find(append(append([]byte(`{"list":`), raw...), '}'))
	if err != nil || len(found) == 0 || len(found) > p.most {
		return nil, badParameter(at, fmt.Sprintf("has %d items, not 1 to %d", len(found), p.most))
	}
	for i, item := range found {
		where := fmt.Sprintf("%s/%d", at, i)
		members := map[string]string{}
		switch {
		case p.texts:
			members[""], wrong = readText(item.Raw, where, p)
		case item.Kind() != '{':
			wrong = badParameter(where, "is not an object")
		default:
			members, wrong = readMembers(item.Raw, where, p.list, nil)
		}
		if wrong != nil {
			return nil, wrong
		}
		items = append(items, members)
	}
	return items, nil
}

func paramNamed(params []param, name string) (param, bool) {
	for _, p := range params {
		if p.name == name {
			return p, true
		}
	}
	return param{}, false
}

func names(params []param) string {
	list := make([]string, 0, len(params))
	for _, p := range params {
		list = append(list, p.name)
	}
	return strings.Join(list, ", ")
}

// badParameter names the member as WeChat Pay's own errors do.
func badParameter(pointer, problem string) *failure {
	return fail(ReasonBadParameter, "%s %s", pointer, problem).with("field", pointer).with("location", "body")
}

func pointerEscape(name string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}
