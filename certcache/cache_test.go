package certcache_test

import (
	"crypto/rsa"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wxproxy/wxproxy/certcache"
	"github.com/wxproxy/wxproxy/verifier"
)

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*certcache.Options){
		"no name":      func(o *certcache.Options) { o.Name = "" },
		"no Fetch":     func(o *certcache.Options) { o.Fetch = nil },
		"no APIv3Keys": func(o *certcache.Options) { o.APIv3Keys = nil },
		"no key ever":  func(o *certcache.Options) { o.Certificates = false },
	} {
		o := (&wechat{}).options()
		change(&o)
		if c, err := certcache.New(o); err == nil || c != nil {
			t.Errorf("%s: got %v, %v", name, c, err)
		}
	}
}

// clock is a time that a test moves.
type clock struct{ offset atomic.Int64 }

func (c *clock) now() time.Time          { return epoch.Add(time.Duration(c.offset.Load())) }
func (c *clock) advance(d time.Duration) { c.offset.Add(int64(d)) }

func preferred(t *testing.T, c *certcache.Cache) string {
	t.Helper()
	serial, k, ok := c.Preferred()
	if ok != (serial != "") || ok != (k != nil) {
		t.Fatalf("got %q, %v, %t", serial, k, ok)
	}
	return serial
}

