package proxy_test

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/iotest"

	"github.com/wxproxy/wxproxy/proxy"
)

// throng is an intake whose arrivals note who of them had to go.
type throng struct {
	t *testing.T
	*proxy.Intake
	gone []string
}

func (c *throng) arrive(name string, inDebt bool, size int64) *proxy.Arrival {
	c.t.Helper()
	a, err := c.Begin(inDebt, func() { c.gone = append(c.gone, name) })
	if err != nil {
		c.t.Fatalf("%s: %v", name, err)
	}
	if err := a.Grow(size - proxy.ArrivalCost); err != nil {
		c.t.Fatalf("%s: %v", name, err)
	}
	return a
}

func (c *throng) expectGone(names ...string) {
	c.t.Helper()
	if !slices.Equal(c.gone, names) {
		c.t.Errorf("%q had to go, want %q", c.gone, names)
	}
}

// Whoever comes with a small notify is let in, whatever it costs others: first
// those in debt, the large, the early.
func TestIntakeMakesRoom(t *testing.T) {
	t.Parallel()
	const small, unit = int64(12 << 10), int64(proxy.SmallArrival)
	c := &throng{t: t, Intake: proxy.NewIntake(8 * unit)}
	large := c.arrive("large", false, 3*unit)
	larger := c.arrive("larger", false, 3*unit) // of equal size: the earlier one goes
	c.arrive("indebted", true, small)
	for range 4 {
		c.arrive("early", false, small)
	}
	c.expectGone()
	c.arrive("genuine", false, unit)
	c.expectGone("indebted", "large")
	if err := large.Grow(1); !errors.Is(err, proxy.ErrCrowded) {
		t.Errorf("who has gone may grow: %v", err)
	}
	if err := large.Settle(); !errors.Is(err, proxy.ErrCrowded) {
		t.Errorf("who has gone is there: %v", err)
	}
	large.End()
	if err := larger.Settle(); err != nil { // its body is there: it does not go
		t.Fatal(err)
	}
	if got, want := c.Held(), 4*unit+4*small; got != want {
		t.Errorf("%d bytes held, want %d", got, want)
	}
	for range 10 {
		c.arrive("late", false, small)
	}
	c.expectGone("indebted", "large", "early", "early", "early", "early")
	larger.End()
	larger.End()
	if got, want := c.Held(), unit+10*small; got != want {
		t.Errorf("%d bytes held, want %d", got, want)
	}
}

// What is large leaves a quarter to the small, and does not push them out where
// it is the largest itself.
func TestIntakeKeepsRoomForTheSmall(t *testing.T) {
	t.Parallel()
	const unit = int64(proxy.SmallArrival)
	c := &throng{t: t, Intake: proxy.NewIntake(8 * unit)}
	for _, name := range []string{"a", "b", "c", "d"} {
		c.arrive(name, false, unit)
	}
	large := c.arrive("large", false, 2*unit)
	if err := large.Grow(1); !errors.Is(err, proxy.ErrCrowded) {
		t.Errorf("got %v", err)
	}
	if err := large.Settle(); err != nil {
		t.Errorf("who did not get more lost what it had: %v", err)
	}
	c.arrive("e", false, unit)
	c.arrive("f", false, unit)
	c.expectGone()
}

// Where nobody is sending who could go, who comes is refused.
func TestIntakeIsFull(t *testing.T) {
	t.Parallel()
	c := &throng{t: t, Intake: proxy.NewIntake(2 * proxy.ArrivalCost)}
	for range 2 {
		if err := c.arrive("whole", false, proxy.ArrivalCost).Settle(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Begin(false, nil); !errors.Is(err, proxy.ErrCrowded) {
		t.Errorf("got %v", err)
	}
	c.expectGone()
	if got := c.Held(); got != 2*proxy.ArrivalCost {
		t.Errorf("%d bytes held", got)
	}
}

func TestIntakeReads(t *testing.T) {
	t.Parallel()
	const limit = 100 << 10
	for name, test := range map[string]struct {
		size, length int64
		want         error
		held         int64 // at the end, the arrival's own cost not counted
	}{
		"nothing":                 {0, 0, nil, 1},
		"nothing, length unknown": {0, -1, nil, 4 << 10},
		"small":                   {2000, 2000, nil, 2001},
		"small, length unknown":   {5000, -1, nil, 8 << 10},
		"all of the limit":        {limit, limit, nil, limit + 1},
		"all, length unknown":     {limit, -1, nil, limit + 1},
		"announced too large":     {10, limit + 1, proxy.ErrTooLarge, 0},
		"too large":               {limit + 1, -1, proxy.ErrTooLarge, limit + 1},
		"promises more":           {100, limit, nil, 4 << 10},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := proxy.NewIntake(1 << 20)
			a, err := in.Begin(false, nil)
			if err != nil {
				t.Fatal(err)
			}
			body := bytes.Repeat([]byte("x"), int(test.size))
			got, err := a.Read(iotest.HalfReader(bytes.NewReader(body)), test.length, limit)
			if !errors.Is(err, test.want) || test.want == nil && !bytes.Equal(got, body) {
				t.Errorf("got %d bytes, %v", len(got), err)
			}
			if held := in.Held() - proxy.ArrivalCost; held != test.held {
				t.Errorf("%d bytes held, want %d", held, test.held)
			}
			if a.End(); in.Held() != 0 {
				t.Errorf("%d bytes held in the end", in.Held())
			}
		})
	}
	in := proxy.NewIntake(1 << 20)
	a, err := in.Begin(false, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Read(iotest.TimeoutReader(iotest.OneByteReader(bytes.NewReader(make([]byte, 10)))), 10, limit); !errors.Is(err, iotest.ErrTimeout) {
		t.Errorf("got %v", err)
	}
	a.End()
	a, err = in.Begin(false, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Read(io.LimitReader(bytes.NewReader(nil), 0), 10, limit); err != nil {
		t.Errorf("the end alone decides: %v", err)
	}
}
