package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wxproxy/wxproxy/internal/config"
)

// smallest is the smallest real config; the files it names are beside it.
const smallest = `merchants:
  - name: shop
    mchid: "1900000001"
    serial_no: 3775b6a45acd588826d15e583a95f5dd00000000
    private_key: file:key.pem
    apiv3_key: file:apiv3_key
notify:
  routes:
    - path: /notify/shop
      to: http://127.0.0.1:3000/paid
`

// shortDir is a temporary directory whose path leaves room for socket names.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "wx")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func write(t testing.TB, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// load loads text as wxproxy.yaml, beside key.pem, apiv3_key and other.pem.
func load(t testing.TB, text string, o config.Sources) (*config.Config, error) {
	t.Helper()
	dir := shortDir(t)
	for _, name := range []string{"key.pem", "apiv3_key", "other.pem"} {
		write(t, filepath.Join(dir, name), "x")
	}
	c, err := config.Load(write(t, filepath.Join(dir, "wxproxy.yaml"), text), o)
	return c, relative(err, dir)
}

// relative drops the temporary directory from faults, so that tests can name
// them.
func relative(err error, dir string) error {
	faults, ok := errors.AsType[config.Errors](err)
	if !ok {
		return err
	}
	for i, f := range faults {
		faults[i].File = strings.TrimPrefix(f.File, dir+"/")
		faults[i].Problem = strings.ReplaceAll(f.Problem, dir+"/", "")
	}
	return faults
}

func mustLoad(t testing.TB, text string, o config.Sources) *config.Config {
	t.Helper()
	c, err := load(t, text, o)
	if err != nil {
		t.Fatalf("loading:\n%v", err)
	}
	return c
}

func env(pairs ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}
