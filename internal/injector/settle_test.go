package injector_test

import (
	"strings"
	"testing"
	"time"
)

// A new CA signs once the API servers have known it for ten minutes, however
// old it is by then: its publication may have failed for long.
func TestNewCASettlesFromItsPublication(t *testing.T) {
	t.Parallel()
	k, c := startKube(t)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	a := own(t, c, clock)
	if err := a.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	now = now.AddDate(4, 0, 0)
	k.freeze(true)
	for range 40 { // half an hour without publication
		if err := a.Refresh(t.Context()); err == nil || !strings.Contains(err.Error(), "frozen") {
			t.Fatalf("got %v", err)
		}
		now = now.Add(45 * time.Second)
	}
	k.freeze(false)
	if err := a.Refresh(t.Context()); err != nil { // publishes
		t.Fatal(err)
	}
	first, _ := a.Get(nil)
	authority := string(first.Leaf.AuthorityKeyId)
	signs := func() bool {
		if err := a.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		got, _ := a.Get(nil)
		return string(got.Leaf.AuthorityKeyId) != authority
	}
	look := func(d time.Duration) bool {
		now = now.Add(d)
		return signs()
	}
	if look(30*time.Second) || look(9*time.Minute) {
		t.Error("the new CA signs before API servers had the time to know it")
	}
	a = own(t, c, clock) // restarted: nobody knows since when
	if signs() || look(9*time.Minute) {
		t.Error("the new CA signs soon after a restart")
	}
	if !look(time.Minute) {
		t.Error("the new CA does not sign ten minutes after it was seen published")
	}
}

func (k *kube) freeze(frozen bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.frozen = frozen
}
