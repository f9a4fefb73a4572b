package proxy_test

import (
	"strings"
	"testing"

	"github.com/wxproxy/wxproxy/proxy"
)

func TestPattern(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		pattern, method, path string
		want                  bool
	}{
		{"GET /v3/x", "GET", "/v3/x", true},
		{"GET /v3/x", "POST", "/v3/x", false},
		{"GET /v3/x", "get", "/v3/x", false},
		{"GET /v3/x", "HEAD", "/v3/x", false},
		{"GET /v3/x", "GET", "/v3/X", false},
		{"GET /v3/x", "GET", "/v3/x/", false},
		{"GET /v3/x", "GET", "/v3/xy", false},
		{"GET /v3/x", "GET", "/v3", false},
		{"GET /v3/x", "GET", "/v3/%78", false},
		{"GET /v3/x/", "GET", "/v3/x/", true},
		{"GET /v3/x/", "GET", "/v3/x", false},
		{"* /v3/x", "DELETE", "/v3/x", true},

		{"GET /v3/*/y", "GET", "/v3/x/y", true},
		{"GET /v3/*/y", "GET", "/v3//y", false},
		{"GET /v3/*/y", "GET", "/v3/x/x/y", false},
		{"GET /v3/*/y", "GET", "/v3/x", false},
		{"GET /v3/*", "GET", "/v3/x", true},
		{"GET /v3/*", "GET", "/v3/", false},
		{"GET /v3/*", "GET", "/v3", false},
		{"GET /v3/*", "GET", "/v3/x/", false},
		{"GET /v3/*", "GET", "/v3/x/y", false},

		{"GET /v3/**", "GET", "/v3/x", true},
		{"GET /v3/**", "GET", "/v3/x/y/z", true},
		{"GET /v3/x/**", "GET", "/v3/x/y/", true},
		{"GET /v3/x/**", "GET", "/v3/x/", false},
		{"GET /v3/x/**", "GET", "/v3/x", false}, // the rest is not nothing
		{"GET /v3/x/**", "GET", "/v3/xy/z", false},
		{"GET /v3/*/**", "GET", "/v3/x/y", true},
		{"GET /v3/*/**", "GET", "/v3/x", false},
		{"* /**", "PUT", "/hk/v3/x", true},
	} {
		p, err := proxy.ParsePattern(test.pattern)
		if err != nil {
			t.Errorf("%q: %v", test.pattern, err)
			continue
		}
		if got := p.Matches(test.method, test.path); got != test.want {
			t.Errorf("%q matches %s %s: %v, want %v", test.pattern, test.method, test.path, got, test.want)
		}
	}
}

func TestPatternRefused(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"", "GET", "GET ", " /v3/x", "GET v3/x", "GET  /v3/x", "GET /v3/a b", "GET /v3/x?y", "GET /v3/x#y",
		"GET /v3/**/x", "GET /v3/a*", "GET /v3/*a", "GET /v3/***", "GET /**/",
	} {
		if _, err := proxy.ParsePattern(s); err == nil {
			t.Errorf("%q accepted", s)
		}
	}
}

// What matches a pattern without stars is the pattern's own path; a star never
// crosses a slash, and nothing panics.
func FuzzPattern(f *testing.F) {
	f.Add("GET /v3/*/y", "GET", "/v3/x/y")
	f.Add("* /v3/**", "POST", "/v3/a//b/")
	f.Add("GET /", "GET", "")
	f.Fuzz(func(t *testing.T, pattern, method, path string) {
		p, err := proxy.ParsePattern(pattern)
		if err != nil {
			return
		}
		_, want, _ := strings.Cut(pattern, " ")
		got := p.Matches(method, path)
		if !strings.Contains(want, "*") && strings.HasPrefix(path, "/") && got && path != want {
			t.Fatalf("%q matches %q", pattern, path)
		}
		if got && !strings.HasSuffix(want, "**") && strings.HasPrefix(path, "/") && strings.Count(path, "/") != strings.Count(want, "/") {
			t.Fatalf("%q matches %q: a star crossed a slash", pattern, path)
		}
	})
}
