package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync/atomic"
)

// budget bounds the bytes of bodies held at one time by all requests.
type budget struct {
	limit int64
	held  atomic.Int64
	turn  chan struct{} // has room for the one answer that may go beyond limit
}

func newBudget(limit int64) *budget { return &budget{limit: limit, turn: make(chan struct{}, 1)} }

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

const (
	readChunk = 32 << 10
	// answerRoom is what a call that changes something reserves for its answer
	// before it is sent, in bytes. It is more than the answers of payments,
	// refunds and transfers have, and lets 8192 of them wait in 64 MiB.
	answerRoom = 8 << 10
)

// read reads a whole body of at most limit bytes, taking from the budget as it
// grows. The caller gives back what is returned as held, on errors too.
func (b *budget) read(r io.Reader, length, limit int64) (body []byte, held int64, err error) {
	body, held, err = readWhole(r, length, limit, 0, b.take)
	if err == nil {
		b.give(held - int64(len(body))) // most calls read, and have no body to hold
		held = int64(len(body))
	}
	return body, held, err
}

// readWhole reads a body for which held bytes are reserved; take reserves more.
func readWhole(r io.Reader, length, limit, held int64, take func(int64) error) ([]byte, int64, error) {
	if length > limit {
		return nil, held, errTooLarge
	}
	var buf bytes.Buffer
	for {
		if int64(buf.Len()) == held {
			if err := take(readChunk); err != nil {
				return nil, held, err
			}
			held += readChunk
		}
		_, err := io.CopyN(&buf, r, held-int64(buf.Len()))
		switch {
		case int64(buf.Len()) > limit:
			return nil, held, errTooLarge
		case errors.Is(err, io.EOF):
			return buf.Bytes(), held, nil
		case err != nil:
			return nil, held, err
		}
	}
}

// reserveAnswer takes the room for an answer's beginning while nothing is sent
// yet: once WeChat Pay has executed a call, its answer must not be lost for want
// of memory. Who only reads can ask again.
func (o *Outbound) reserveAnswer(x *exchange) *failure {
	if x.endpoint.Repeatable {
		return nil
	}
	if err := o.inFlight.take(answerRoom); err != nil {
		return o.busy()
	}
	x.held, x.answered = x.held+answerRoom, answerRoom
	return nil
}

// readAnswer reads an answer that has to be verified.
func (o *Outbound) readAnswer(ctx context.Context, x *exchange) error {
	body, held, err := readWhole(x.answer.Body, x.answer.ContentLength, o.limits.Response, x.answered, o.takeAnswer(ctx, x))
	x.body, x.held, x.answered = body, x.held+held-x.answered, held
	if err == nil {
		o.shrinkAnswer(x, min(held, max(answerRoom, int64(len(body)))))
		if x.beyond && o.inFlight.held.Load() <= o.inFlight.limit { // the app may take its time to read it
			o.endTurn(x)
		}
	}
	return err
}

// takeAnswer takes more for an answer. Of a call that only reads it fails when
// the budget is used up. Any other waits, within its time, for the turn to go
// beyond the budget. One answer at a time has it, so no more than one
// outbound.limits.response is held beyond, and those who wait do so for one that
// gets on.
func (o *Outbound) takeAnswer(ctx context.Context, x *exchange) func(int64) error {
	return func(n int64) error {
		err := o.inFlight.take(n)
		if err == nil || x.endpoint.Repeatable {
			return err
		}
		if !x.beyond {
			select {
			case o.inFlight.turn <- struct{}{}:
				x.beyond = true
			case <-ctx.Done():
				return err
			}
		}
		o.inFlight.held.Add(n)
		return nil
	}
}

// giveAnswer gives back what an answer took, but for keep bytes for the next.
func (o *Outbound) giveAnswer(x *exchange, keep int64) {
	o.shrinkAnswer(x, keep)
	if x.beyond {
		o.endTurn(x)
	}
}

func (o *Outbound) shrinkAnswer(x *exchange, keep int64) {
	o.inFlight.give(x.answered - keep)
	x.held, x.answered = x.held-x.answered+keep, keep
}

// endTurn lets another answer go beyond the budget.
func (o *Outbound) endTurn(x *exchange) {
	x.beyond = false
	<-o.inFlight.turn
}

// busy says that in_flight has no room now.
func (o *Outbound) busy() *failure {
	return fail(ReasonBusy, "outbound.limits.in_flight (%d bytes) is used up; try again", o.inFlight.limit)
}
