package proxy

import (
	"bytes"
	"errors"
	"io"
	"slices"
)

// tape reads a form for its parser and keeps the bytes until they may be sent:
// those that the parser has judged, and no more.
//
// The parser reads ahead. How far does not show, but it cannot be farther than
// its buffer is long; so many of the bytes that it was given always stay back.
type tape struct {
	from   io.Reader
	budget *budget
	limit  int64 // bytes in all

	total  int64  // bytes read so far
	held   int64  // of the budget; whoever made the tape gives it back
	buf    []byte // buf[off:] is read and not yet sent
	off    int
	fed    int  // buf[:fed] was given to the parser
	window int  // the parser's buffer, as its first read shows it
	byLine bool // give the parser no byte beyond the line that it asks for
	open   bool // all was judged: what else comes may pass
	err    error
}

// tapeRoom is the least that a read from the app asks for.
const tapeRoom = 4 << 10

// errCut is what the parser reads at the end of the app's body. It is no
// io.EOF, which the parser itself returns only after the last boundary then.
var errCut = errors.New("the form ends before its last boundary")

// Read feeds the parser.
func (t *tape) Read(p []byte) (int, error) {
	t.window = max(t.window, len(p))
	if t.fed == len(t.buf) {
		t.fill()
	}
	next := t.buf[t.fed:]
	if len(next) == 0 && errors.Is(t.err, io.EOF) {
		return 0, errCut
	}
	if len(next) == 0 {
		return 0, t.err
	}
	if i := bytes.IndexByte(next, '\n'); t.byLine && i >= 0 {
		next = next[:i+1]
	}
	n := copy(p, next)
	t.fed += n
	return n, nil
}

// fill reads once from the app.
func (t *tape) fill() {
	if t.err != nil {
		return
	}
	if t.off > len(t.buf)/2 || t.off == len(t.buf) {
		t.buf = t.buf[:copy(t.buf, t.buf[t.off:])]
		t.fed, t.off = t.fed-t.off, 0
	}
	if cap(t.buf)-len(t.buf) < tapeRoom {
		if t.err = t.grow(); t.err != nil {
			return
		}
	}
	n, err := t.from.Read(t.buf[len(t.buf):cap(t.buf)])
	t.buf = t.buf[:len(t.buf)+n]
	t.total += int64(n)
	t.err = err
	if t.total > t.limit {
		t.err = errTooLarge
	}
}

func (t *tape) grow() error {
	size := max(2*cap(t.buf), readChunk)
	more := int64(size) - t.held
	if err := t.budget.take(more); err != nil {
		return err
	}
	t.held += more
	t.buf = append(make([]byte, 0, size), t.buf...)
	return nil
}

// pass lets all that was read, and what comes, be sent without the parser.
func (t *tape) pass() { t.open = true }

// endsWith reports whether the last line that was read is line, without a line
// break after it.
func (t *tape) endsWith(line string) bool {
	return t.fed == len(t.buf) && bytes.HasSuffix(bytes.TrimRight(t.buf[t.off:], " \t"), []byte("\n"+line))
}

// waiting reports whether the parser can go on without a read from the app.
func (t *tape) waiting() bool { return t.fed < len(t.buf) }

// safe is the end of what may be sent.
func (t *tape) safe() int {
	if t.open {
		return len(t.buf)
	}
	return max(t.off, t.fed-t.window)
}

// send takes off what may be sent, as much as p holds.
func (t *tape) send(p []byte) int {
	n := copy(p, t.buf[t.off:t.safe()])
	t.off += n
	return n
}

// replace puts other bytes in the place of some that were read and not sent.
func (t *tape) replace(at int, before, after []byte) error {
	if t.off != 0 || at+len(before) > t.fed || !bytes.Equal(t.buf[at:at+len(before)], before) {
		return errors.New("the text is not where it was read")
	}
	t.buf = slices.Replace(t.buf, at, at+len(before), after...)
	t.fed += len(after) - len(before)
	return nil
}
