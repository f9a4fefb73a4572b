//go:build e2e

package e2e

import (
	"strings"
	"syscall"
	"testing"
)

// trigger sends one notify and returns the exit code: 0 is acknowledged.
func (s *shop) trigger(t *testing.T, event string, more ...string) (int, string) {
	t.Helper()
	return output(t, nil, append([]string{"trigger", event, "--to", s.notify + "/notify/shop", "--dir", s.wechat.dir}, more...)...)
}

func TestNotify(t *testing.T) {
	t.Parallel()
	s := newShop(t, func(c *setup) {
		c.routes = strings.ReplaceAll(c.routes, "}", `, webhook_secret: "env:HOOK"}`)
		c.env = []string{"HOOK=whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="}
	})

	t.Run("plain JSON, once", func(t *testing.T) {
		s.order(t, "NOTIFY-01").verified(t, 200)
		s.wechat.fault(`{"kind":"duplicate"}`)
		mark := s.wechat.out.mark()
		s.wechat.pay("NOTIFY-01")
		d := s.app.take(204)
		if d.resource(t)["attach"] != "attach of NOTIFY-01" || d.header.Get("Idempotency-Key") == "" || d.header.Get("Webhook-Signature") == "" {
			t.Errorf("the app got %v\n%s", d.header, d.body)
		}
		for range 2 {
			mark += len(s.wechat.out.await(t, mark, `(?s)^.*?msg=notify [^\n]* status=204 verdict=taken`)[0])
		}
		s.app.idle()
	})
	t.Run("again until the app takes it", func(t *testing.T) {
		s.order(t, "NOTIFY-02").verified(t, 200)
		s.wechat.pay("NOTIFY-02")
		first := s.app.take(500)
		second := s.app.take(200)
		if a, b := first.header.Get("Idempotency-Key"), second.header.Get("Idempotency-Key"); a != b || a == "" {
			t.Errorf("ids are %q and %q", a, b)
		}
	})
	t.Run("genuine by trigger", func(t *testing.T) {
		for _, sign := range []string{"public-key", "certificate"} {
			done := make(chan int)
			go func() {
				code, _ := s.trigger(t, "REFUND.SUCCESS", "--sign", sign)
				done <- code
			}()
			s.app.take(204)
			if code := <-done; code != 0 {
				t.Errorf("signed by %s: exit code %d", sign, code)
			}
		}
	})
	for _, fault := range []string{"probe", "stale", "flip", "flip_signature", "wrong_serial", "unsigned", "bad_cipher"} {
		t.Run(fault, func(t *testing.T) {
			code, text := s.trigger(t, "TRANSACTION.SUCCESS", "--fault", fault)
			if code != 1 {
				t.Errorf("exit code %d: %s", code, text)
			}
			s.app.idle()
		})
	}
	t.Run("nothing else is served", func(t *testing.T) {
		for path, status := range map[string]int{"/": 404, "/metrics": 404, "/healthz": 404, "/v3/certificates": 404, "/notify/shop": 405} {
			if got := curl(t, nil, s.notify+path); got.status != status {
				t.Errorf("%s: got %d, want %d", path, got.status, status)
			}
		}
		if got := curl(t, nil, post(s.notify+"/notify/shop", `{}`)...); got.status != 401 || strings.Contains(got.body, "header") {
			t.Errorf("got %s", got.raw)
		}
	})
}

// A notify that is with the app when SIGTERM comes is still answered.
func TestDrain(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	s.order(t, "DRAIN-0001").verified(t, 200)
	mark := s.wechat.out.mark()
	s.wechat.pay("DRAIN-0001")
	d := s.app.next()
	s.signal(syscall.SIGTERM)
	s.out.await(t, 0, `"msg":"shutting down"`)
	// While it works on the notify, the app may need the outbound side.
	curl(t, nil, s.outbound+"/v3/pay/transactions/out-trade-no/DRAIN-0001?mchid="+mchID).verified(t, 200)
	d.answer <- 204
	s.wechat.out.await(t, mark, `msg=notify [^\n]* status=204 verdict=taken`)
	if code := s.code(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// WeChat Pay's own keys change in the middle; no call and no notify is lost.
func TestPlatformKeysChange(t *testing.T) {
	t.Parallel()
	s := newShop(t, func(c *setup) { // certificates alone
		head, _, _ := strings.Cut(c.merchants, "    platform:")
		c.merchants = head
	})
	calls := 0
	works := func(step string) {
		t.Helper()
		calls++
		no := "ROTATE-" + strings.Repeat("x", calls)
		s.order(t, no).verified(t, 200)
		s.wechat.pay(no)
		if got := s.app.take(204).resource(t)["out_trade_no"]; got != no {
			t.Errorf("%s: the app was told of %v", step, got)
		}
	}
	works("before")
	for _, step := range []string{"announce", "switch", "retire"} {
		s.wechat.rotate(step)
		works(step)
	}
}

// The gray switch from certificates to the public key, and back.
func TestPublicKeySwitch(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	for i, mode := range []string{`{"mode":"on","percent":50}`, `{"mode":"on","percent":100}`, `{"mode":"only","percent":100}`, `{"mode":"off","percent":0}`} {
		s.wechat.command("public-key", mode)
		for j := range 2 {
			no := "SWITCH-" + strings.Repeat("y", 1+2*i+j)
			s.order(t, no).verified(t, 200)
			s.wechat.pay(no)
			s.app.take(204)
		}
	}
}
