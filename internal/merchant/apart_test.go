package merchant_test

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/wxproxy/wxproxy/internal/merchant"
)

// neighbours are merchants with one notify path, and what their references name.
func neighbours(t *testing.T) (a, b *merchant.Merchant, va, vb vault) {
	t.Helper()
	make1 := func(name, apiv3, previous string) (*merchant.Merchant, vault) {
		spec, v := full(t)
		spec.Name = name
		v["APIV3"], v["OLD"] = []byte(apiv3), []byte(previous)
		m := load(t, spec, v)
		if err := m.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		return m, v
	}
	a, va = make1("a", strings.Repeat("a", 32), strings.Repeat("A", 32))
	b, vb = make1("b", strings.Repeat("b", 32), strings.Repeat("B", 32))
	merchant.KeepApart(map[string][]*merchant.Merchant{"/notify/both": {a, b}})
	return a, b, va, vb
}

func TestSharedAPIv3KeyRefused(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		place, key string
	}{
		"current is the neighbour's":  {"APIV3", "a"},
		"current was the neighbour's": {"APIV3", "A"},
		"previous is the neighbour's": {"OLD", "a"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, b, _, vb := neighbours(t)
			before := b.Current()
			vb[row.place] = []byte(strings.Repeat(row.key, 32))
			err := b.Reload(t.Context())
			if !errors.Is(err, merchant.ErrMaterial) || b.Err() != err || b.Current() != before {
				t.Fatalf("got %v", err)
			}
			for _, says := range []string{"merchant b: apiv3_key", "merchant a", "/notify/both"} {
				if !strings.Contains(err.Error(), says) {
					t.Errorf("%v does not say %q", err, says)
				}
			}
			if strings.Contains(err.Error(), row.key+row.key+row.key+row.key) {
				t.Errorf("the key shows: %v", err)
			}
			vb[row.place] = []byte(strings.Repeat("c", 32))
			if row.place == "OLD" {
				vb["APIV3"] = []byte(strings.Repeat("d", 32))
			}
			if err := b.Reload(t.Context()); err != nil || b.Err() != nil {
				t.Errorf("a key of its own: %v", err)
			}
		})
	}
}

// Two that are given the same new key at the same time do not both take it.
func TestSharedAPIv3KeyAtOneTime(t *testing.T) {
	t.Parallel()
	a, b, va, vb := neighbours(t)
	va["APIV3"], vb["APIV3"] = []byte(strings.Repeat("c", 32)), []byte(strings.Repeat("c", 32))
	var taken atomic.Int64
	var wg sync.WaitGroup
	for _, m := range []*merchant.Merchant{a, b} {
		wg.Go(func() {
			if m.Reload(t.Context()) == nil {
				taken.Add(1)
			}
		})
	}
	wg.Wait()
	if n := taken.Load(); n != 1 {
		t.Errorf("%d merchants took the key", n)
	}
}
