package vault_test

import (
	"os"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// measured is what one setup took.
type measured struct{ p50, p99, cpu time.Duration }

// measure makes n calls from 4 workers.
func measure(t *testing.T, s *sidecar, n int) measured {
	t.Helper()
	before := s.cpu(t)
	var mu sync.Mutex
	var took []time.Duration
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range n / 4 {
				began := time.Now()
				if status, reason, err := s.call(); status != 200 || reason != "" || err != nil {
					t.Errorf("got %d %s %v", status, reason, err)
				}
				mu.Lock()
				took = append(took, time.Since(began))
				mu.Unlock()
			}
		})
	}
	all.Wait()
	slices.Sort(took)
	return measured{took[len(took)/2], took[len(took)*99/100], (s.cpu(t) - before) / time.Duration(len(took))}
}

// cpu is the processor time of the process, from its own metric.
func (s *sidecar) cpu(t *testing.T) time.Duration {
	t.Helper()
	_, text := fetch(t, s.admin+"/metrics")
	m := regexp.MustCompile(`(?m)^process_cpu_seconds_total (\S+)$`).FindStringSubmatch(text)
	if m == nil {
		t.Fatal("no process_cpu_seconds_total")
	}
	seconds, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(seconds * float64(time.Second))
}

// TestCompare prints a local key beside Transit, and Transit over sixteen
// connections beside one, in one run; no time is judged.
func TestCompare(t *testing.T) {
	if os.Getenv("COMPARE") == "" {
		t.Skip("it measures: COMPARE=1 .ci/vault -run TestCompare -v")
	}
	v, w, dir := setUp(t, "1h")
	importKey(t, v, w)
	const transit = "transit:transit/wechatpay-shop"
	rows := []struct {
		name string
		s    *sidecar
	}{
		{"local key", serve(t, dir, config(w, v, inKV, "refresh: 1h"))},
		{"transit, 16 connections", serve(t, dir, config(w, v, transit, "refresh: 1h"))},
		{"transit, 1 connection", serve(t, dir, config(w, v, transit, "refresh: 1h, connections: 1"))},
	}
	var base measured
	for i, row := range rows {
		measure(t, row.s, 200) // warm
		m := measure(t, row.s, 2000)
		if i == 0 {
			base = m
		}
		ratio := func(a, b time.Duration) float64 { return float64(a) / float64(b) }
		t.Logf("%-24s p50 %8s (x%.2f)  p99 %8s (x%.2f)  CPU of wxproxy per call %8s (x%.2f)", row.name,
			m.p50.Round(time.Microsecond), ratio(m.p50, base.p50), m.p99.Round(time.Microsecond), ratio(m.p99, base.p99),
			m.cpu.Round(time.Microsecond), ratio(m.cpu, base.cpu))
	}
}
