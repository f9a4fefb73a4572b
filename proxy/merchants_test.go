package proxy_test

import (
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wxproxy/wxproxy/internal/secret"
	"github.com/wxproxy/wxproxy/internal/wire"
	"github.com/wxproxy/wxproxy/proxy"
)

func twoMerchants(t testing.TB) func(*proxy.NotifyOptions) {
	t.Helper()
	return func(o *proxy.NotifyOptions) {
		k := newTrust()
		o.Merchants = []*proxy.Merchant{shop(t, k), otherShop(t, k)}
	}
}

// Whose key opens it, whose it is.
func TestMerchantsOnOnePath(t *testing.T) {
	t.Parallel()
	a, b := newApp(t, nil), newApp(t, nil)
	g := newGate(t, a, twoMerchants(t), func(o *proxy.NotifyOptions) {
		o.Routes = append(o.Routes, proxy.Route{Path: "/notify/shop", To: b.URL, Merchants: []string{"other"}, Events: []string{"REFUND.*"}})
	})
	g.post(notice{id: "1"}).acknowledged(t)
	g.post(notice{id: "2", apiv3: otherAPIv3, plain: `{"mchid":"1900000002"}`}).acknowledged(t)
	g.post(notice{id: "3", apiv3: otherAPIv3, plain: `{"mchid":"1900000002"}`, event: "REFUND.SUCCESS"}).acknowledged(t)
	g.post(notice{id: "4", event: "REFUND.SUCCESS"}).acknowledged(t)
	g.post(notice{id: "5", apiv3: otherAPIv3}).sentBack(t, 500) // opened by one, names the other
	var got []string
	for _, app := range []*app{a, b} {
		for _, d := range app.seen() {
			got = append(got, d.Header.Get("Idempotency-Key")+d.Header.Get("Wxproxy-Merchant"))
		}
	}
	if s := strings.Join(got, " "); s != "1shop 2other 4shop 3other" {
		t.Errorf("delivered %s", s)
	}
}

// A notify is verified with the keys of the merchant whose it is, not with
// those of a neighbour on the same path.
func TestNeighboursKeyDoesNotVerify(t *testing.T) {
	t.Parallel()
	a := newApp(t, nil)
	g := newGate(t, a, func(o *proxy.NotifyOptions) {
		rotated := newTrust()
		rotated.known = publicKeys(rotatedSerial)
		o.Merchants = append(o.Merchants, newMerchant(t, "other", otherMchID, otherSerial, keys().other, rotated, otherAPIv3))
	})
	g.post(notice{id: "1"}).acknowledged(t)
	g.post(notice{id: "2", key: keys().rotated, serial: rotatedSerial, apiv3: otherAPIv3, plain: `{"mchid":"1900000002"}`}).acknowledged(t)
	g.post(notice{id: "3", key: keys().rotated, serial: rotatedSerial}).sentBack(t, 500)
	g.post(notice{id: "4", apiv3: otherAPIv3, plain: `{"mchid":"1900000002"}`}).sentBack(t, 500)
	g.post(notice{id: "5", key: keys().rotated}).sentBack(t, 401)
	if n := len(a.seen()); n != 2 {
		t.Errorf("%d deliveries, want 2", n)
	}
}

// Merchants that a path does not serve have no say on it.
func TestOtherPathsMerchant(t *testing.T) {
	t.Parallel()
	a := newApp(t, nil)
	g := newGate(t, a, twoMerchants(t), func(o *proxy.NotifyOptions) {
		o.Routes = []proxy.Route{
			{Path: "/notify/shop", To: a.URL, Merchants: []string{"shop"}},
			{Path: "/notify/other", To: a.URL, Merchants: []string{"other"}},
		}
	})
	others := notice{id: "2", apiv3: otherAPIv3, plain: `{"mchid":"1900000002"}`}
	g.post(others).sentBack(t, 500)
	others.path = "/notify/other"
	g.post(others).acknowledged(t)
	a.only(t)
}

func TestNoRoute(t *testing.T) {
	t.Parallel()
	a := newApp(t, nil)
	g := newGate(t, a, func(o *proxy.NotifyOptions) { o.Routes[0].Events = []string{"TRANSACTION.*", "REFUND.SUCCESS"} })
	for event, status := range map[string]int{
		"TRANSACTION.SUCCESS": 204, "TRANSACTION.NEW": 204, "REFUND.SUCCESS": 204,
		"REFUND.CLOSED": 503, "REFUND.SUCCESS.X": 503, "TRANSACTIONS.X": 503, "transaction.success": 503, "PARKING_FEE.QUERY_TRANS_INFO": 503,
	} {
		if answer := g.post(notice{id: event, event: event}); answer.status != status {
			t.Errorf("%s: got %d, want %d", event, answer.status, status)
		}
	}
}

