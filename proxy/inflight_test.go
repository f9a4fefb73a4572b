package proxy_test

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/wxproxy/wxproxy/proxy"
)

// rush is a WeChat Pay that answers after others have used up what is in
// flight.
type rush struct {
	*rig

	wechat *wechat
	taken  atomic.Int64
}

func newRush(t *testing.T, reply answer, before func()) *rush {
	t.Helper()
	c := &rush{}
	c.wechat = newWechat(t, func(w http.ResponseWriter, r *http.Request) {
		before()
		c.taken.Add(c.out.FillBudget())
		reply.serve(w, r)
	})
	c.rig = newRig(t, c.wechat)
	return c
}

// left checks that nothing is held but what the others took.
func (c *rush) left(t *testing.T) {
	t.Helper()
	c.out.GiveBudget(c.taken.Load())
	c.settled(t)
}

const refunds = "/v3/refund/domestic/refunds"

// WeChat Pay's answer to a call that it has executed reaches the app, however
// little is left of in_flight by then. A call that only reads can ask again.
func TestAnswerInARush(t *testing.T) {
	t.Parallel()
	short, long := `{"refund_id":"1"}`, `{"refund_id":"`+strings.Repeat("1", 200<<10)+`"}`
	for name, test := range map[string]struct {
		method, target, answer string
		passes                 bool
	}{
		"a refund":              {"POST", refunds, short, true},
		"an unknown call":       {"POST", "/v3/x", short, true},
		"a deletion":            {"DELETE", "/v3/x", short, true},
		"a refund, long answer": {"POST", refunds, long, true},
		"a query":               {"GET", "/v3/x", short, false},
		"a query, long answer":  {"GET", "/v3/x", long, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newRush(t, answer{body: test.answer}, func() {})
			g := c.do(test.method, test.target, "")
			if !test.passes {
				g.refused(t, 503, proxy.ReasonBusy)
			} else if g.passed(t, 200, "true"); g.body != test.answer {
				t.Errorf("the answer has %d bytes, want %d", len(g.body), len(test.answer))
			}
			c.left(t)
		})
	}
}

// Long answers that find in_flight used up go beyond it one after the other.
func TestLongAnswersInARush(t *testing.T) {
	t.Parallel()
	const calls = 4
	var sent, all sync.WaitGroup
	sent.Add(calls)
	c := newRush(t, answer{body: `{"refund_id":"` + strings.Repeat("1", 200<<10) + `"}`}, func() {
		sent.Done()
		sent.Wait()
	})
	for range calls {
		all.Go(func() {
			if g := c.do("POST", refunds, ""); g.status != 200 {
				t.Errorf("got %d %s", g.status, g.body)
			}
		})
	}
	all.Wait()
	c.left(t)
}

// A repeat has the room that the first attempt had.
func TestRepeatInARush(t *testing.T) {
	t.Parallel()
	c := newRush(t, answer{status: 503, bare: true}, func() {})
	g := c.do("POST", refunds, `{"out_refund_no":"R1"}`)
	g.passed(t, 503, "false")
	if n := len(c.wechat.seen()); n != 3 {
		t.Errorf("%d attempts, want 3", n)
	}
	c.left(t)
}

// Where there is no room for the answer, nothing is sent.
func TestNoRoomForTheAnswer(t *testing.T) {
	t.Parallel()
	w := newWechat(t, nil)
	r := newRig(t, w, func(s *setup) { s.Limits.InFlight = 36 << 10 })
	r.do("POST", "/v3/x", strings.Repeat("x", 30<<10)).refused(t, 503, proxy.ReasonBusy)
	if n := len(w.seen()); n != 0 {
		t.Errorf("%d calls were sent", n)
	}
	r.settled(t)
	r.do("POST", "/v3/x", strings.Repeat("x", 20<<10)).passed(t, 200, "true")
	r.settled(t)
}
