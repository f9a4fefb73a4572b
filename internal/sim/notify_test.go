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

func TestNotifyFaults(t *testing.T) {
	t.Parallel()
	events := func(v *receiver) (list []string) {
		for _, d := range v.seen {
			list = append(list, d.event)
		}
		return list
	}
	for _, row := range []struct {
		fault sim.Fault
		want  []string        // events as they arrive, FIRST. before SECOND.
		times []time.Duration // nil: not compared
	}{
		{sim.Fault{Kind: sim.FaultDuplicate, Match: "FIRST"}, []string{"FIRST.E", "FIRST.E", "SECOND.E"}, []time.Duration{0, 0, 1e9}},
		{sim.Fault{Kind: sim.FaultOutOfOrder, Match: "FIRST"}, []string{"SECOND.E", "FIRST.E"}, []time.Duration{1e9, 1e9}},
		{sim.Fault{Kind: sim.FaultOutOfOrder, Match: "SECOND"}, []string{"FIRST.E", "SECOND.E"}, []time.Duration{0, 16e9}},
		{sim.Fault{Kind: sim.FaultDrop, Match: "FIRST"}, []string{"SECOND.E", "FIRST.E"}, []time.Duration{1e9, 15e9}},
		{sim.Fault{Kind: sim.FaultSlow, On: sim.OnNotify, Delay: 3e9, Match: "FIRST"}, []string{"SECOND.E", "FIRST.E"}, []time.Duration{1e9, 3e9}},
		{sim.Fault{Kind: sim.FaultProbe, On: sim.OnNotify, Match: "OTHER"}, []string{"FIRST.E", "SECOND.E"}, nil},
	} {
		bubble(t, sim.Options{}, always(204), func(t *testing.T, s *sim.Sim, v *receiver) {
			if _, err := s.Fault(row.fault); err != nil {
				t.Fatal(err)
			}
			for _, event := range []string{"FIRST.E", "SECOND.E"} {
				if _, err := s.Notify("http://127.0.0.1/n", sim.Notice{Event: event}); err != nil {
					t.Fatal(err)
				}
				pass(time.Second)
			}
			pass(time.Hour)
			if got := events(v); !slices.Equal(got, row.want) {
				t.Errorf("%s: got %v, want %v", row.fault.Kind, got, row.want)
			}
			if got := v.times(); row.times != nil && !slices.Equal(got, row.times) {
				t.Errorf("%s: at %v, want %v", row.fault.Kind, got, row.times)
			}
		})
	}
}

