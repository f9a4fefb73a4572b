package proxy

import (
	"errors"
	"net/http"
	"time"
)

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
		return o.busy()
	default:
		return fail(ReasonBadRequest, "the body did not arrive whole").because(err)
	}
}
