package injector_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/wxproxy/wxproxy/internal/injector"
)

func TestSettingsFaults(t *testing.T) {
	t.Parallel()
	good, err := os.ReadFile("testdata/settings.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ name, old, new, want string }{
		{"unknown key", "grants:", "grant:", "field grant not found"},
		{"no YAML", "grants:", "gr: [", "cannot be read"},
		{"grant of nobody", "merchants: [shop]}", "merchants: [nobody]}", "nobody is not among merchants"},
		{"grant without account", "service_accounts: [web, both]", "service_accounts: []", "needs service_accounts"},
		{"grant for a pattern", "namespace: books,", `namespace: "*",`, "write the name of one namespace"},
		{"alias", "  books_2:\n", "  Books:\n", "an alias has"},
		{"aliases alike", "  shop:\n    config:\n", "  books-u-2: {}\n  shop:\n    config:\n", "too much like"},
		{"alias for a volume", "  books_2:\n", "  " + strings.Repeat("b", 60) + ": {secret: x}\n  books_2:\n", "too long"},
		{"secret", "secret: books-keys", "secret: Books_Keys", "is not the name of a Secret"},
		{"alias as name", "      mchid:", "      name: x\n      mchid:", "the alias is its name"},
		{"our keys", "config:\n  vault:", "config:\n  outbound: {listen: \"0.0.0.0:1\"}\n  vault:", "config.outbound.listen: the injector writes it"},
		{"bounds", "min: 10m", "min: ten", "is not a quantity"},
		{"order", "bounds:", "order: middle\nbounds:", "first or last"},
		{"ports", "bounds:", "ports: {admin: 18080}\nbounds:", "give each its own"},
		{"container of another name", "- name: wxproxy\n        image", "- name: proxy\n        image", "has one container, named wxproxy"},
		{"no image", "        image: ghcr.io/wxproxy/wxproxy:test\n", "", "with an image"},
		{"volume of another name", "{name: wxproxy-state, emptyDir", "{name: state, emptyDir", "must begin with wxproxy-"},
		{"template beyond its place", "    volumes:\n", "    hostNetwork: true\n    volumes:\n", "pod.spec.hostNetwork"},
		{"template's name", "    annotations: {example", "    name: x\n    annotations: {example", "pod.metadata.name"},
		{"template's kind", "pod:\n", "pod:\n  kind: Pod\n", "pod.kind"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			text := strings.Replace(string(good), row.old, row.new, 1)
			if text == string(good) {
				t.Fatal("nothing was changed")
			}
			if _, err := injector.ParseSettings([]byte(text), nil); err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("got %v, want %s", err, row.want)
			}
		})
	}
}

func TestSettingsAskAboutTheConfig(t *testing.T) {
	t.Parallel()
	good, err := os.ReadFile("testdata/settings.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var asked int
	_, err = injector.ParseSettings(good, func(text []byte) error {
		asked++
		if strings.Contains(string(text), "name: books_2") {
			return errors.New("no such key")
		}
		return nil
	})
	if asked != 2 || err == nil || !strings.Contains(err.Error(), "merchant books_2 would be refused: no such key") {
		t.Errorf("asked %d times: %v", asked, err)
	}
}

func FuzzSettings(f *testing.F) {
	good, err := os.ReadFile("testdata/settings.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := injector.ParseSettings(text, func([]byte) error { return nil })
		if err == nil && s == nil {
			t.Error("neither settings nor an error")
		}
	})
}
