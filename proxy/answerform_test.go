package proxy_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/wxproxy/wxproxy/proxy"
)

// A route may say how WeChat Pay is answered, for events that the table does
// not know or knows wrongly.
func TestAnswerFormOfRoute(t *testing.T) {
	t.Parallel()
	const text = `{"code":"SUCCESS","data":1}`
	for _, row := range []struct {
		form   proxy.AnswerForm
		event  string
		own    bool // the app's own status and body go back
		signed bool
	}{
		{"", "NEW.QUESTION", false, false},
		{proxy.AnswerByTable, "NEW.QUESTION", false, false},
		{proxy.AnswerByTable, "PARKING_FEE.QUERY_TRANS_INFO", true, false},
		{proxy.AnswerByTable, "CROSS_BORDER_PAY.GET_MCH_INFO", true, true},
		{proxy.AnswerApp, "NEW.QUESTION", true, false},
		{proxy.AnswerApp, "TRANSACTION.SUCCESS", true, false},
		{proxy.AnswerApp, "CROSS_BORDER_PAY.GET_MCH_INFO", true, false},
		{proxy.AnswerSigned, "NEW.QUESTION", true, true},
		{proxy.AnswerSigned, "PARKING_FEE.QUERY_TRANS_INFO", true, true},
		{proxy.AnswerAck, "NEW.QUESTION", false, false},
		{proxy.AnswerAck, "CROSS_BORDER_PAY.GET_MCH_INFO", false, false},
	} {
		t.Run(string(row.form)+" "+row.event, func(t *testing.T) {
			t.Parallel()
			a := newApp(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(text)) })
			g := newGate(t, a, func(o *proxy.NotifyOptions) { o.Routes[0].Answer = row.form })
			for range 2 {
				answer := g.post(notice{event: row.event})
				if !row.own {
					answer.acknowledged(t)
				} else if answer.status != 200 || answer.body != text {
					t.Errorf("got %d %q", answer.status, answer.body)
				}
				if signed := answer.header.Get("Authorization") != ""; signed != row.signed {
					t.Errorf("signed: %v", signed)
				}
			}
			want := 1 // what is only acknowledged comes to the app once
			if row.own {
				want = 2
			}
			if n := len(a.seen()); n != want {
				t.Errorf("%d deliveries, want %d", n, want)
			}
		})
	}
}

func TestAnswerFormRefused(t *testing.T) {
	t.Parallel()
	_, err := proxy.NewNotify(proxy.NotifyOptions{
		Merchants: []*proxy.Merchant{shop(t, newTrust())}, Table: table(t),
		Routes: []proxy.Route{{Path: "/n", To: "http://127.0.0.1", Answer: "yes"}},
	})
	if err == nil {
		t.Error("accepted")
	}
}

// An app that answers in time is heard up to the end of its family's time; one
// that is later is not, and nothing of it is signed.
func TestAnswerWithinItsTime(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		event string
		after time.Duration
		heard bool
	}{
		{"PARKING_FEE.QUERY_TRANS_INFO", 2600 * time.Millisecond, true},
		{"PARKING_FEE.QUERY_TRANS_INFO", 2800 * time.Millisecond, false},
		{"CROSS_BORDER_PAY.PUSH_ORDER_INFO", 2600 * time.Millisecond, true},
		{"CROSS_BORDER_PAY.PUSH_ORDER_INFO", 2800 * time.Millisecond, false},
		{"ENTRUST.TERMINATE_RETENTION", 800 * time.Millisecond, true},
		{"ENTRUST.TERMINATE_RETENTION", time.Second, false},
	} {
		inBubble(t, row.after, 200, nil, func(t *testing.T, b *bubble) {
			answer, _ := b.post(t, notice{event: row.event})
			if !row.heard {
				answer.sentBack(t, 503)
			} else if answer.status != 200 || answer.body != "{}" {
				t.Errorf("%s after %s: got %d %q", row.event, row.after, answer.status, answer.body)
			}
		})
	}
}
