package doorcert_test

import (
	"context"
	"crypto/tls"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/wxproxy/wxproxy/internal/doorcert"
	"github.com/wxproxy/wxproxy/internal/secret"
)

const shopName = "pay.example.com"

func TestFilesTakeANewPairOnlyWhenItFits(t *testing.T) {
	t.Parallel()
	now := time.Now()
	year := now.AddDate(1, 0, 0)
	other, otherKey, _ := issue(t, now.Add(-time.Hour), year, shopName)
	for _, tc := range []struct {
		name  string
		spoil func(t *testing.T, f *files)
		want  error
	}{
		{"certificate alone", func(t *testing.T, f *files) { f.write(t, "chain.pem", other) }, doorcert.ErrPair},
		{"key alone", func(t *testing.T, f *files) { f.write(t, "key.pem", otherKey) }, doorcert.ErrPair},
		{"half a file", func(t *testing.T, f *files) { f.write(t, "chain.pem", other[:len(other)/2]) }, doorcert.ErrPair},
		{"empty file", func(t *testing.T, f *files) { f.write(t, "key.pem", nil) }, secret.ErrEmptyFile},
		{"file gone", func(t *testing.T, f *files) { _ = os.Remove(filepath.Join(f.dir, "chain.pem")) }, secret.ErrNoFile},
		{"for another name", func(t *testing.T, f *files) { f.issue(t, now.Add(-time.Hour), year, "other.example.com") }, doorcert.ErrNames},
		{"expired", func(t *testing.T, f *files) { f.issue(t, now.Add(-2*time.Hour), now.Add(-time.Hour), shopName) }, doorcert.ErrValidity},
		{"not valid yet", func(t *testing.T, f *files) { f.issue(t, now.Add(time.Hour), year, shopName) }, doorcert.ErrValidity},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			f := newFiles(t)
			first := f.issue(t, now.Add(-time.Hour), year, shopName)
			d, err := doorcert.NewFiles(t.Context(), doorcert.Options{Names: []string{shopName}}, f.options(&secret.Reader{}))
			if err != nil {
				t.Fatal(err)
			}
			l, _ := listen(t)
			serve(t, d.Door, l)
			served := func() string {
				t.Helper()
				state, err := shake(t, l.Addr().String(), &tls.Config{ServerName: shopName, InsecureSkipVerify: true})
				if err != nil {
					t.Fatal(err)
				}
				return state.PeerCertificates[0].SerialNumber.String()
			}
			tc.spoil(t, f)
			if err := d.Reload(t.Context()); !errors.Is(err, tc.want) || strings.Contains(err.Error(), "PRIVATE KEY") {
				t.Errorf("reload: %v, want %v", err, tc.want)
			}
			if got, want := served(), first.SerialNumber.String(); got != want {
				t.Errorf("serves %s, want the old %s", got, want)
			}
			if s := d.Status()[0]; !s.Ready || s.Warning == "" {
				t.Errorf("the failed reload does not show: %+v", s)
			}
			next := f.issue(t, now.Add(-time.Hour), year, shopName)
			if err := d.Reload(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got, want := served(), next.SerialNumber.String(); got != want {
				t.Errorf("serves %s, want the new %s", got, want)
			}
			if s := d.Status()[0]; !s.Ready || s.Warning != "" || !s.Expires.Equal(next.NotAfter) {
				t.Errorf("status after a good reload: %+v", s)
			}
		})
	}
}

