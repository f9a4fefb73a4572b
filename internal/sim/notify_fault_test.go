package sim_test

import (
	"context"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxproxy/wxproxy/internal/sim"
)

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
