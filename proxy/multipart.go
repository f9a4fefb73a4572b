package proxy

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"

	"github.com/emmansun/gmsm/sm3"

	"github.com/wxproxy/wxproxy/internal/endpoint"
)

const formData = "multipart/form-data"

// formBoundary tells an upload by its Content-Type, and what separates its parts.
func formBoundary(h http.Header) (boundary string, isForm bool, f *failure) {
	for _, value := range h["Content-Type"] {
		mediaType, params, err := mime.ParseMediaType(value)
		switch {
		case mediaType != formData && !strings.HasPrefix(strings.ToLower(strings.TrimSpace(value)), formData):
			continue
		case err != nil || mediaType != formData:
			return "", true, fail(ReasonBadUpload, "the parameters of %s are malformed", formData).because(err)
		case len(h["Content-Type"]) > 1:
			return "", true, fail(ReasonBadUpload, "the header Content-Type stands %d times", len(h["Content-Type"]))
		case params["boundary"] == "":
			return "", true, fail(ReasonBadUpload, "%s without a boundary", formData)
		default:
			return params["boundary"], true, nil
		}
	}
	return "", false, nil
}

// uploadForm reads an upload and judges it. Of an upload APIv3 signs the text of the
// part named meta, alone, so there must be exactly one; and where meta promises
// the file's digest, the file must have it: WeChat Pay would tell neither
// mistake from a wrong signature.
//
// What a part is, package mime/multipart decides. Parts are taken raw: their
// transfer encoding is part of what is sent.
type uploadForm struct {
	tape     *tape
	parts    *multipart.Reader
	last     string // boundary of the form
	promises func(meta []byte) []endpoint.Promise

	part     *multipart.Part // being read; nil between two
	sums     sums            // of part, if it is a file
	meta     []byte          // its text
	metaAt   int             // where on the tape it begins
	metas    int
	early    []sums // of files that came before meta
	files    int
	unread   error // of a part whose Content-Disposition says nothing: it may be a file, or meta
	promised []endpoint.Promise
	piece    [tapeRoom]byte
}

// maxMeta bounds meta, in bytes: it is held beside the tape, which alone counts
// as in flight. WeChat Pay's hold a name and a digest.
const maxMeta = 256 << 10

// sums are digests in the making of one file.
type sums map[endpoint.Algorithm]hash.Hash

var algorithms = map[endpoint.Algorithm]func() hash.Hash{endpoint.SHA256: sha256.New, endpoint.SM3: sm3.New}

func newUploadForm(t *tape, boundary string, promises func([]byte) []endpoint.Promise) *uploadForm {
	t.byLine = true
	return &uploadForm{tape: t, parts: multipart.NewReader(t, boundary), last: "--" + boundary + "--", promises: promises}
}

// head reads as far as the end of meta.
func (f *uploadForm) head() error {
	for f.metas == 0 || f.part != nil {
		if err := f.step(); err != nil {
			return err
		}
	}
	f.tape.byLine = false
	return nil
}

// step reads on by one piece. The error is a *failure, what reading from the app
// gave, or io.EOF when all is read and good.
func (f *uploadForm) step() error {
	if f.tape.open {
		f.tape.fill()
		return f.tape.err
	}
	if f.part == nil {
		part, err := f.parts.NextRawPart()
		switch {
		case err == io.EOF, errors.Is(err, errCut) && f.tape.endsWith(f.last):
			return f.end()
		case err != nil:
			return f.broken(err)
		}
		return f.begin(part)
	}
	n, err := f.part.Read(f.piece[:])
	for _, sum := range f.sums {
		sum.Write(f.piece[:n])
	}
	if f.isMeta() {
		if len(f.meta)+n > maxMeta {
			return fail(ReasonBadUpload, "the form part named meta is larger than %d bytes", maxMeta)
		}
		f.meta = append(f.meta, f.piece[:n]...)
	}
	switch {
	case errors.Is(err, io.EOF):
		return f.endPart()
	case err != nil:
		return f.broken(err)
	}
	return nil
}

func (f *uploadForm) isMeta() bool { return f.part.FormName() == "meta" }

func (f *uploadForm) begin(part *multipart.Part) error {
	f.part, f.sums = part, nil
	if _, _, err := mime.ParseMediaType(part.Header.Get("Content-Disposition")); err != nil {
		f.unread = err
	}
	switch {
	case f.isMeta():
		f.metas++
		if f.metas > 1 {
			return fail(ReasonBadUpload, "an upload needs exactly one form part named meta, this has a second")
		}
		f.metaAt = f.tape.fed // it reads by line here, so not beyond the part's header
	case part.FileName() != "":
		f.files++
		f.sums = make(sums)
		for name, start := range algorithms {
			if f.metas == 0 || f.promisesA(name) {
				f.sums[name] = start()
			}
		}
	}
	return nil
}

func (f *uploadForm) promisesA(a endpoint.Algorithm) bool {
	for _, p := range f.promised {
		if p.Algorithm == a {
			return true
		}
	}
	return false
}

func (f *uploadForm) endPart() error {
	wasMeta, done := f.isMeta(), f.sums
	f.part, f.sums = nil, nil
	if wasMeta {
		if f.promises != nil {
			f.promised = f.promises(f.meta)
		}
		for _, s := range f.early {
			if err := f.check(s); err != nil {
				return err
			}
		}
		f.early = nil
		return nil
	}
	if done != nil && f.metas == 0 {
		f.early = append(f.early, done)
		return nil
	}
	if done != nil {
		return f.check(done)
	}
	return nil
}

// check compares a file with what meta promises.
func (f *uploadForm) check(file sums) error {
	for _, p := range f.promised {
		got := hex.EncodeToString(file[p.Algorithm].Sum(nil))
		if !strings.EqualFold(got, p.Value) {
			return fail(ReasonBadUpload, "meta's %s is %q, but the %s of the file is %s", p.Field, outside(p.Value), p.Algorithm, got)
		}
	}
	return nil
}

// end judges the form as a whole, before its last boundary may be sent.
func (f *uploadForm) end() error {
	if f.unread != nil && (f.metas != 1 || len(f.promised) > 0 && f.files == 0) {
		return fail(ReasonBadUpload, "the Content-Disposition of a form part cannot be read, so it is neither meta nor a file "+
			"(is a parameter there twice, or a filename with spaces not in quotes?)").because(f.unread)
	}
	if f.metas != 1 {
		return fail(ReasonBadUpload, "an upload needs exactly one form part named meta, this has none")
	}
	if len(f.promised) > 0 && f.files == 0 {
		return fail(ReasonBadUpload, "meta's %s promises a file, but no form part has a filename", f.promised[0].Field)
	}
	f.tape.pass()
	return nil
}

// broken tells a form that is malformed from one that did not arrive.
func (f *uploadForm) broken(err error) error {
	if f.tape.err != nil && !errors.Is(f.tape.err, io.EOF) {
		return f.tape.err
	}
	return fail(ReasonBadUpload, "the multipart body is malformed or cut short").because(err)
}