// Whoever takes a forgery is told on, and gets the genuine notify all the same.
func TestForgeryTaken(t *testing.T) {
	t.Parallel()
	bubble(t, sim.Options{}, always(204), func(t *testing.T, s *sim.Sim, v *receiver) {
		if _, err := s.Fault(sim.Fault{Kind: sim.FaultProbe, On: sim.OnNotify}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Notify("http://127.0.0.1/n", sim.Notice{Event: "REFUND.SUCCESS"}); err != nil {
			t.Fatal(err)
		}
		pass(time.Hour)
		var verdicts []string
		for _, e := range s.Log(0) {
			verdicts = append(verdicts, e.Verdict)
		}
		if want := []string{sim.VerdictFooled, sim.VerdictTaken}; !slices.Equal(verdicts, want) {
			t.Errorf("got %v, want %v", verdicts, want)
		}
		if v.seen[0].id != v.seen[1].id {
			t.Error("the genuine notify has another ID than the forged one")
		}
	})
}

// The share of notifies that the public key signs is exact.
func TestGrayNotifies(t *testing.T) {
	t.Parallel()
	for percent, want := range map[float64]int{0: 0, 1: 2, 20: 40, 50: 100, 100: 200} {
		bubble(t, sim.Options{}, always(204), func(t *testing.T, s *sim.Sim, v *receiver) {
			if err := s.UsePublicKey(sim.PublicKeyOn, percent); err != nil {
				t.Fatal(err)
			}
			for range 200 {
				if _, err := s.Notify("http://127.0.0.1/n", sim.Notice{Event: "REFUND.SUCCESS"}); err != nil {
					t.Fatal(err)
				}
				pass(time.Millisecond)
			}
			id, _ := s.PublicKey()
			byKey := 0
			for _, d := range v.seen {
				if d.serial == id {
					byKey++
				}
			}
			if byKey != want || len(v.seen) != 200 {
				t.Errorf("%v %%: %d of %d, want %d", percent, byKey, len(v.seen), want)
			}
		})
	}
}

func TestWhereNotifiesGo(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, to string
		options  sim.Options
		want     string // empty: nowhere
	}{
		{"loopback", "http://127.0.0.1:3000/n", sim.Options{}, "http://127.0.0.1:3000/n"},
		{"localhost", "http://localhost/n", sim.Options{}, "http://localhost/n"},
		{"loopback of IPv6", "http://[::1]:1/n", sim.Options{}, "http://[::1]:1/n"},
		{"another machine", "https://pay.example.com/n", sim.Options{}, ""},
		{"a name that looks local", "http://127.0.0.1.example.com/n", sim.Options{}, ""},
		{"another machine, allowed", "https://pay.example.com/n", sim.Options{AllowRemoteNotify: true}, "https://pay.example.com/n"},
		{"base", "https://pay.example.com/a/b%2Fc", sim.Options{NotifyBase: "http://127.0.0.1:8443"}, "http://127.0.0.1:8443/a/b%2Fc"},
	} {
		bubble(t, row.options, always(204), func(t *testing.T, s *sim.Sim, v *receiver) {
			order(t, s, "ORDER001", row.to)
			if err := s.Pay("ORDER001"); err != nil {
				t.Fatal(err)
			}
			pass(time.Second)
			got := ""
			if len(v.seen) > 0 {
				got = v.seen[0].url
			}
			if got != row.want {
				t.Errorf("%s: went to %q, want %q", row.name, got, row.want)
			}
			if e := last(t, s); row.want == "" && (e.Verdict != sim.VerdictGivenUp || e.Reason == "") {
				t.Errorf("%s: log ends with %+v", row.name, e)
			}
		})
	}
}

func TestAutoPayAndRefund(t *testing.T) {
	t.Parallel()
	bubble(t, sim.Options{AutoPay: time.Minute}, always(200), func(t *testing.T, s *sim.Sim, v *receiver) {
		order(t, s, "ORDER001", "http://127.0.0.1/n")
		pass(time.Minute)
		call(t, s, "POST", refunds, refundBody("ORDER001", "R1", 100, 100))
		pass(time.Minute)
		if len(v.seen) != 2 || v.seen[0].event != "TRANSACTION.SUCCESS" || v.seen[1].event != "REFUND.SUCCESS" {
			t.Fatalf("got %+v", v.seen)
		}
		if got, want := v.times(), []time.Duration{time.Minute, time.Minute + 500*time.Millisecond}; !slices.Equal(got, want) {
			t.Errorf("at %v, want %v", got, want)
		}
	})
}

// Run waits for a delivery in progress, and starts no other.
func TestRunDrains(t *testing.T) {
	t.Parallel()
	keys := newKeys()
	synctest.Test(t, func(t *testing.T) {
		v := &receiver{}
		client := v.client(func(int, delivery) (*http.Response, error) {
			time.Sleep(4 * time.Second)
			return respond(204), nil
		})
		s := newSim(t, sim.Options{NewKey: keys, Client: client})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		if _, err := s.Notify("http://127.0.0.1/n", sim.Notice{Event: "REFUND.SUCCESS"}); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		cancel()
		synctest.Wait()
		if _, err := s.Notify("http://127.0.0.1/n", sim.Notice{Event: "REFUND.SUCCESS"}); err != nil {
			t.Fatal(err)
		}
		select {
		case <-ended:
			t.Fatal("Run ended before the delivery")
		default:
		}
		if err := <-ended; err != nil || time.Since(v.begin) != 4*time.Second {
			t.Errorf("Run: %v after %v", err, time.Since(v.begin))
		}
		if e := last(t, s); e.Verdict != sim.VerdictTaken || len(v.seen) != 1 {
			t.Errorf("%d deliveries, log ends with %+v", len(v.seen), e)
		}
	})
}
