package config_test

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/wxproxy/wxproxy/internal/config"
	"go.yaml.in/yaml/v3"
)

const examplePath = "../../config.example.yaml"

// commentedKey is a key or list item that is commented out; prose has a space
// after its #.
var commentedKey = regexp.MustCompile(`(?m)^( *)#([^ #\n])`)

func TestExampleLoadsAsItIs(t *testing.T) {
	t.Parallel()
	c := loadExample(t, example(t))
	if len(c.Merchants) != 1 || len(c.Notify.Routes) != 1 {
		t.Errorf("got %d merchants and %d routes, want one each", len(c.Merchants), len(c.Notify.Routes))
	}
	want := config.Default()
	if !reflect.DeepEqual(c.Outbound, want.Outbound) || c.Admin != want.Admin || c.Log != want.Log {
		t.Error("commented sections differ from the defaults")
	}
}

func TestExampleLoadsWithEveryKey(t *testing.T) {
	t.Parallel()
	c := loadExample(t, uncommented(example(t)))
	if c.StateDir == "" || len(c.Outbound.Callers) != 2 || len(c.Outbound.Listen) != 3 || len(c.Endpoints) != 1 {
		t.Errorf("not every section was read: %+v", c)
	}
}

func TestExampleShowsEveryKey(t *testing.T) {
	t.Parallel()
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(uncommented(example(t))), &doc); err != nil {
		t.Fatal(err)
	}
	shown := map[string]bool{}
	nodeKeys(doc.Content[0], "", shown)
	for _, key := range typeKeys(reflect.TypeFor[config.Config](), "") {
		if !shown[key] {
			t.Errorf("config.example.yaml does not show %s", key)
		}
	}
}

func TestExampleBeginsWithTheSchemaLine(t *testing.T) {
	t.Parallel()
	first, _, _ := strings.Cut(example(t), "\n")
	if want := "# yaml-language-server: $schema=config.schema.json"; first != want {
		t.Errorf("first line is %q, want %q", first, want)
	}
}

func example(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(examplePath)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func uncommented(text string) string {
	lines := strings.SplitAfterN(text, "\n", 2)
	return lines[0] + commentedKey.ReplaceAllString(lines[1], "$1$2")
}

// loadExample loads text with its absolute paths moved below a directory where
// every file it names exists.
func loadExample(t *testing.T, text string) *config.Config {
	t.Helper()
	dir := shortDir(t)
	for _, root := range []string{"/etc/wxproxy", "/run/wxproxy", "/var/lib/wxproxy"} {
		text = strings.ReplaceAll(text, root, dir+root)
	}
	for _, path := range regexp.MustCompile(`/\S+/\S+`).FindAllString(text, -1) {
		if strings.HasPrefix(path, dir) && !strings.Contains(path, "/var/lib/wxproxy") {
			write(t, path, "")
		}
	}
	c, err := config.Load(write(t, filepath.Join(dir, "wxproxy.yaml"), text), config.Sources{
		Env: func(name string) (string, bool) { return "x", strings.HasPrefix(name, "SHOP_") },
	})
	if err != nil {
		t.Fatalf("loading:\n%v", err)
	}
	return c
}

func nodeKeys(n *yaml.Node, key string, keys map[string]bool) {
	switch n.Kind {
	case yaml.SequenceNode:
		for _, item := range n.Content {
			nodeKeys(item, key, keys)
		}
	case yaml.MappingNode:
		for i := 0; i < len(n.Content); i += 2 {
			k := strings.TrimPrefix(key+"."+n.Content[i].Value, ".")
			keys[k] = true
			nodeKeys(n.Content[i+1], k, keys)
		}
	}
}

func typeKeys(t reflect.Type, key string) []string {
	var keys []string
	for field := range t.Fields() {
		name := field.Tag.Get("yaml")
		if name == "" {
			continue
		}
		k := strings.TrimPrefix(key+"."+name, ".")
		keys = append(keys, k)
		elem := field.Type
		if elem.Kind() == reflect.Slice {
			elem = elem.Elem()
		}
		if elem.Kind() == reflect.Struct {
			keys = slices.Concat(keys, typeKeys(elem, k))
		}
	}
	return keys
}
