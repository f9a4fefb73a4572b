package proxy

import (
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wxproxy/wxproxy/internal/endpoint"
)

// upload is an app's form on its way to WeChat Pay. The file is not held: it is
// judged while it passes, and the end of the form stays back until all is good,
// so that WeChat Pay never has a bad upload whole.
//
// It is read by net/http's goroutine of the attempt, and possibly still after
// the answer is there: stop waits for it.
type upload struct {
	app     *appBody
	length  int64 // what is sent, in bytes; negative: not known before the end
	answers atomic.Pointer[gate]
	stopped chan struct{}
	stop    func() // ends reading for good; idempotent

	mu   sync.Mutex // held while the form is read
	form *uploadForm
	sent int64
	err  error // why reading ended
}

// gate is shut while WeChat Pay answers before it has the whole request.
type gate chan struct{}

var errStopped = errors.New("the upload was stopped")

// openUpload reads an upload as far as its meta part.
func (o *Outbound) openUpload(w http.ResponseWriter, r *http.Request, x *exchange, boundary string) (*upload, *failure) {
	if r.ContentLength > o.limits.Request {
		return nil, o.bodyFailure(errTooLarge, ReasonBadUpload)
	}
	app := &appBody{from: r.Body, watch: x.watch, limit: func(end bool) {
		deadline := time.Time{}
		if !end {
			deadline = o.now().Add(o.timeout)
		}
		limitRead(w, deadline)
	}, wake: func() { limitRead(w, time.Unix(1, 0)) }}
	t := &tape{from: app, budget: o.inFlight, limit: o.limits.Request}
	var promises func([]byte) []endpoint.Promise
	if !x.endpoint.FileUnchecked {
		promises = o.table.Promises
	}
	u := &upload{app: app, length: r.ContentLength, stopped: make(chan struct{}), form: newUploadForm(t, boundary, promises)}
	u.stop = sync.OnceFunc(func() {
		close(u.stopped)
		app.interrupt()
		u.mu.Lock() // whoever reads has seen it
		defer u.mu.Unlock()
		o.inFlight.give(t.held)
		t.held = 0
	})
	if u.err = u.form.head(); u.err != nil {
		return u, o.uploadFailure(u)
	}
	return u, nil
}

// readRest reads an upload whole whose length the app did not tell: WeChat Pay
// is told it.
func (o *Outbound) readRest(x *exchange, d *draft) *failure {
	if d.upload == nil || d.upload.length >= 0 {
		return nil
	}
	body, held, err := o.inFlight.read(attempt{upload: d.upload}, -1, math.MaxInt64)
	x.held += held
	if f := o.uploadFailure(d.upload); f != nil {
		return f
	}
	if err != nil {
		return o.bodyFailure(err, ReasonBadUpload)
	}
	d.body, d.upload = body, nil
	return nil
}

// setMeta puts another text in place of meta.
func (u *upload) setMeta(text []byte) error {
	if err := u.form.tape.replace(u.form.metaAt, u.form.meta, text); err != nil {
		return err
	}
	if u.length >= 0 {
		u.length += int64(len(text) - len(u.form.meta))
	}
	u.form.meta = text
	return nil
}

// read is io.Reader's, for an attempt that is given up when done is closed.
func (u *upload) read(p []byte, done <-chan struct{}) (int, error) {
	for {
		g := u.answers.Load()
		if g == nil || u.whole() {
			break
		}
		select {
		case <-*g:
		case <-u.stopped:
			return 0, errStopped
		case <-done:
			return 0, errStopped
		}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	select {
	case <-u.stopped:
		return 0, errStopped
	default:
	}
	t := u.form.tape
	for u.err == nil && t.safe()-t.off < len(p) && (t.safe() == t.off || t.waiting()) {
		u.err = u.form.step()
	}
	n := t.send(p)
	u.sent += int64(n)
	if n == 0 {
		return 0, u.err
	}
	return n, nil
}

// whole reports whether all of the upload was handed to the connection.
func (u *upload) whole() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.sent == u.length
}

