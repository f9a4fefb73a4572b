package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTablesAreCurrent(t *testing.T) {
	t.Chdir("..")
	if err := run(true); err != nil {
		t.Error(err)
	}
}

func TestMakeEndpointsRefuses(t *testing.T) {
	t.Parallel()
	const (
		pathsHeader      = "method\tpath_template\tfamily\thost_note\ttitle_zh\tsources\n"
		attributesHeader = "method\ttemplate\tattribute\tvalue\tsource\n"
		sensitiveHeader  = "method\tpath_template\tjson_path\tdirection\tlocation\trequired\tfield_zh\tsources\n"
		paths            = pathsHeader + "GET\t/v3/a\tv3/a\t\t\tx\n"
	)
	for _, tt := range []struct{ name, paths, attributes, sensitive, want string }{
		{"an attribute of no row", paths, attributesHeader + "GET\t/v3/b\tunsigned\t\tx\n", sensitiveHeader, "no such row"},
		{"an unknown attribute", paths, attributesHeader + "GET\t/v3/a\tunsinged\t\tx\n", sensitiveHeader, "unknown attribute"},
		{"another header", "a\tb\tc\td\te\tf\n", attributesHeader, sensitiveHeader, "header"},
		{"a column too few", pathsHeader + "GET\t/v3/a\n", attributesHeader, sensitiveHeader, "2 columns"},
		{"a field of no row", paths, attributesHeader, sensitiveHeader + "GET\t/v3/b\tname\tresponse\tbody\t\t\tx\n", "no such row"},
		{"a field nowhere", paths, attributesHeader, sensitiveHeader + "GET\t/v3/a\tname\tresponse\tquery\t\t\tx\n", "response query"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			p, a, f := filepath.Join(dir, "p.tsv"), filepath.Join(dir, "a.tsv"), filepath.Join(dir, "f.tsv")
			for file, text := range map[string]string{p: tt.paths, a: tt.attributes, f: tt.sensitive} {
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			_, err := makeEndpoints(p, a, f)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
