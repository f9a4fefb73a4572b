package certcache_test

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wxproxy/wxproxy/certcache"
	"github.com/wxproxy/wxproxy/internal/secret"
	"github.com/wxproxy/wxproxy/verifier"
)

// stored downloads an answer into a file and returns its path and content.
func stored(t testing.TB, change func(*certcache.Options), answer reply) (path string, content []byte) {
	t.Helper()
	w := &wechat{reply: answer}
	o := w.options()
	o.File = filepath.Join(t.TempDir(), "shop.certificates")
	if change != nil {
		change(&o)
	}
	if err := open(t, o).Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(o.File)
	if err != nil {
		t.Fatal(err)
	}
	return o.File, content
}

// load starts anew from the file, with WeChat Pay out of reach.
func load(t testing.TB, path string, change func(*certcache.Options)) (*certcache.Cache, error) {
	t.Helper()
	w := &wechat{err: errors.New("unreachable")}
	o := w.options()
	o.File = path
	if change != nil {
		change(&o)
	}
	c := open(t, o)
	err := c.Load()
	if w.calls.Load() != 0 {
		t.Error("Load downloads")
	}
	return c, err
}

func TestStartFromDisk(t *testing.T) {
	t.Parallel()
	cert := issue(t, 0, epoch.Add(-year), epoch.Add(year))
	ended := issue(t, 1, epoch.Add(-year), epoch.Add(time.Hour))
	path, content := stored(t, nil, list(t, epoch, ended, cert)) // signed by what has ended below

	later := func(o *certcache.Options) { o.Now = func() time.Time { return epoch.Add(30 * 24 * time.Hour) } }
	c, err := load(t, path, later)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Ready(); err != nil {
		t.Error(err)
	}
	if k, err := c.For(certcache.Notify).Lookup(t.Context(), cert.serial); err != nil || !k.Equal(cert.key.Public()) {
		t.Errorf("got %v", err)
	}
	if c.Has(ended.serial) {
		t.Error("a certificate that ended is trusted")
	}

	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v", info.Mode(), err)
	}
	if bytes.Contains(content, []byte("BEGIN CERTIFICATE")) || bytes.Contains(content, []byte(apiv3Key)) {
		t.Error("the file is not encrypted")
	}
	if files, err := os.ReadDir(filepath.Dir(path)); err != nil || len(files) != 1 {
		t.Errorf("files beside it: %v, %v", files, err)
	}
}

func TestLoadPinnedSignature(t *testing.T) {
	t.Parallel()
	cert := issue(t, 0, epoch.Add(-year), epoch.Add(year))
	answer := list(t, epoch, cert)
	answer.sign(t, key(t, 1), pinnedID, epoch)
	pin := func(o *certcache.Options) { o.Pinned = pinned(t, 1) }
	path, _ := stored(t, pin, answer)
	if c, err := load(t, path, pin); err != nil || !c.Has(cert.serial) {
		t.Errorf("got %v", err)
	}
	if c, err := load(t, path, nil); !errors.Is(err, verifier.ErrSerialUnknown) || c.Has(cert.serial) {
		t.Errorf("without the pinned key: got %v", err)
	}
}

func TestLoadNothing(t *testing.T) {
	t.Parallel()
	if _, err := load(t, filepath.Join(t.TempDir(), "none"), nil); err != nil {
		t.Errorf("no file: got %v", err)
	}
	if _, err := load(t, "", nil); err != nil {
		t.Errorf("no path: got %v", err)
	}
}

