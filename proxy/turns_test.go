package proxy_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxproxy/wxproxy/proxy"
)

// Sources in debt wait until nobody else does.
func TestTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		turns := proxy.NewTurns(1)
		if err := turns.Take(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		var order []string
		come := func(ctx context.Context, name string, inDebt bool) {
			go func() {
				if err := turns.Take(ctx, inDebt); err == nil {
					order = append(order, name)
				}
			}()
			synctest.Wait() // until it has its place
		}
		gone, leave := context.WithCancel(t.Context())
		come(t.Context(), "in debt", true)
		come(gone, "gone", false)
		come(t.Context(), "first", false)
		come(t.Context(), "in debt too", true)
		come(t.Context(), "second", false)
		leave()
		synctest.Wait()
		for range 4 {
			turns.Give()
			synctest.Wait()
		}
		if want := []string{"first", "second", "in debt", "in debt too"}; !slices.Equal(order, want) {
			t.Errorf("served in the order %q, want %q", order, want)
		}
		turns.Give()
		if err := turns.Take(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		if err := turns.Take(gone, false); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

type appFunc func(*http.Request) (*http.Response, error)

func (f appFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Where more is to be verified than can be at one time, sources in debt wait
// apart, and nobody for longer than WeChat Pay would.
func TestNotifiesWaitForTheirTurn(t *testing.T) {
	t.Parallel()
	keys() // are made outside of the bubble
	synctest.Test(t, func(t *testing.T) {
		app := appFunc(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 204, Body: http.NoBody, Request: r}, nil
		})
		n, err := proxy.NewNotify(proxy.NotifyOptions{
			Merchants: []*proxy.Merchant{shop(t, newTrust())}, Table: table(t),
			Routes: []proxy.Route{{Path: "/notify/shop", To: "http://app.test/", Client: &http.Client{Transport: app}}},
			Guard:  proxy.Guard{FailureRate: 1e-9, FailureBurst: 1},
		})
		if err != nil {
			t.Fatal(err)
		}
		send := func(address string, n1 notice) int {
			r := n1.request(t, "http://x")
			r.RemoteAddr = address + ":1"
			w := httptest.NewRecorder()
			n.ServeHTTP(w, r)
			return w.Code
		}
		if code := send("192.0.2.1", notice{key: keys().rotated}); code != 401 {
			t.Fatalf("got %d", code)
		}
		turns := proxy.NewTurns(0)
		n.LimitTurns(turns)
		var done sync.WaitGroup
		come := func(address, id string, want int) {
			done.Go(func() {
				if code := send(address, notice{id: id}); code != want {
					t.Errorf("%s: got %d, want %d", id, code, want)
				}
			})
			synctest.Wait() // until it has its place
		}
		come("192.0.2.1", "in debt", 204)
		come("192.0.2.1", "in debt too", 204)
		come("192.0.2.2", "genuine", 204)
		if others, inDebt := turns.Waiting(); others != 1 || inDebt != 2 {
			t.Errorf("%d wait in debt and %d besides", inDebt, others)
		}
		turns.Give()
		done.Wait() // they hand it on
		n.LimitTurns(proxy.NewTurns(0))
		start := time.Now()
		come("192.0.2.2", "too late", 503)
		done.Wait()
		if took := time.Since(start); took > 5*time.Second { // of the bubble's clock
			t.Errorf("waited %s", took)
		}
		if err := n.Drain(context.Background()); err != nil {
			t.Fatal(err)
		}
	})
}
