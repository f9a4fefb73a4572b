package proxy_test

import (
	"bytes"
	"crypto/rsa"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wxproxy/wxproxy/proxy"
	"github.com/wxproxy/wxproxy/verifier"
)

// crowd is many merchants that share the path /notify/all.
type crowd struct {
	merchants []*proxy.Merchant
	trusts    []*trust
	finds     atomic.Int64
	changes   atomic.Uint64
}

func crowdMchID(i int) string { return fmt.Sprintf("16%08d", i) }
func crowdAPIv3(i int) string { return fmt.Sprintf("%032d", i) }
func ownSerial(i int) string  { return fmt.Sprintf("PUB_KEY_ID_01%08d", i) }
func sameSerial(int) string   { return platformSerial }

// newCrowd makes n merchants; serial says under which number each of them
// trusts the platform's key, a copy of which is its own.
func newCrowd(t testing.TB, n int, serial func(i int) string) *crowd {
	t.Helper()
	c := &crowd{}
	for i := range n {
		key := keys().platform.PublicKey
		k := &trust{known: map[string]*rsa.PublicKey{serial(i): &key}}
		m := newMerchant(t, fmt.Sprintf("shop-%d", i), crowdMchID(i), merchantSerial, keys().merchant, k, crowdAPIv3(i))
		m.Find = func(serial string) (*rsa.PublicKey, bool) {
			c.finds.Add(1)
			return k.find(serial)
		}
		m.Serials = k.serials
		c.merchants, c.trusts = append(c.merchants, m), append(c.trusts, k)
	}
	return c
}

func (k *trust) serials() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	var list []string
	for s := range k.known {
		list = append(list, s)
	}
	return list
}

// gate makes a face for the crowd whose app takes everything.
func (c *crowd) gate(t testing.TB, edits ...func(*proxy.NotifyOptions)) *proxy.Notify {
	t.Helper()
	o := proxy.NotifyOptions{
		Merchants: c.merchants, Table: table(t), KeyChanges: c.changes.Load,
		Routes: []proxy.Route{{Path: "/notify/all", To: "http://127.0.0.1/", Client: &http.Client{Transport: takesAll{}}}},
	}
	for _, edit := range edits {
		edit(&o)
	}
	n, err := proxy.NewNotify(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Drain(t.Context()) })
	return n
}

type takesAll struct{}

// RoundTrip implements http.RoundTripper.
func (takesAll) RoundTrip(r *http.Request) (*http.Response, error) {
	_, _ = io.Copy(io.Discard, r.Body)
	return &http.Response{StatusCode: 204, Body: http.NoBody, Header: http.Header{"Merchant": r.Header["Wxproxy-Merchant"]}}, nil
}

func crowdNotice(i int, serial func(i int) string) notice {
	return notice{
		id: fmt.Sprintf("EV-%d", i), serial: serial(i), apiv3: crowdAPIv3(i), path: "/notify/all",
		plain: `{"mchid":"` + crowdMchID(i) + `","out_trade_no":"T1"}`,
	}
}

// post hands a notice in and returns the status.
func post(t testing.TB, n *proxy.Notify, what notice) int {
	t.Helper()
	w := httptest.NewRecorder()
	n.ServeHTTP(w, what.request(t, ""))
	return w.Code
}

// Of many merchants on one path those alone are asked that may have verified a
// notify, also after their keys changed.
func TestManyMerchantsOnOnePath(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, 200, ownSerial)
	n := c.gate(t)
	for _, i := range []int{0, 77, 199} {
		c.finds.Store(0)
		if status := post(t, n, crowdNotice(i, ownSerial)); status != 204 {
			t.Errorf("merchant %d: %d", i, status)
		}
		if finds := c.finds.Load(); finds > 2 {
			t.Errorf("%d look-ups for one notify", finds)
		}
	}
	stranger := crowdNotice(3, ownSerial)
	stranger.serial = ownSerial(4) // a merchant's key, the other merchant's notify
	if status := post(t, n, stranger); status != 500 {
		t.Errorf("a notify that another merchant's key opens: %d", status)
	}

	moved := crowdNotice(5, func(int) string { return rotatedSerial })
	moved.key = keys().rotated
	if status := post(t, n, moved); status != 401 {
		t.Errorf("before the change of keys: %d", status)
	}
	c.trusts[5].mu.Lock()
	c.trusts[5].known = map[string]*rsa.PublicKey{rotatedSerial: &keys().rotated.PublicKey}
	c.trusts[5].mu.Unlock()
	if status := post(t, n, crowdNotice(5, ownSerial)); status != 401 {
		t.Errorf("a key is not trusted any more, and %d", status)
	}
	c.changes.Add(1)
	if status := post(t, n, moved); status != 204 {
		t.Errorf("after the change of keys: %d", status)
	}
}

