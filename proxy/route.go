package proxy

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/wxproxy/wxproxy/internal/endpoint"
	"github.com/wxproxy/wxproxy/internal/secret"
)

// BodyForm is how a notify is written for the app.
type BodyForm string

// The forms.
const (
	BodyEnvelope    BodyForm = "envelope"    // what the notify says of itself, with the decrypted resource
	BodyResource    BodyForm = "resource"    // the decrypted resource alone
	BodyRaw         BodyForm = "raw"         // the verified original, still encrypted, with its headers
	BodyCloudEvents BodyForm = "cloudevents" // CloudEvents 1.0, structured JSON
)

// AnswerForm is what WeChat Pay is told of a notify that the app was given.
type AnswerForm string

// The forms.
const (
	AnswerByTable AnswerForm = "auto"   // what the kind of event wants, by the table
	AnswerApp     AnswerForm = "app"    // the app's own status and body
	AnswerSigned  AnswerForm = "signed" // the same, signed with the merchant's key
	AnswerAck     AnswerForm = "ack"    // that it is taken, or not, and nothing more
)

// event is the kind of a notify as the route sees it: what the table knows of
// it, unless the route says how to answer.
func (r *Route) event(e endpoint.Event) endpoint.Event {
	if r.Answer != AnswerByTable {
		e.Answer, e.AnswerSigned = r.Answer == AnswerApp || r.Answer == AnswerSigned, r.Answer == AnswerSigned
	}
	return e
}

// Route says which notifies go to which app.
type Route struct {
	Path      string   // escaped, exact
	Merchants []string // aliases; empty: all
	Events    []string // types, with * at the end for all that follow; empty: all
	To        string   // URL of the app
	Body      BodyForm // empty: BodyEnvelope
	// FieldsAlone: texts in the resource that are encrypted once more stay so.
	// With BodyRaw they do anyway.
	FieldsAlone bool
	Answer      AnswerForm          // empty: AnswerByTable
	Timeout     time.Duration       // zero: the event family's budget
	Secret      func() secret.Value // signs deliveries (Standard Webhooks); nil: unsigned
	Client      *http.Client        // nil: a plain one; with the app's TLS otherwise
}

// match reports whether a route takes an event, and how exactly its pattern
// says so: of several routes on one path the most exact one takes it.
func (r *Route) match(event string) (exactness int, ok bool) {
	if len(r.Events) == 0 {
		return 0, true
	}
	for _, p := range r.Events {
		prefix, open := strings.CutSuffix(p, "*")
		switch {
		case p == event:
			return len(event) + 1, true // nothing is more exact
		case open && strings.HasPrefix(event, prefix):
			exactness, ok = max(exactness, len(prefix)+1), true
		}
	}
	return exactness, ok
}

// routeFor picks the route of a merchant's notify, nil if none takes it.
func routeFor(routes []*Route, event string) *Route {
	var best *Route
	most := -1
	for _, r := range routes {
		if exactness, ok := r.match(event); ok && exactness > most {
			best, most = r, exactness
		}
	}
	return best
}

func (r *Route) check() error {
	if !strings.HasPrefix(r.Path, "/") {
		return fmt.Errorf("notify route: path %q does not begin with /", r.Path)
	}
	to, err := url.Parse(r.To)
	if err != nil || to.Host == "" || (to.Scheme != "http" && to.Scheme != "https") {
		return fmt.Errorf("notify route %s: its app's address is not an http(s) URL", r.Path)
	}
	if !slices.Contains([]BodyForm{BodyEnvelope, BodyResource, BodyRaw, BodyCloudEvents}, r.Body) {
		return fmt.Errorf("notify route %s: unknown body form %q", r.Path, r.Body)
	}
	if !slices.Contains([]AnswerForm{AnswerByTable, AnswerApp, AnswerSigned, AnswerAck}, r.Answer) {
		return fmt.Errorf("notify route %s: unknown answer form %q", r.Path, r.Answer)
	}
	return nil
}

// errRedirect: the app answered with a redirect, which is not followed: where
// plain notifies go is decided in the config alone.
var errRedirect = errors.New("the app redirects, which is not followed")

// NewAppClient makes a client for apps: no redirects, no proxy from the
// environment, bounded answers. The transport may be nil.
func NewAppClient(t *http.Transport) *http.Client {
	if t == nil {
		t = &http.Transport{}
	}
	t = t.Clone()
	t.Proxy = nil
	t.DisableCompression = true // what an app answers is a status and little more
	t.MaxIdleConnsPerHost = 32
	t.IdleConnTimeout = 60 * time.Second
	t.MaxResponseHeaderBytes = 64 << 10
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return errRedirect }}
}
