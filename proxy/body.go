package proxy

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"time"
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

// readDraft reads the app's body: whole, or of an upload the beginning.
func (o *Outbound) readDraft(w http.ResponseWriter, r *http.Request, x *exchange, d *draft) (f *failure) {
	boundary, isForm, f := formBoundary(r.Header)
	switch {
	case f != nil:
		return f
	case isForm:
		x.isForm = true
		x.upload, f = o.openUpload(w, r, x, boundary)
		if f == nil {
			d.upload, d.signed = x.upload, x.upload.form.meta
		}
		return f
	}
	d.body, x.held, f = o.readRequest(r)
	if f != nil {
		return f
	}
	d.signed = d.body
	x.read = true
	limitRead(w, time.Time{}) // or net/http would take the deadline for the caller's going away
	return nil
}

// readRequest reads the app's body whole.
func (o *Outbound) readRequest(r *http.Request) (body []byte, held int64, f *failure) {
	body, held, err := o.inFlight.read(r.Body, r.ContentLength, o.limits.Request)
	if err != nil {
		return nil, held, o.bodyFailure(err, ReasonBodyTooLarge)
	}
	return body, held, nil
}

// bodyFailure says why the app's body could not be read; tooLarge is the reason
// of a body over its limit.
func (o *Outbound) bodyFailure(err error, tooLarge Reason) *failure {
	switch {
	case errors.Is(err, errTooLarge):
		return fail(tooLarge, "the body is larger than outbound.limits.request (%d bytes)", o.limits.Request)
	case errors.Is(err, errBudget):
		return fail(ReasonBusy, "outbound.limits.in_flight (%d bytes) is used up; try again", o.inFlight.limit)
	default:
		return fail(ReasonBadRequest, "the body did not arrive whole").because(err)
	}
}