func TestLoadRefused(t *testing.T) {
	t.Parallel()
	cert := issue(t, 0, epoch.Add(-year), epoch.Add(year))
	mine := list(t, epoch, cert)
	_, good := stored(t, nil, mine)
	replace := func(old, with string) func([]byte) []byte {
		return func(b []byte) []byte { return bytes.Replace(b, []byte(old), []byte(with), 1) }
	}
	for _, tt := range []struct {
		name   string
		change func([]byte) []byte
		with   func(*certcache.Options)
	}{
		{name: "one byte of the list", change: replace(`{"data":[`, `{"data": [`)},
		{name: "one byte of ciphertext", change: func(b []byte) []byte {
			i := bytes.Index(b, []byte(`"ciphertext":"`)) + 50
			return []byte(flip(string(b), i))
		}},
		{name: "one byte of signature", change: func(b []byte) []byte {
			i := bytes.Index(b, []byte("Wechatpay-Signature: ")) + 30
			return []byte(flip(string(b), i))
		}},
		{name: "another time", change: replace("Wechatpay-Timestamp: 1", "Wechatpay-Timestamp: 2")},
		{name: "no signature", change: replace("Wechatpay-Signature: ", "X-Signature: ")},
		{name: "cut off", change: func(b []byte) []byte { return b[:len(b)-1] }},
		{name: "cut off early", change: func(b []byte) []byte { return b[:40] }},
		{name: "empty", change: func([]byte) []byte { return nil }},
		{name: "plain certificate", change: func([]byte) []byte { return cert.pem }},
		{name: "too large", change: func(b []byte) []byte { return append(make([]byte, 2<<20), b...) }},
		{name: "another APIv3 key", with: func(o *certcache.Options) {
			o.APIv3Keys = func() []secret.Value { return []secret.Value{secret.NewValue([]byte(otherKey))} }
		}},
		{name: "sealed by someone else", change: func([]byte) []byte {
			forged := issue(t, 2, epoch.Add(-year), epoch.Add(year))
			r := reply{status: 200, body: pack(t, seal(t, otherKey, forged, forged.pem))}
			r.sign(t, forged.key, forged.serial, epoch)
			return bytes.Replace(good, mine.body, r.body, 1)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "copy")
			content := good
			if tt.change != nil {
				content = tt.change(bytes.Clone(good))
			}
			if bytes.Equal(content, good) && tt.with == nil {
				t.Fatal("nothing is changed")
			}
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			c, err := load(t, path, tt.with)
			if !errors.Is(err, certcache.ErrFile) || !strings.Contains(err.Error(), path) {
				t.Errorf("got %v", err)
			}
			if c.Has(cert.serial) || len(c.Status().Keys) != 0 {
				t.Error("a certificate is trusted")
			}
		})
	}
}

func TestLoadDirectory(t *testing.T) {
	t.Parallel()
	if _, err := load(t, t.TempDir(), nil); !errors.Is(err, certcache.ErrFile) {
		t.Errorf("got %v", err)
	}
}

// TestNotStored: a refused answer leaves the file alone, and a file that
// cannot be written costs only a warning.
func TestNotStored(t *testing.T) {
	t.Parallel()
	cert := issue(t, 0, epoch.Add(-year), epoch.Add(year))
	path, good := stored(t, nil, list(t, epoch, cert))
	w := &wechat{reply: list(t, epoch.Add(-time.Hour), cert)}
	o := w.options()
	o.File = path
	if err := open(t, o).Refresh(t.Context()); !errors.Is(err, verifier.ErrStale) {
		t.Fatalf("got %v", err)
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, good) {
		t.Errorf("the file changed, %v", err)
	}

	var log bytes.Buffer
	o.File, o.Log = filepath.Join(t.TempDir(), "absent", "file"), slog.New(slog.NewTextHandler(&log, nil))
	w.set(list(t, epoch, cert), nil)
	c := open(t, o)
	if err := c.Refresh(t.Context()); err != nil || !c.Has(cert.serial) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(o.File); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(log.String(), "not stored") {
		t.Errorf("got %v; %s", err, log.String())
	}
}

func FuzzParseStored(f *testing.F) {
	_, good := stored(f, nil, list(f, epoch, issue(f, 0, epoch.Add(-year), epoch.Add(year))))
	f.Add(good)
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		once, err := certcache.ParseStored(bytes.NewReader(b))
		if err != nil {
			return
		}
		twice, err := certcache.ParseStored(bytes.NewReader(once))
		if err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("%q became %q, %v", once, twice, err)
		}
	})
}
