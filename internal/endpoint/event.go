package endpoint

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wxproxy/wxproxy/internal/jsonedit"
)

// Event is one kind of notify and how WeChat Pay delivers it. Its slices are
// shared and must not be changed.
type Event struct {
	Type         string
	OriginalType string // resource.original_type; empty where not documented
	TitleZh      string

	// Retry holds the delays between deliveries until one is accepted: the
	// first is the time from the first delivery to the second.
	Retry []time.Duration
	// Wait is how long WeChat Pay waits for an answer.
	Wait time.Duration
	// Budget is how long we may take to answer: a tenth less than WeChat Pay
	// waits, for the way back.
	Budget time.Duration

	Answer       bool // WeChat Pay reads the app's answer; 204 alone will not do
	AnswerSigned bool // and it must carry the merchant's signature

	// RSAFields are encrypted once more inside the decrypted resource, with
	// the merchant's key.
	RSAFields []string
	// Sensitive finds RSAFields wherever they stand in the resource; nil: none.
	Sensitive *jsonedit.Paths
}

// family is what holds for all events that match its pattern: a name, or the
// beginning of one followed by *.
type family struct {
	pattern string
	event   Event
}

// Event returns what is known of an event type. A type that is not in the
// table has that type alone and the schedule and budget of its family.
func (t *Table) Event(eventType string) Event {
	if e, ok := t.events[eventType]; ok {
		return e
	}
	e := t.family(eventType)
	e.Type = eventType
	return e
}

// Events returns every known event, sorted by type.
func (t *Table) Events() []Event {
	return slices.SortedFunc(maps.Values(t.events), func(a, b Event) int {
		return strings.Compare(a.Type, b.Type)
	})
}

func (t *Table) family(eventType string) Event {
	for _, f := range t.families {
		prefix, wild := strings.CutSuffix(f.pattern, "*")
		if eventType == prefix || wild && strings.HasPrefix(eventType, prefix) {
			return f.event
		}
	}
	return Event{}
}

func (t *Table) sortFamilies() {
	slices.SortFunc(t.families, func(a, b family) int {
		return cmp.Compare(len(b.pattern), len(a.pattern))
	})
}

func (t *Table) loadFamily(row []string) error {
	if len(row) != 5 {
		return fmt.Errorf("%d columns, want 5", len(row))
	}
	retry, err := parseDelays(row[1])
	if err != nil {
		return err
	}
	wait, err := time.ParseDuration(row[2])
	if err != nil {
		return fmt.Errorf("reading how long WeChat Pay waits: %w", err)
	}
	t.families = append(t.families, family{row[0], Event{
		Retry:        retry,
		Wait:         wait,
		Budget:       wait * 9 / 10,
		Answer:       row[3] != "",
		AnswerSigned: row[3] == "signed",
	}})
	return nil
}

// parseDelays reads "0s 15s*2 30s". A leading 0s is the first delivery itself,
// as some of WeChat Pay's pages count it, and no delay between two.
func parseDelays(s string) ([]time.Duration, error) {
	var delays []time.Duration
	for item := range strings.FieldsSeq(strings.TrimPrefix(s, "0s ")) {
		text, times, repeated := strings.Cut(item, "*")
		delay, err := time.ParseDuration(text)
		if err != nil {
			return nil, fmt.Errorf("reading delay: %w", err)
		}
		n := 1
		if repeated {
			if n, err = strconv.Atoi(times); err != nil {
				return nil, fmt.Errorf("reading delay %q: %w", item, err)
			}
		}
		delays = append(delays, slices.Repeat([]time.Duration{delay}, n)...)
	}
	return delays, nil
}

func (t *Table) loadEvents() error {
	t.events = make(map[string]Event)
	for i, row := range rows(eventsTSV) {
		if len(row) != 4 {
			return fmt.Errorf("reading events.tsv, row %d: %d columns, want 4", i+1, len(row))
		}
		e := t.family(row[0])
		e.Type, e.OriginalType, e.TitleZh = row[0], row[1], row[2]
		if row[3] != "" {
			e.RSAFields = strings.Split(row[3], ",")
			var err error
			if e.Sensitive, err = jsonedit.Compile(anywhere(e.RSAFields)...); err != nil {
				return fmt.Errorf("reading events.tsv, row %d: %w", i+1, err)
			}
		}
		t.events[e.Type] = e
	}
	return nil
}

func anywhere(names []string) []string {
	paths := make([]string, 0, len(names))
	for _, name := range names {
		paths = append(paths, "**."+name)
	}
	return paths
}
