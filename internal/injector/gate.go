package injector

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Bounds on what reviews hold at once. Whoever may create a pod decides about
// its size, and every pod of the cluster can call the webhook itself; the
// injector serves all others too, and has to fit into its memory limit.
const (
	maxReview   = 8 << 20         // API servers take objects of 3 MiB; a review may have two, and defaults
	smallReview = 64 << 10        // nearly all are; they do not wait for large ones to arrive
	maxHeld     = 128             // reviews, from the first byte of the body to the last of the answer
	maxLarge    = 2               // those of which the body or the answer is larger
	maxWorking  = 4               // reviews that are judged
	maxWait     = 2 * time.Second // for a turn; API servers wait 10 seconds
	maxRead     = 5 * time.Second // for a body
	maxWrite    = 5 * time.Second // for an answer
)

// errBusy is an answer to come back. API servers do, while they have time.
var errBusy = errors.New("the injector is busy with other pods; try again")

// gate lets a bounded number of reviews in.
type gate struct{ held, large, working chan struct{} }

func newGate() *gate {
	return &gate{make(chan struct{}, maxHeld), make(chan struct{}, maxLarge), make(chan struct{}, maxWorking)}
}

// visit is one review and the places that it has taken.
type visit []chan struct{}

func (v *visit) enter(ctx context.Context, places chan struct{}) error {
	timer := time.NewTimer(maxWait)
	defer timer.Stop()
	select {
	case places <- struct{}{}:
		*v = append(*v, places)
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return errBusy
	}
}

// take is for those who hold too much to wait, or who are too many.
func (v *visit) take(places chan struct{}) error {
	select {
	case places <- struct{}{}:
		*v = append(*v, places)
		return nil
	default:
		return errBusy
	}
}

// leave gives the places back.
func (v *visit) leave() {
	for _, places := range *v {
		<-places
	}
}

// receive reads a review.
func (g *gate) receive(w http.ResponseWriter, r *http.Request, v *visit) ([]byte, error) {
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(maxRead)) // where there is a connection
	if err := v.take(g.held); err != nil {
		return nil, err
	}
	in := http.MaxBytesReader(w, r.Body, maxReview)
	var body bytes.Buffer
	_, err := io.CopyN(&body, in, smallReview)
	if err == nil {
		if err := v.enter(r.Context(), g.large); err != nil {
			return nil, err
		}
		// At once: what grows by doubling holds three times as much.
		body.Grow(rest(r.ContentLength))
		_, err = body.ReadFrom(in)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("the body cannot be read: %w", err)
	}
	_ = control.SetReadDeadline(time.Time{})
	return body.Bytes(), nil
}

// rest is the room for a body of which the small part is read.
func rest(length int64) int {
	if length < 0 || length > maxReview {
		length = maxReview
	}
	return int(length) - smallReview + bytes.MinRead
}
