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
		paths            = pathsHeader + "GET\t/v3/a\tv3/a\t\t\tx\n"
	)
	for _, tt := range []struct{ name, paths, attributes, want string }{
		{"an attribute of no row", paths, attributesHeader + "GET\t/v3/b\tunsigned\t\tx\n", "no such row"},
		{"an unknown attribute", paths, attributesHeader + "GET\t/v3/a\tunsinged\t\tx\n", "unknown attribute"},
		{"another header", "a\tb\tc\td\te\tf\n", attributesHeader, "header"},
		{"a column too few", pathsHeader + "GET\t/v3/a\n", attributesHeader, "2 columns"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			p, a := filepath.Join(dir, "p.tsv"), filepath.Join(dir, "a.tsv")
			for file, text := range map[string]string{p: tt.paths, a: tt.attributes} {
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			_, err := makeEndpoints(p, a)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