// Serial numbers are compared whatever their spelling.
func TestSpellingOfSerialNumbers(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, 2, func(i int) string { return fmt.Sprintf("ab%d", i) })
	c.trusts[1].known["AB1"], c.trusts[1].known["00AB1"] = c.trusts[1].known["ab1"], c.trusts[1].known["ab1"]
	n := c.gate(t)
	for i, spelling := range []string{"ab1", "AB1", "00AB1"} {
		what := crowdNotice(1, func(int) string { return spelling })
		what.id = fmt.Sprint(i)
		if status := post(t, n, what); status != 204 {
			t.Errorf("%s: %d", spelling, status)
		}
	}
}

// A serial number that no merchant of a path knows is looked up once, for all
// of them.
func TestSharedRefresh(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, 50, ownSerial)
	k := newTrust()
	k.after = publicKeys(rotatedSerial)
	k.known = make(map[string]*rsa.PublicKey)
	var asked []string
	n := c.gate(t, func(o *proxy.NotifyOptions) {
		o.Shared = func(merchants []string) verifier.Keys {
			asked = merchants
			return k
		}
	})
	if len(asked) != 50 || asked[49] != "shop-49" {
		t.Errorf("shared by %v", asked)
	}
	what := crowdNotice(7, func(int) string { return rotatedSerial })
	what.key = keys().rotated
	for range 2 {
		if status := post(t, n, what); status != 503 || k.refreshed() != 1 {
			t.Errorf("%d after %d refreshes", status, k.refreshed()) // somebody has it, and none of these merchants yet
		}
		clear(k.known)
		k.refreshes = 0
	}
	k.after = nil
	if status := post(t, n, what); status != 401 {
		t.Errorf("the lists came, nobody has it, and %d", status)
	}
	k.fails = verifier.ErrKeysUnavailable
	if status := post(t, n, what); status != 503 {
		t.Errorf("the lists could not be downloaded, and %d", status)
	}
	k.fails = nil
	c.trusts[7].known[rotatedSerial] = &keys().rotated.PublicKey
	c.changes.Add(1)
	if status := post(t, n, what); status != 204 {
		t.Errorf("got %d", status)
	}
	for i, own := range c.trusts {
		if own.refreshed() != 0 {
			t.Errorf("merchant %d was refreshed by itself", i)
		}
	}
}

// Names that could mean two merchants stop the start.
func TestAmbiguousNames(t *testing.T) {
	t.Parallel()
	k := newTrust()
	for name, others := range map[string]*proxy.Merchant{
		"the same alias":            newMerchant(t, "shop", otherMchID, otherSerial, keys().other, k, otherAPIv3),
		"the same mchid":            newMerchant(t, "other", mchID, otherSerial, keys().other, k, otherAPIv3),
		"an alias that is an mchid": newMerchant(t, mchID, otherMchID, otherSerial, keys().other, k, otherAPIv3),
	} {
		merchants := []*proxy.Merchant{shop(t, k), others}
		_, err := proxy.NewNotify(proxy.NotifyOptions{Merchants: merchants, Table: table(t), Routes: []proxy.Route{{Path: "/n", To: "http://127.0.0.1/"}}})
		if err == nil {
			t.Errorf("%s was taken", name)
		}
		up, failed := proxy.NewUpstream(proxy.UpstreamOptions{Bases: bases(t, "http://127.0.0.1:1")})
		if failed != nil {
			t.Fatal(failed)
		}
		if _, err := proxy.NewOutbound(proxy.OutboundOptions{
			Merchants: merchants, Table: table(t), Upstream: up, Limits: proxy.Limits{Request: 1, Response: 1, InFlight: 1},
		}); err == nil {
			t.Errorf("%s was taken by outbound", name)
		}
	}
}

