package demo

import (
	"bytes"
	"fmt"
	"net/http"

	"github.com/wxproxy/wxproxy/internal/sim"
)

// Headers of the proxy that the shop may look at.
const (
	headerVerified = "Wxproxy-Verified"
	headerError    = "Wxproxy-Error"
	headerSerial   = "Wechatpay-Serial" // of the key that signed the answer
)

// wantVerified expects an answer of WeChat Pay that carried a good signature.
func wantVerified(what string, a Answer) error {
	if a.Status != http.StatusOK || a.Header.Get(headerVerified) != "true" {
		return fmt.Errorf("expected 200 with %s: true for %s; the shop got %s", headerVerified, what, describe(a))
	}
	return nil
}

// wantRefused expects that the proxy kept an answer from the shop, for the
// reason that Wxproxy-Error names.
func wantRefused(what, reason string, a Answer) error {
	if a.Status < 500 || a.Header.Get(headerError) != reason {
		return fmt.Errorf("expected that %s does not reach the shop (%s: %s); the shop got %s", what, headerError, reason, describe(a))
	}
	return nil
}

// describe is an answer in one line.
func describe(a Answer) string {
	text := fmt.Sprintf("%d, %s: %s", a.Status, headerVerified, orNone(a.Header.Get(headerVerified)))
	if reason := a.Header.Get(headerError); reason != "" {
		text += ", " + headerError + ": " + reason
	}
	return text + ", " + brief(a.Body)
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// wantState expects that the notify arrived once and put the order in a state.
func (s *story) wantState(number, state, id string) error {
	if got, n := s.Shop.State(number), s.Shop.Arrivals(id); got != state || n != 1 {
		return fmt.Errorf("expected order %s to be %s after one arrival of its notify; the shop recorded %s after %d", number, state, orNone(got), n)
	}
	return nil
}

// wantNotDelivered expects that a notify was refused with status 401 and left
// no trace in the shop.
func (s *story) wantNotDelivered(what, number string, e sim.Entry) error {
	if e.Status != http.StatusUnauthorized {
		return fmt.Errorf("expected %s to be answered 401; the simulator recorded %d (%s)", what, e.Status, e.Verdict)
	}
	if got, n := s.Shop.State(number), s.Shop.Arrivals(e.NotifyID); got != Unpaid || n != 0 {
		return fmt.Errorf("expected that the shop does not see %s; it recorded %d arrivals, and order %s is %s", what, n, number, got)
	}
	return nil
}

// brief cuts a text to what fits a line of a terminal.
func brief[T string | []byte](text T) string {
	const most = 84
	r := []rune(string(text))
	if len(r) > most {
		return string(r[:most]) + "…"
	}
	return string(r)
}

// from is brief from a word on: what comes before it says little.
func from(word string, text []byte) string {
	if _, after, ok := bytes.Cut(text, []byte(word)); ok {
		return brief("…" + word + string(after))
	}
	return brief(text)
}

// short cuts a serial number or an id to what an eye can compare.
func short(id string) string {
	const most = 8
	if len(id) <= most {
		return id
	}
	if len(id) > 40 { // the ID of a public key: its end tells
		return id[:11] + "…" + id[len(id)-4:]
	}
	return id[:most] + "…"
}