func TestMostExactRoute(t *testing.T) {
	t.Parallel()
	apps := make(map[string]*app)
	g := newGate(t, newApp(t, nil), func(o *proxy.NotifyOptions) {
		o.Routes = nil
		for _, pattern := range []string{"", "*", "TRANSACTION.*", "TRANSACTION.S*", "TRANSACTION.SUCCESS"} {
			apps[pattern] = newApp(t, nil)
			r := proxy.Route{Path: "/notify/shop", To: apps[pattern].URL}
			if pattern != "" {
				r.Events = []string{pattern}
			}
			o.Routes = append(o.Routes, r)
		}
	})
	for event, pattern := range map[string]string{
		"TRANSACTION.SUCCESS": "TRANSACTION.SUCCESS", "TRANSACTION.SUCCESS2": "TRANSACTION.S*", "TRANSACTION.FAIL": "TRANSACTION.*", "REFUND.SUCCESS": "*",
	} {
		g.post(notice{id: event, event: event}).acknowledged(t)
		if d := apps[pattern].only(t); d.Header.Get("Wxproxy-Event-Type") != event {
			t.Errorf("%s went elsewhere", event)
		}
	}
}

// One platform key, however many merchants share it, is one RSA check: what a
// check allocates is allocated once. Counting forbids running in parallel.
func TestOneCheckForEachKey(t *testing.T) {
	k := newTrust()
	one := []*proxy.Merchant{shop(t, k)}
	many := slices.Repeat(one, 30)
	body := []byte("{}")
	h := make(http.Header)
	stamp(h, keys().platform, platformSerial, time.Now(), body)
	s, err := wire.ParseStamp(h)
	if err != nil {
		t.Fatal(err)
	}
	allocs := func(list []*proxy.Merchant) float64 {
		return testing.AllocsPerRun(20, func() {
			if n := len(proxy.VerifyKnown(list, s, body)); n != len(list) {
				t.Fatalf("%d of %d merchants verified", n, len(list))
			}
		})
	}
	if a, b := allocs(one), allocs(many); b > 2*a {
		t.Errorf("%.0f allocations for one merchant, %.0f for %d with the same key", a, b, len(many))
	}
}

func TestNotifyOptionsRefused(t *testing.T) {
	t.Parallel()
	good := func() proxy.NotifyOptions {
		k := newTrust()
		return proxy.NotifyOptions{
			Merchants: []*proxy.Merchant{shop(t, k), otherShop(t, k)}, Table: table(t),
			Routes: []proxy.Route{{Path: "/notify", To: "http://127.0.0.1/"}},
		}
	}
	if _, err := proxy.NewNotify(good()); err != nil {
		t.Fatal(err)
	}
	for name, edit := range map[string]func(*proxy.NotifyOptions){
		"same APIv3 key":       func(o *proxy.NotifyOptions) { o.Merchants[1].APIv3Keys = o.Merchants[0].APIv3Keys },
		"no merchants":         func(o *proxy.NotifyOptions) { o.Merchants = nil },
		"no routes":            func(o *proxy.NotifyOptions) { o.Routes = nil },
		"no table":             func(o *proxy.NotifyOptions) { o.Table = nil },
		"path":                 func(o *proxy.NotifyOptions) { o.Routes[0].Path = "notify" },
		"app without a scheme": func(o *proxy.NotifyOptions) { o.Routes[0].To = "127.0.0.1:3000" },
		"app of another":       func(o *proxy.NotifyOptions) { o.Routes[0].To = "file:///etc/passwd" },
		"body form":            func(o *proxy.NotifyOptions) { o.Routes[0].Body = "xml" },
	} {
		o := good()
		edit(&o)
		if _, err := proxy.NewNotify(o); err == nil {
			t.Errorf("%s accepted", name)
		} else if strings.Contains(err.Error(), apiv3Key) {
			t.Errorf("%s: the error has the key in it", name)
		}
	}
	// On paths of their own the same key is no harm.
	o := good()
	o.Merchants[1].APIv3Keys = o.Merchants[0].APIv3Keys
	o.Routes = []proxy.Route{
		{Path: "/1", To: "http://127.0.0.1/", Merchants: []string{"shop"}},
		{Path: "/2", To: "http://127.0.0.1/", Merchants: []string{"other"}},
	}
	if _, err := proxy.NewNotify(o); err != nil {
		t.Error(err)
	}
}

// Keys that became equal while both merchants run: a notify that names its
// merchant goes there, one that names nobody to nobody.
func TestEqualKeysOnOnePath(t *testing.T) {
	t.Parallel()
	var same atomic.Bool
	a := newApp(t, nil)
	g := newGate(t, a, twoMerchants(t), func(o *proxy.NotifyOptions) {
		other := o.Merchants[1].APIv3Keys
		o.Merchants[1].APIv3Keys = func() []secret.Value {
			if same.Load() {
				return o.Merchants[0].APIv3Keys()
			}
			return other()
		}
	})
	same.Store(true)
	g.post(notice{id: "1"}).acknowledged(t)
	g.post(notice{id: "2", plain: `{"mchid":"1900000002"}`}).acknowledged(t)
	g.post(notice{id: "3", plain: `{"complaint_id":"x"}`, event: "COMPLAINT.CREATE"}).sentBack(t, 500)
	g.post(notice{id: "4", plain: `{"mchid":"1900000003"}`}).sentBack(t, 500)
	var got []string
	for _, d := range a.seen() {
		got = append(got, d.Header.Get("Idempotency-Key")+d.Header.Get("Wxproxy-Merchant"))
	}
	if s := strings.Join(got, " "); s != "1shop 2other" {
		t.Errorf("delivered %s", s)
	}
}
