package check

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"time"
	"unicode"

	"github.com/wxproxy/wxproxy/internal/wire"
)

// maxAnswer bounds what is read of an answer; genuine ones have a few KB.
const maxAnswer = 1 << 20

var (
	codePattern      = regexp.MustCompile(`^[A-Z0-9_]{1,64}$`)
	requestIDPattern = regexp.MustCompile(`^[0-9A-Za-z-]{1,64}$`)
)

// exchange is what came back from one call. Nothing in it is verified.
type exchange struct {
	status    int
	header    http.Header
	body      []byte
	code      string // of an error in WeChat Pay's form, else empty
	message   string // its text
	requestID string
	serial    string        // of the key that signed, empty when malformed
	skew      time.Duration // our clock ahead of the server's
}

// call sends and notes the answer for explanations.
func (o *online) call(ctx context.Context, c Call) (*exchange, error) {
	o.last.Store(nil)
	c.Signer, c.Group = o.material.Signer, o.m.Group
	if c.Header == nil {
		c.Header = make(http.Header)
	}
	// WeChat Pay refuses some calls without the first two, and the signature
	// is over the bytes before any compression.
	c.Header.Set("Accept", "application/json")
	c.Header.Set("User-Agent", "wxproxy")
	c.Header.Set("Accept-Encoding", "identity")
	answer, err := o.Send(ctx, c)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	if len(body) > maxAnswer {
		return nil, errors.New("the answer is longer than any of WeChat Pay's")
	}
	e := newExchange(answer, body, o.Now())
	o.last.Store(e)
	return e, nil
}

// response is the exchange for those who want to read it themselves.
func (e *exchange) response() *http.Response {
	return &http.Response{StatusCode: e.status, Header: e.header, Body: io.NopCloser(bytes.NewReader(e.body))}
}

func newExchange(r *http.Response, body []byte, now time.Time) *exchange {
	e := &exchange{status: r.StatusCode, header: r.Header, body: body}
	if id := r.Header.Get(wire.HeaderRequestID); requestIDPattern.MatchString(id) {
		e.requestID = id
	}
	if serial := r.Header.Get(wire.HeaderSerial); wire.CheckSerial(serial) == nil {
		e.serial = serial
	}
	if date, err := http.ParseTime(r.Header.Get("Date")); err == nil {
		e.skew = skew(now, date)
	}
	var reason struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	if e.status != http.StatusOK && json.Unmarshal(body, &reason) == nil && codePattern.MatchString(reason.Code) {
		e.code, e.message = reason.Code, clip(reason.Message)
	}
	return e
}

// clip shortens a text from outside to what is printed.
func clip(s string) string {
	const most = 64
	runes := []rune(s)
	for i, r := range runes {
		if !unicode.IsPrint(r) {
			runes[i] = ' '
		}
	}
	if len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return string(runes)
}

// String is the answer in a few words: 401 SIGN_ERROR "…" (Request-ID …).
func (e *exchange) String() string {
	s := fmt.Sprint(e.status)
	if e.code != "" {
		s += " " + e.code
	}
	if e.message != "" {
		s += fmt.Sprintf(" %q", e.message)
	}
	if e.requestID != "" {
		s += " (Request-ID " + e.requestID + ")"
	}
	return s
}