// A Kubernetes secret is two symbolic links that are swapped at once; the
// watcher that serve uses sees it.
func TestFilesFollowASymlinkSwap(t *testing.T) {
	t.Parallel()
	now := time.Now()
	f := newFiles(t)
	publish := func(generation string) (serial string) {
		chain, key, leaf := issue(t, now.Add(-time.Hour), now.AddDate(1, 0, 0), shopName)
		if err := os.Mkdir(filepath.Join(f.dir, generation), 0o700); err != nil {
			t.Fatal(err)
		}
		f.write(t, generation+"/chain.pem", chain)
		f.write(t, generation+"/key.pem", key)
		link := filepath.Join(f.dir, "link-"+generation)
		if err := errors.Join(os.Symlink(generation, link), os.Rename(link, filepath.Join(f.dir, "..data"))); err != nil {
			t.Fatal(err)
		}
		return leaf.SerialNumber.String()
	}
	first := publish("1")
	for _, name := range []string{"chain.pem", "key.pem"} {
		if err := os.Symlink("..data/"+name, filepath.Join(f.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	o := f.options(&secret.Reader{})
	w, err := secret.NewWatcher([]string{o.Certificate.Target, o.PrivateKey.Target}, nil)
	if err != nil {
		t.Fatal(err)
	}
	d, err := doorcert.NewFiles(t.Context(), doorcert.Options{}, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	reloads, ended := make(chan error, 10), make(chan struct{})
	go func() {
		defer close(ended)
		_ = w.Run(ctx, func() { reloads <- d.Reload(ctx) })
	}()
	t.Cleanup(func() { cancel(); <-ended })
	second := publish("2")
	if err := <-reloads; err != nil {
		t.Fatal(err)
	}
	l, _ := listen(t)
	serve(t, d.Door, l)
	state, err := shake(t, l.Addr().String(), &tls.Config{ServerName: shopName, InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	if got := state.PeerCertificates[0].SerialNumber.String(); got != second {
		t.Errorf("serves %s, want %s (first %s)", got, second, first)
	}
}

func TestFilesServeAnExpiredCertificateFromTheStart(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	f.issue(t, time.Now().AddDate(0, -2, 0), time.Now().AddDate(0, -1, 0), shopName)
	d, err := doorcert.NewFiles(t.Context(), doorcert.Options{}, f.options(&secret.Reader{}))
	if err != nil {
		t.Fatal(err)
	}
	if s := d.Status()[0]; s.Ready || !strings.Contains(s.Problem, "expired") || s.Name != shopName {
		t.Errorf("status: %+v", s)
	}
}

func TestStatusTurnsOnlyNearTheEnd(t *testing.T) {
	t.Parallel()
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	day := 24 * time.Hour
	for _, tc := range []struct {
		name           string
		life, age      time.Duration
		ready, warning bool
	}{
		{"new", 90 * day, day, true, false},
		{"renewal is due", 90 * day, 61 * day, true, false},
		{"renewal is late", 90 * day, 68 * day, true, true},
		{"more than a day left", 90 * day, 89*day - time.Second, true, true},
		{"a day left", 90 * day, 89*day + time.Second, false, false},
		{"of six days half a day left", 6 * day, 6*day - 12*time.Hour, false, false},
		{"of six days a day left", 6 * day, 5 * day, true, true},
		{"at the end", 90 * day, 90 * day, false, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			f := newFiles(t)
			f.issue(t, begin, begin.Add(tc.life), shopName)
			now := func() time.Time { return begin.Add(tc.age) }
			d, err := doorcert.NewFiles(t.Context(), doorcert.Options{Now: now}, f.options(&secret.Reader{}))
			if err != nil {
				t.Fatal(err)
			}
			if s := d.Status()[0]; s.Ready != tc.ready || (s.Warning != "") != tc.warning || s.Ready == (s.Problem != "") {
				t.Errorf("got %+v", s)
			}
		})
	}
}

func TestCollector(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	end := time.Now().AddDate(1, 0, 0).Truncate(time.Second)
	f.issue(t, time.Now().Add(-time.Hour), end, shopName)
	d, err := doorcert.NewFiles(t.Context(), doorcert.Options{}, f.options(&secret.Reader{}))
	if err != nil {
		t.Fatal(err)
	}
	r := prometheus.NewPedanticRegistry()
	if err := r.Register(d.Collector()); err != nil {
		t.Fatal(err)
	}
	want := `
# HELP wxproxy_tls_certificate_problem 1 while the last renewal or reload failed, or the end is near, else 0.
# TYPE wxproxy_tls_certificate_problem gauge
wxproxy_tls_certificate_problem{name="pay.example.com"} 0
`
	if err := testutil.GatherAndCompare(r, strings.NewReader(want), "wxproxy_tls_certificate_problem"); err != nil {
		t.Error(err)
	}
	if n, err := testutil.GatherAndCount(r, "wxproxy_tls_certificate_expiry_timestamp_seconds"); err != nil || n != 1 {
		t.Errorf("%d expiry gauges, %v", n, err)
	}
}