// begun reports whether any of it was.
func (u *upload) begun() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.sent > 0
}

// spoiled reports whether the form itself ended the upload: it is bad, or the app
// did not send it whole.
func (u *upload) spoiled() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.err != nil && !errors.Is(u.err, io.EOF) && !errors.Is(u.err, errStopped)
}

// traced adds to the trace of an attempt. When WeChat Pay answers before it has
// the whole request, nothing more is sent: a write that fails would hide the
// answer. A status below 200 is no answer yet.
func (u *upload) traced(t *httptrace.ClientTrace) {
	t.GotFirstResponseByte = func() {
		g := make(gate)
		u.answers.Store(&g)
	}
	t.Got1xxResponse = func(int, textproto.MIMEHeader) error {
		if g := u.answers.Swap(nil); g != nil {
			close(*g)
		}
		return nil
	}
}

// attempt is an upload as the body of one request.
type attempt struct {
	*upload

	done <-chan struct{}
}

// Read implements io.Reader.
func (a attempt) Read(p []byte) (int, error) { return a.read(p, a.done) }

// Close implements io.Closer. The app's body stays open: another attempt may
// want it if this one did not get as far as reading.
func (attempt) Close() error { return nil }

// appBody reads the app's body and lets it stand still no longer than the
// timeout.
type appBody struct {
	from  io.Reader
	watch *watchdog
	limit func(end bool) // sets the deadline of the next read, or none
	wake  func()         // ends a read that waits

	mu          sync.Mutex
	interrupted bool
	ended       bool // came to its end, whole
}

// Read implements io.Reader.
func (a *appBody) Read(p []byte) (int, error) {
	a.mu.Lock()
	if a.interrupted {
		a.mu.Unlock()
		return 0, errStopped
	}
	a.limit(false)
	a.mu.Unlock()
	a.watch.progress()
	n, err := a.from.Read(p)
	a.watch.progress()
	if errors.Is(err, io.EOF) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.ended = true
		a.limit(true) // or net/http would take the deadline for the caller's going away
	}
	return n, err
}

// interrupt ends reading, also one that waits for the app.
func (a *appBody) interrupt() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.ended {
		a.interrupted = true
		a.wake()
	}
}

// isRead reports whether the app's body was read to its end.
func (a *appBody) isRead() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ended
}

// uploadFailure says why the form was not read to its end; nil if that was not
// the form's doing.
func (o *Outbound) uploadFailure(u *upload) *failure {
	u.mu.Lock()
	defer u.mu.Unlock()
	if f, ok := errors.AsType[*failure](u.err); ok { // first: its cause may be an EOF
		return f
	}
	if u.err == nil || errors.Is(u.err, io.EOF) || errors.Is(u.err, errStopped) {
		return nil
	}
	if errors.Is(u.err, os.ErrDeadlineExceeded) {
		return fail(ReasonBadRequest, "the upload stood still for %s (outbound.timeout)", o.timeout).because(u.err)
	}
	return o.bodyFailure(u.err, ReasonBadUpload)
}

// stopUpload ends the reading of an upload. After it nobody reads the app's
// body any more.
func (x *exchange) stopUpload() {
	if x.upload != nil {
		x.upload.stop()
		x.read = x.upload.app.isRead()
	}
}

// lingerTime is how long an app that was answered early may go on sending.
const lingerTime = 5 * time.Second

// linger takes what an app still sends after its answer: closed at once, its
// connection would break before it has read that.
func (o *Outbound) linger(w http.ResponseWriter, r *http.Request) {
	_ = http.NewResponseController(w).Flush()
	limitRead(w, o.now().Add(lingerTime))
	_, _ = io.CopyN(io.Discard, r.Body, o.limits.Request)
}
