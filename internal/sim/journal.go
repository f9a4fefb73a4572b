package sim

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Kinds of log entries.
const (
	KindRequest = "request" // of a merchant to the API
	KindNotify  = "notify"  // delivery, or attempt at one
)

// Verdicts of log entries.
const (
	VerdictAccepted = "accepted"  // request carried out
	VerdictRefused  = "refused"   // request answered with an error
	VerdictTaken    = "taken"     // notify answered 200 or 204
	VerdictNotTaken = "not taken" // notify answered otherwise, or not at all; it comes again
	VerdictGivenUp  = "given up"  // notify not taken, and that was the last attempt
	VerdictHeld     = "held"      // notify waits until another went out
	// VerdictFooled: the receiver took a notify whose signature is not genuine.
	// It does not verify.
	VerdictFooled = "forgery taken"
)

// Entry is one line of the log. It never holds an Authorization, a key or a
// body.
type Entry struct {
	Seq        int64     `json:"seq"`
	Time       time.Time `json:"time"`
	Kind       string    `json:"kind"`
	Method     string    `json:"method"`
	Target     string    `json:"target"` // of a request as on the wire; of a notify the URL
	MchID      string    `json:"mchid,omitempty"`
	Serial     string    `json:"serial,omitempty"` // of the key that signed
	Status     int       `json:"status,omitempty"`
	Verdict    string    `json:"verdict"`
	Reason     string    `json:"reason,omitempty"`
	RequestID  string    `json:"request_id,omitempty"`
	OutTradeNo string    `json:"out_trade_no,omitempty"`
	Event      string    `json:"event,omitempty"`
	NotifyID   string    `json:"notify_id,omitempty"`
	Attempt    int       `json:"attempt,omitempty"` // 1 is the first delivery
	Fault      string    `json:"fault,omitempty"`   // what the simulator spoiled on order
}

const journalSize = 2000

// journal is the bounded log: the newest entries push out the oldest.
type journal struct {
	mu sync.Mutex

	entries []Entry
	last    int64
	grown   chan struct{} // closed and replaced when an entry is added
}

func newJournal() *journal { return &journal{grown: make(chan struct{})} }

func (s *Sim) record(e Entry) {
	e.Time = s.now()
	s.journal.add(e)
	s.log.LogAttrs(context.Background(), slog.LevelInfo, e.Kind,
		slog.String("method", e.Method), slog.String("target", e.Target), slog.Int("status", e.Status),
		slog.String("verdict", e.Verdict), slog.String("reason", e.Reason), slog.String("event", e.Event),
		slog.String("notify_id", e.NotifyID), slog.Int("attempt", e.Attempt), slog.String("request_id", e.RequestID))
}

func (j *journal) add(e Entry) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.last++
	e.Seq = j.last
	if len(j.entries) == journalSize {
		j.entries = append(j.entries[:0:0], j.entries[journalSize/10:]...)
	}
	j.entries = append(j.entries, e)
	close(j.grown)
	j.grown = make(chan struct{})
}

// since returns the entries after seq and a channel that closes at the next.
func (j *journal) since(seq int64) ([]Entry, <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for i, e := range j.entries {
		if e.Seq > seq {
			return append([]Entry(nil), j.entries[i:]...), j.grown
		}
	}
	return nil, j.grown
}

// Log returns the entries whose Seq is above since, oldest first; those pushed
// out of the bounded log are gone.
func (s *Sim) Log(since int64) []Entry {
	entries, _ := s.journal.since(since)
	return entries
}

// Await returns the first entry above since that match accepts, waiting for it
// until ctx ends.
func (s *Sim) Await(ctx context.Context, since int64, match func(Entry) bool) (Entry, error) {
	for {
		entries, grown := s.journal.since(since)
		for _, e := range entries {
			if match(e) {
				return e, nil
			}
			since = e.Seq
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return Entry{}, ctx.Err()
		}
	}
}
