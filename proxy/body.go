package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
)

// budget bounds the bytes of bodies held at one time by all requests.
type budget struct {
	limit int64
	held  atomic.Int64
}

var errBudget = errors.New("bytes in flight are used up")

// take reserves n bytes; the caller gives them back.
func (b *budget) take(n int64) error {
	if b.held.Add(n) > b.limit {
		b.held.Add(-n)
		return errBudget
	}
	return nil
}

func (b *budget) give(n int64) { b.held.Add(-n) }

// errTooLarge: a body is larger than its limit.
var errTooLarge = errors.New("body too large")

const readChunk = 32 << 10

// read reads a whole body of at most limit bytes, taking from the budget as it
// grows. The caller gives back what is returned as held, on errors too.
func (b *budget) read(r io.Reader, length, limit int64) (body []byte, held int64, err error) {
	if length > limit {
		return nil, 0, errTooLarge
	}
	var buf bytes.Buffer
	for {
		if err := b.take(readChunk); err != nil {
			return nil, held, err
		}
		held += readChunk
		_, err := io.CopyN(&buf, r, readChunk)
		if int64(buf.Len()) > limit {
			return nil, held, errTooLarge
		}
		if errors.Is(err, io.EOF) {
			size := int64(buf.Len())
			b.give(held - size) // most calls read, and have no body to hold
			return buf.Bytes(), size, nil
		}
		if err != nil {
			return nil, held, err
		}
	}
}

// readRequest reads the app's body and finds the text that is to be signed.
func (o *Outbound) readRequest(r *http.Request) (body, signed []byte, held int64, f *failure) {
	body, held, err := o.inFlight.read(r.Body, r.ContentLength, o.limits.Request)
	switch {
	case errors.Is(err, errTooLarge):
		return nil, nil, held, fail(ReasonBodyTooLarge, "the body is larger than outbound.limits.request (%d bytes)", o.limits.Request)
	case errors.Is(err, errBudget):
		return nil, nil, held, fail(ReasonBusy, "outbound.limits.in_flight (%d bytes) is used up; try again", o.inFlight.limit)
	case err != nil:
		return nil, nil, held, fail(ReasonBadRequest, "the body did not arrive whole").because(err)
	}
	if signed, err = signedText(r.Header.Get("Content-Type"), body); err != nil {
		return nil, nil, held, fail(ReasonBadUpload, "%v", err).because(err)
	}
	return body, signed, held, nil
}

// signedText is what is signed of a body: all of it, or the meta part of an
// upload.
func signedText(contentType string, body []byte) ([]byte, error) {
	mediaType, params, err := mime.ParseMediaType(contentType)
	switch {
	case mediaType == "" && strings.HasPrefix(strings.ToLower(strings.TrimSpace(contentType)), "multipart/form-data"), mediaType == "multipart/form-data" && err != nil:
		return nil, errors.New("the parameters of multipart/form-data are malformed")
	case mediaType == "multipart/form-data":
		return metaPart(body, params["boundary"])
	default:
		return body, nil
	}
}

// replaceSigned puts another text in place of the one that is signed. Of an
// upload the reader itself tells which bytes were the part meta: those whose
// change makes it read the new text there.
func replaceSigned(contentType string, body, signed, text []byte) ([]byte, error) {
	if len(body) == len(signed) {
		return text, nil
	}
	for at := 0; ; at++ {
		i := bytes.Index(body[at:], signed)
		if i < 0 {
			return nil, errors.New("the part meta of this upload cannot be changed")
		}
		at += i
		changed := slices.Concat(body[:at], text, body[at+len(signed):])
		if meta, err := signedText(contentType, changed); err == nil && bytes.Equal(meta, text) {
			return changed, nil
		}
	}
}

// metaPart returns the text of the form part named meta: of an upload APIv3
// signs that part alone. There must be exactly one.
func metaPart(body []byte, boundary string) ([]byte, error) {
	if boundary == "" {
		return nil, errors.New("multipart/form-data without a boundary")
	}
	var meta []byte
	found := 0
	parts := multipart.NewReader(bytes.NewReader(body), boundary)
	for {
		part, err := parts.NextRawPart() // raw: the transfer encoding is part of what is sent
		if err == io.EOF {               //nolint:errorlint // a wrapped EOF is one that comes too early
			break
		}
		if err != nil {
			return nil, errors.New("the multipart body is malformed or cut short")
		}
		if part.FormName() != "meta" {
			continue
		}
		found++
		if meta, err = io.ReadAll(part); err != nil {
			return nil, errors.New("the multipart body is malformed or cut short")
		}
	}
	if found != 1 {
		return nil, fmt.Errorf("an upload needs exactly one form part named meta, this has %d", found)
	}
	return meta, nil
}