func TestRotation(t *testing.T) {
	t.Parallel()
	var clk clock
	w := &wechat{}
	o := w.options()
	o.Now = clk.now
	c := open(t, o)
	old := issue(t, 0, epoch.Add(-year), epoch.Add(100*time.Hour))
	next := issue(t, 1, epoch.Add(-time.Hour), epoch.Add(5*year))
	next.effective = epoch.Add(24 * time.Hour)

	refresh := func(certs ...issued) {
		t.Helper()
		w.set(list(t, clk.now(), certs...), nil)
		if err := c.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	refresh(old)
	if got := preferred(t, c); got != old.serial {
		t.Errorf("one certificate: prefers %q", got)
	}

	refresh(next, old) // the answer is signed by the new one already
	if got := preferred(t, c); got != old.serial || !c.Has(next.serial) {
		t.Errorf("new one not in effect: prefers %q, knows the new one: %t", got, c.Has(next.serial))
	}
	clk.advance(24*time.Hour - time.Second)
	if got := preferred(t, c); got != old.serial {
		t.Errorf("a second before: prefers %q", got)
	}
	clk.advance(time.Second)
	if got := preferred(t, c); got != next.serial || !c.Has(old.serial) {
		t.Errorf("new one in effect: prefers %q, knows the old one: %t", got, c.Has(old.serial))
	}

	refresh(next) // the old one left the list, and is good until its end
	if !c.Has(old.serial) {
		t.Error("the old certificate no longer verifies")
	}
	clk.advance(76*time.Hour - time.Second)
	if !c.Has(old.serial) {
		t.Error("the old certificate no longer verifies a second before its end")
	}
	clk.advance(time.Second)
	if c.Has(old.serial) {
		t.Error("the old certificate verifies beyond its end")
	}
}

func TestPreferredFollowsTheList(t *testing.T) {
	t.Parallel()
	older := issue(t, 0, epoch.Add(-2*year), epoch.Add(year))
	newer := issue(t, 1, epoch.Add(-year), epoch.Add(2*year))
	for _, tt := range []struct {
		name  string
		lists [][]issued
		want  string
	}{
		{"the latest in effect", [][]issued{{older, newer}}, newer.serial},
		{"not after the API's expire_time", [][]issued{{older, shortened(newer)}}, older.serial},
		{"none when all are expired by the API", [][]issued{{shortened(newer)}}, ""},
		{"not what WeChat Pay took back", [][]issued{{older, newer}, {older}}, older.serial},
		{"what it shows again", [][]issued{{older, newer}, {older}, {newer, older}}, newer.serial},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := &wechat{}
			c := open(t, w.options())
			for _, certs := range tt.lists {
				w.set(list(t, epoch, certs...), nil)
				if err := c.Refresh(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if got := preferred(t, c); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			for _, cert := range tt.lists[0] {
				if !c.Has(cert.serial) {
					t.Errorf("%s no longer verifies", cert.serial)
				}
			}
		})
	}
}

func shortened(c issued) issued {
	c.expire = epoch.Add(-time.Second)
	return c
}

// TestBounded: however often WeChat Pay rotates, memory holds few certificates,
// the youngest, and none that ended.
func TestBounded(t *testing.T) {
	t.Parallel()
	var clk clock
	w := &wechat{}
	o := w.options()
	o.Now = clk.now
	c := open(t, o)
	var certs []issued
	for i := range 20 {
		certs = append(certs, issue(t, i, epoch.Add(time.Duration(i)*time.Minute-year), epoch.Add(year)))
		w.set(list(t, epoch, certs[i]), nil)
		if err := c.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := c.Kept(); got != 16 || c.Has(certs[3].serial) || !c.Has(certs[4].serial) {
		t.Errorf("keeps %d", got)
	}
	clk.advance(year)
	w.set(list(t, clk.now(), issue(t, 20, epoch, epoch.Add(2*year))), nil)
	if err := c.Refresh(t.Context()); err != nil || c.Kept() != 1 {
		t.Errorf("keeps %d, %v", c.Kept(), err)
	}
}

func TestGraySwitch(t *testing.T) {
	t.Parallel()
	w := &wechat{}
	o := w.options()
	var pin atomic.Bool
	o.Pinned = func() (string, *rsa.PublicKey) {
		if !pin.Load() {
			return "", nil
		}
		return pinned(t, 1)()
	}
	c := open(t, o)
	cert := issue(t, 0, epoch.Add(-year), epoch.Add(year))
	w.set(list(t, epoch, cert), nil)
	if err := c.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, on := range []bool{false, true, false, true} {
		pin.Store(on) // as a reload does
		want := cert.serial
		if on {
			want = pinnedID
		}
		if got := preferred(t, c); got != want {
			t.Errorf("pinned=%t: prefers %q", on, got)
		}
		if !c.Has(cert.serial) || c.Has(pinnedID) != on {
			t.Errorf("pinned=%t: certificate %t, public key %t", on, c.Has(cert.serial), c.Has(pinnedID))
		}
		k, err := c.For(certcache.Outbound).Lookup(t.Context(), pinnedID)
		if on != (err == nil) || (on && !k.Equal(key(t, 1).Public())) {
			t.Errorf("pinned=%t: got %v", on, err)
		}
	}
	if got := w.calls.Load(); got != 1 {
		t.Errorf("got %d downloads, want 1", got)
	}
}

// TestHopeless: what no download can bring costs none and says what to do.
func TestHopeless(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, serial string
		off          bool
		says         string
	}{
		{"public key, none pinned", "PUB_KEY_ID_0119", false, "platform.public_key_id of merchant shop"},
		{"certificate, downloads off", hexUnknown, true, "platform.certificates: auto"},
		{"public key, another pinned", "PUB_KEY_ID_0119", true, "platform.public_key"},
		{"malformed", "no serial!", false, "malformed"},
		{"empty", "", false, "malformed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := &wechat{}
			o := w.options()
			if tt.off {
				o.Certificates, o.Pinned = false, pinned(t, 1)
			}
			c := open(t, o)
			_, err := c.For(certcache.Notify).Lookup(t.Context(), tt.serial)
			if !errors.Is(err, verifier.ErrSerialUnknown) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want it to say %q", err, tt.says)
			}
			if got := w.calls.Load(); got != 0 {
				t.Errorf("got %d downloads", got)
			}
		})
	}
}

func TestReadySaysWhatToDo(t *testing.T) {
	t.Parallel()
	fresh := func(w *wechat) certcache.Options { return w.options() }
	for _, tt := range []struct {
		name    string
		options func(*wechat) certcache.Options
		reply   *reply
		says    string
	}{
		{name: "before the first download", options: fresh, says: "not been downloaded yet"},
		{name: "refused", options: fresh, reply: &reply{status: 500}, says: "status 500"},
		{name: "public key only", options: fresh, reply: ptr(noCertificates()), says: "pub_key.pem"},
		{name: "off", says: "off", options: func(w *wechat) certcache.Options {
			o := w.options()
			o.Certificates, o.Pinned = false, func() (string, *rsa.PublicKey) { return "", nil }
			return o
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := &wechat{}
			c := open(t, tt.options(w))
			if tt.reply != nil {
				w.set(*tt.reply, nil)
				_ = c.Refresh(t.Context())
			}
			if err := c.Ready(); !errors.Is(err, certcache.ErrNoKey) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want it to say %q", err, tt.says)
			}
		})
	}
}

func ptr[T any](v T) *T { return &v }
