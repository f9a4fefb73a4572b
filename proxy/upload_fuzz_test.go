package proxy_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"mime/multipart"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/emmansun/gmsm/sm3"

	"github.com/wxproxy/wxproxy/internal/endpoint"
	"github.com/wxproxy/wxproxy/proxy"
)

// judge reads a form whole with package mime/multipart: is it to be sent, and
// what of it is signed?
func judge(body []byte, table *endpoint.Table) (meta []byte, good bool) {
	if meta, good = judgeTo(body, table); good || bytes.HasSuffix(body, []byte("\r")) {
		return meta, good
	}
	for _, lineBreak := range []string{"\r\n", "\n"} { // the last one may be missing
		if meta, good = judgeTo(append(bytes.Clone(body), lineBreak...), table); good {
			return meta, good
		}
	}
	return nil, false
}

// judgeTo judges a form whose end is no end for the parser, which must find the
// last boundary before it.
func judgeTo(body []byte, table *endpoint.Table) (meta []byte, good bool) {
	parts := multipart.NewReader(io.MultiReader(bytes.NewReader(body), iotest.ErrReader(io.ErrNoProgress)), boundary)
	var metas int
	var files [][]byte
	for {
		part, err := parts.NextRawPart()
		if err == io.EOF { //nolint:errorlint // a wrapped EOF is one that comes too early
			break
		}
		if err != nil {
			return nil, false
		}
		text, err := io.ReadAll(part)
		switch {
		case err != nil:
			return nil, false
		case part.FormName() == "meta":
			metas++
			meta = text
		case part.FileName() != "":
			files = append(files, text)
		}
	}
	promises := table.Promises(meta)
	for _, f := range files {
		for _, p := range promises {
			sum := sha256.Sum256(f)
			if p.Algorithm == endpoint.SM3 {
				sum = sm3.Sum(f)
			}
			if !strings.EqualFold(hex.EncodeToString(sum[:]), p.Value) {
				return nil, false
			}
		}
	}
	return meta, metas == 1 && len(meta) <= 256<<10 && (len(promises) == 0 || len(files) > 0)
}

// chunks reads in pieces of the sizes that pattern gives.
type chunks struct {
	r       io.Reader
	pattern []byte
	next    int
}

func (c *chunks) Read(p []byte) (int, error) {
	if len(c.pattern) > 0 {
		size := int(c.pattern[c.next%len(c.pattern)])*17 + 1
		c.next++
		p = p[:min(len(p), size)]
	}
	return c.r.Read(p)
}

// A form goes out if and only if it is good as a whole, then byte for byte; of
// others goes out a beginning that nobody can take for a form.
func FuzzUpload(f *testing.F) {
	table, err := endpoint.New(nil)
	if err != nil {
		f.Fatal(err)
	}
	for _, good := range goodForms() {
		f.Add([]byte(good.body), []byte(nil))
		f.Add([]byte(good.body), []byte{0})
		f.Add([]byte(good.body), []byte{1, 240, 3})
	}
	for _, bad := range badForms() {
		f.Add([]byte(bad.body), []byte{7, 0, 255})
	}
	f.Fuzz(func(t *testing.T, body, pattern []byte) {
		want, good := judge(body, table)
		out, meta, err := proxy.PassForm(&chunks{r: bytes.NewReader(body), pattern: pattern}, boundary, table, nil)
		switch {
		case good && (err != nil || !bytes.Equal(out, body) || !bytes.Equal(meta, want)):
			t.Fatalf("a good form came out as %d of %d bytes, signed %q for %q: %v", len(out), len(body), meta, want, err)
		case !good && err == nil:
			t.Fatalf("a bad form passed: %q", body)
		case good:
			return
		}
		if !bytes.HasPrefix(body, out) {
			t.Fatal("other bytes went out than came in")
		}
		if _, complete := judge(out, table); complete || isComplete(out) {
			t.Fatalf("of a bad form went out what looks whole: %q", out)
		}
	})
}

// isComplete reports whether a form has its last boundary.
func isComplete(body []byte) bool {
	parts := multipart.NewReader(bytes.NewReader(body), boundary)
	for {
		part, err := parts.NextRawPart()
		if err == io.EOF { // a wrapped EOF is one that comes too early
			return true
		}
		if err != nil {
			return false
		}
		if _, err := io.Copy(io.Discard, part); err != nil {
			return false
		}
	}
}

// A meta that is changed before it is signed goes out in the place of the one
// that came in, and nothing else changes, wherever the same text stands again.
func TestChangedMeta(t *testing.T) {
	t.Parallel()
	for name, good := range goodForms() {
		for _, changed := range []string{"", "x", good.meta, good.meta + good.meta, strings.Repeat("longer ", 10000)} {
			edit := func([]byte) []byte { return []byte(changed) }
			out, meta, err := proxy.PassForm(iotest.HalfReader(strings.NewReader(good.body)), boundary, table(t), edit)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			at := strings.Index(good.body, "name=\"meta\"")
			at += strings.Index(good.body[at:], "\n\r\n") + 3
			if strings.HasPrefix(name, "bare") {
				at = strings.Index(good.body, "\n\n") + 2
			}
			want := good.body[:at] + changed + good.body[at+len(good.meta):]
			if string(out) != want || string(meta) != changed {
				t.Errorf("%s: sent %d bytes, want %d", name, len(out), len(want))
			}
		}
	}
}

// A reader that fails fails the upload, and nothing is whole.
func TestUploadOfABrokenReader(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for name, good := range goodForms() {
		for _, cut := range []int{0, 1, len(good.body) / 2, len(good.body) - len(end) - 1} {
			if strings.Contains(name, "epilogue") || strings.Contains(name, "preamble") {
				continue // they may break after the last boundary
			}
			r := io.MultiReader(strings.NewReader(good.body[:max(cut, 0)]), iotest.ErrReader(broken))
			out, _, err := proxy.PassForm(r, boundary, table(t), nil)
			if !errors.Is(err, broken) || isComplete(out) {
				t.Errorf("%s, cut at %d: %d bytes went out, %v", name, cut, len(out), err)
			}
		}
	}
}
