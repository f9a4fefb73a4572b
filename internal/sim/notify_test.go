package sim_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxproxy/wxproxy/internal/endpoint"
	"github.com/wxproxy/wxproxy/internal/sim"
	"github.com/wxproxy/wxproxy/internal/wire"
)

// delivery is what a receiver saw of one delivery.
type delivery struct {
	at                            time.Duration // since the start
	id, event, url, nonce, serial string
	signature, agent, contentType string
	timestamp                     int64
}

// receiver is an app that answers by a function of the delivery's number.
type receiver struct {
	begin time.Time
	seen  []delivery
}

func (v *receiver) client(answer func(n int, d delivery) (*http.Response, error)) *http.Client {
	v.begin = time.Now()
	return &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		e, err := wire.ParseEnvelope(body)
		if err != nil {
			return nil, err
		}
		d := delivery{at: time.Since(v.begin), id: e.ID, event: e.EventType, url: r.URL.String(), agent: r.UserAgent(), contentType: r.Header.Get("Content-Type")}
		if stamp, err := wire.ParseStamp(r.Header); err == nil {
			d.nonce, d.serial, d.signature, d.timestamp = stamp.Nonce, stamp.Serial, stamp.Signature, stamp.Unix
		}
		v.seen = append(v.seen, d)
		resp, err := answer(len(v.seen), d)
		if r.Context().Err() != nil {
			return nil, r.Context().Err()
		}
		return resp, err
	})}
}

func always(status int) func(int, delivery) (*http.Response, error) {
	return func(int, delivery) (*http.Response, error) { return respond(status), nil }
}

// bubble runs a simulator under a fake clock.
func bubble(t *testing.T, o sim.Options, answer func(int, delivery) (*http.Response, error), do func(*testing.T, *sim.Sim, *receiver)) {
	t.Helper()
	o.NewKey = newKeys()
	synctest.Test(t, func(t *testing.T) {
		v := &receiver{}
		o.Client = v.client(answer)
		s := newSim(t, o)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		do(t, s, v)
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// pass lets time go by; under the fake clock that takes none.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (v *receiver) times() []time.Duration {
	var list []time.Duration
	for _, d := range v.seen {
		list = append(list, d.at)
	}
	return list
}

// A notify that is never taken comes on the schedule of its event, each time
// with the same ID and a signature of its own, and then no more.
func TestRetrySchedule(t *testing.T) {
	t.Parallel()
	table, err := endpoint.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, event := range []string{"TRANSACTION.SUCCESS", "MCHTRANSFER.BILL.FINISHED", "COUPON.USE"} {
		for _, speedUp := range []float64{0, 60} {
			bubble(t, sim.Options{SpeedUp: speedUp}, always(500), func(t *testing.T, s *sim.Sim, v *receiver) {
				if _, err := s.Notify("http://127.0.0.1/n", sim.Notice{Event: event}); err != nil {
					t.Fatal(err)
				}
				pass(48 * time.Hour)
				want := []time.Duration{0}
				for _, delay := range table.Event(event).Retry {
					want = append(want, want[len(want)-1]+time.Duration(float64(delay)/max(speedUp, 1)))
				}
				if got := v.times(); !slices.Equal(got, want) {
					t.Errorf("%s at %v times the speed:\n got %v\nwant %v", event, speedUp, got, want)
				}
				nonces := make(map[string]bool)
				for i, d := range v.seen {
					nonces[d.nonce] = true
					if d.id != v.seen[0].id {
						t.Errorf("delivery %d has another ID", i)
					}
					if sent := v.begin.Add(d.at).Unix(); d.timestamp != sent {
						t.Errorf("delivery %d is stamped %d s from its time", i, d.timestamp-sent)
					}
				}
				if len(nonces) != len(v.seen) {
					t.Errorf("%d nonces in %d deliveries", len(nonces), len(v.seen))
				}
				if e := last(t, s); e.Verdict != sim.VerdictGivenUp || e.Attempt != len(want) {
					t.Errorf("log ends with %+v", e)
				}
			})
		}
	}
}

// Only 200 and 204 are a yes; a redirect is not followed, silence ends at 5 s.
func TestWhatIsTaken(t *testing.T) {
	t.Parallel()
	hang := func(int, delivery) (*http.Response, error) {
		time.Sleep(10 * time.Second)
		return respond(204), nil
	}
	for _, row := range []struct {
		name   string
		answer func(int, delivery) (*http.Response, error)
		taken  bool
	}{
		{"200", always(200), true},
		{"204", always(204), true},
		{"201", always(201), false},
		{"302", func(int, delivery) (*http.Response, error) {
			r := respond(302)
			r.Header.Set("Location", "http://127.0.0.1/elsewhere")
			return r, nil
		}, false},
		{"401", always(401), false},
		{"500", always(500), false},
		{"connection refused", func(int, delivery) (*http.Response, error) { return nil, errors.New("refused") }, false},
		{"too slow", hang, false},
	} {
		bubble(t, sim.Options{}, row.answer, func(t *testing.T, s *sim.Sim, v *receiver) {
			if _, err := s.Notify("http://127.0.0.1/n", sim.Notice{Event: "REFUND.SUCCESS"}); err != nil {
				t.Fatal(err)
			}
			pass(40 * time.Second)
			if taken := len(v.seen) == 1; taken != row.taken {
				t.Errorf("%s: %d deliveries", row.name, len(v.seen))
			}
			for _, d := range v.seen {
				if d.url != "http://127.0.0.1/n" || d.agent != "Mozilla/4.0" || d.contentType != "application/json" {
					t.Errorf("%s: delivered as %+v", row.name, d)
				}
			}
		})
	}
}
