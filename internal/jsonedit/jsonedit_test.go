package jsonedit_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/wxproxy/wxproxy/internal/jsonedit"
)

func compile(t testing.TB, paths ...string) *jsonedit.Paths {
	t.Helper()
	p, err := jsonedit.Compile(paths...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestFind(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		text  string
		paths []string
		want  string // pointer=raw, joined by blanks
	}{
		"member":             {`{"a":1,"b":"x"}`, []string{"b"}, `/b="x"`},
		"nested":             {`{"a":{"b":{"c":2}}}`, []string{"a.b.c"}, `/a/b/c=2`},
		"elements":           {`{"r":[{"n":"x"},{"m":1},{"n":"y"}]}`, []string{"r[].n"}, `/r/0/n="x" /r/2/n="y"`},
		"elements as values": {`{"v":["x","y"]}`, []string{"v[]"}, `/v/0="x" /v/1="y"`},
		"arrays of arrays":   {`{"v":[["x"],["y"]]}`, []string{"v[][]"}, `/v/0/0="x" /v/1/0="y"`},
		"twice":              {`{"a":1,"a":2}`, []string{"a"}, `/a=1 /a=2`},
		"another shape":      {`{"a":[{"b":1}]}`, []string{"a.b"}, ``},
		"escaped name":       {`{"\u0061":1,"x/y":2}`, []string{"a", "x/y"}, `/a=1 /x~1y=2`},
		"deep":               {`{"a":{"n":1},"l":[{"n":"z"}],"n":true}`, []string{"**.n"}, `/a/n=1 /l/0/n="z" /n=true`},
		"deep and plain":     {`{"a":{"n":1,"m":2}}`, []string{"**.n", "a.m"}, `/a/n=1 /a/m=2`},
		"whole values":       {`{"a": {"b" : [1, 2.50] } }`, []string{"a"}, `/a={"b" : [1, 2.50] }`},
		"white space":        {" {\n\"a\" :\t1e2 , \"b\":null}\r\n", []string{"a", "b"}, `/a=1e2 /b=null`},
		"not an object":      {`[1]`, []string{"a"}, ``},
	} {
		matches, err := compile(t, test.paths...).Find([]byte(test.text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var got []string
		for _, m := range matches {
			if test.text[m.Start:m.End] != string(m.Raw) {
				t.Errorf("%s: %q is not what stands at %d", name, m.Raw, m.Start)
			}
			got = append(got, m.Pointer+"="+string(m.Raw))
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%s: got %s, want %s", name, got, test.want)
		}
	}
}

func TestFindRefusesWhatIsNotJSON(t *testing.T) {
	t.Parallel()
	p := compile(t, "a.b", "l[].c")
	for _, text := range []string{
		``, ` `, `{`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,}`, `{"a":1}}`, `{"a":1} x`, `{"l":[`, `{"l":[{"c":1}`, `{"l":[1,]}`, `{a:1}`, `{"a":01}`, `nul`, `{"a":{"b":"`,
	} {
		if _, err := p.Find([]byte(text)); !errors.Is(err, jsonedit.ErrSyntax) {
			t.Errorf("%q: got %v", text, err)
		}
	}
}

func TestCompileRefuses(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"", ".", "a.", ".a", "a..b", "[]", "a[]b", "a[0]", "**", "**.", "**.a.b", "a.*", "*"} {
		if _, err := jsonedit.Compile(path); !errors.Is(err, jsonedit.ErrPath) {
			t.Errorf("%q: got %v", path, err)
		}
	}
}

func TestApply(t *testing.T) {
	t.Parallel()
	text := []byte(`{"a":1, "b":[true]}`)
	for want, edits := range map[string][]jsonedit.Edit{
		`{"a":1, "b":[true]}`:  nil,
		`{"a":22, "b":[null]}`: {{13, 17, []byte("null")}, {5, 6, []byte("22")}},
		`{"a":1}`:              {{6, 18, nil}},
	} {
		if got := jsonedit.Apply(text, edits); string(got) != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestMember(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{}`:          `{"u":"a&b"}`,
		"{ \n}":       "{\"u\":\"a&b\" \n}",
		` {"x":1 }`:   ` {"u":"a&b","x":1 }`,
		`[{}]`:        "",
		`"{"`:         "",
		``:            "",
		"\t{\"x\":{}": "\t{\"u\":\"a&b\",\"x\":{}", // Find is who checks the syntax
	} {
		e, ok := jsonedit.Member(jsonedit.Match{Raw: []byte(text)}, "u", "a&b")
		got := ""
		if ok {
			got = string(jsonedit.Apply([]byte(text), []jsonedit.Edit{e}))
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func FuzzFind(f *testing.F) {
	for _, seed := range []string{
		`{"a":{"b":"x"},"l":[{"c":1},{"c":"y"}],"n":{"d":null}}`, `[]`, `{"a":1}{`, "{\"\\u0061\":{\"b\":\"\xff\"}}", `{"l":[[{"d":1}]],"l":[{"c":{}}]}`,
	} {
		f.Add([]byte(seed))
	}
	p := compile(f, "a.b", "l[].c", "**.d")
	f.Fuzz(func(t *testing.T, text []byte) {
		matches, err := p.Find(text)
		if (err == nil) != json.Valid(text) {
			t.Fatalf("%q: got %v, encoding/json says valid=%v", text, err, json.Valid(text))
		}
		var edits []jsonedit.Edit
		rest, at := "", 0
		for _, m := range matches {
			edits = append(edits, jsonedit.Edit{Start: m.Start, End: m.End, New: []byte(`"REPLACED"`)})
			rest += string(text[at:m.Start]) + `"REPLACED"`
			at = m.End
		}
		edited := jsonedit.Apply(text, edits)
		if err == nil && (!json.Valid(edited) || string(edited) != rest+string(text[at:])) {
			t.Fatalf("%q became %q", text, edited)
		}
	})
}

func TestQuote(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"": `""`, "a\"\\\n": `"a\"\\\n"`, "张三": `"张三"`, "a&b<>": `"a&b<>"`, "\x00": `"\u0000"`, "\xff": `"` + "\ufffd" + `"`} {
		if got := jsonedit.Quote(text); string(got) != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}

func TestUnquote(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{`"a"`: "a", `"\u5f20\/\n"`: "张/\n", `""`: ""} {
		if got, ok := jsonedit.Unquote([]byte(raw)); !ok || got != want {
			t.Errorf("%s: got %q, %v", raw, got, ok)
		}
	}
	for _, raw := range []string{``, `1`, `null`, `"a`, `{"a":1}`, `"\x"`} {
		if got, ok := jsonedit.Unquote([]byte(raw)); ok {
			t.Errorf("%s: got %q", raw, got)
		}
	}
}

func TestStrings(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		`"x"`:                              `/v="x"`,
		`1`:                                ``,
		`null`:                             ``,
		`[]`:                               ``,
		`["x",1,"y\n"]`:                    `/v/0="x" /v/2="y\n"`,
		`{"a":"x","b":{"c":["y"],"d":{}}}`: `/v/a="x" /v/b/c/0="y"`,
		`[ [ "x" ], { "a" : true } ]`:      `/v/0/0="x"`,
	} {
		text := []byte(`{ "v" : ` + value + ` }`)
		found, err := compile(t, "v").Find(text)
		if err != nil || len(found) != 1 {
			t.Fatalf("%s: %v, %v", text, found, err)
		}
		var got []string
		for _, m := range jsonedit.Strings(found[0]) {
			if string(text[m.Start:m.End]) != string(m.Raw) || m.Path != "v" {
				t.Errorf("%s: %q is not what stands at %d", text, m.Raw, m.Start)
			}
			got = append(got, m.Pointer+"="+string(m.Raw))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
}