// Series of many merchants and endpoints are bounded; the calls still count.
func TestLabelsAreBounded(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	metrics, err := proxy.NewMetrics(reg)
	if err != nil {
		t.Fatal(err)
	}
	metrics.BoundPairs(3)
	r := newRig(t, newWechat(t, nil), func(s *setup) { s.Metrics = metrics })
	targets := []string{"/v3/certificates", "/v3/refund/domestic/refunds/R1", "/v3/pay/transactions/id/1", "/v3/transfer/batches/out-batch-no/1", "/v3/bill/tradebill"}
	for range 2 {
		for _, target := range targets {
			r.do("GET", target, "").passed(t, 200, "true")
		}
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	labels, calls := make(map[string]bool), 0.0
	for _, f := range families {
		if f.GetName() != "wxproxy_outbound_requests_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			calls += m.GetCounter().GetValue()
			for _, l := range m.GetLabel() {
				if l.GetName() == "endpoint" {
					labels[l.GetValue()] = true
				}
			}
		}
	}
	if len(labels) != 4 || !labels["other"] || calls != 10 {
		t.Errorf("%.0f calls under %v", calls, labels)
	}
}

// BenchmarkNotifyOfMany compares one notify on a path of one merchant with one
// on a path of a thousand: those with a platform key each, and those that, as
// no merchants have it, all share one, so that only decryption tells whose it
// is. The app has taken it before, so that what remains is guard, verification,
// decryption and the look-up of the route.
func BenchmarkNotifyOfMany(b *testing.B) {
	type lane struct {
		name  string
		n     *proxy.Notify
		c     *crowd
		r     func() *http.Request
		spent cost
	}
	make1 := func(name string, n int, serial func(int) string, edits ...func(*proxy.NotifyOptions)) *lane {
		c := newCrowd(b, n, serial)
		l := &lane{name: name, n: c.gate(b, edits...), c: c}
		what := crowdNotice(n-1, serial)
		r := what.request(b, "")
		body, _ := io.ReadAll(r.Body)
		l.r = func() *http.Request {
			again := r.Clone(b.Context())
			again.Body = io.NopCloser(bytes.NewReader(body))
			return again
		}
		return l
	}
	lanes := []*lane{
		make1("one", 1, ownSerial),
		make1("own-keys", 1000, ownSerial),
		make1("one-key", 1000, sameSerial),
		make1("unindexed", 1000, ownSerial, func(o *proxy.NotifyOptions) { o.KeyChanges = nil }),
	}
	serve := func(l *lane) {
		w := httptest.NewRecorder()
		l.n.ServeHTTP(w, l.r())
		if w.Code != 204 {
			b.Fatalf("%s: %d %s", l.name, w.Code, w.Body)
		}
	}
	for _, l := range lanes {
		serve(l) // delivered, and the index is built
		l.c.finds.Store(0)
	}
	start := time.Now()
	for b.Loop() { // in turns, so that all meet the same machine
		for _, l := range lanes {
			l.spent.add(func() { serve(l) })
		}
		if time.Since(start) > 4*time.Minute { // the stamp ages
			b.Fatal("too long for one timestamp; run with a shorter -benchtime")
		}
	}
	n := float64(b.N)
	for _, l := range lanes {
		b.ReportMetric(float64(l.spent.time.Nanoseconds())/n, l.name+"-ns/notify")
		b.ReportMetric(float64(l.c.finds.Load())/n, l.name+"-lookups/notify")
	}
	for _, l := range lanes[1:] {
		b.ReportMetric(float64(l.spent.time)/float64(lanes[0].spent.time), l.name+"-time-ratio")
	}
}
