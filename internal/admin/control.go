package admin

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"

	"github.com/wxproxy/wxproxy/internal/secret"
)

// ControlOptions makes a Control.
type ControlOptions struct {
	// Token must come as a bearer token; nil: none is asked for, which only a
	// Unix socket may do.
	Token func() secret.Value
	// Reload loads keys and files again and reports what could not be taken over.
	Reload func(context.Context) error
	// Quit begins the shutdown, or ends its waiting, and returns at once.
	Quit func()
	// Statuses is the state of the merchants; Details is more of it, as JSON.
	Statuses func() []Status
	Details  func() any
}

// Control serves operator actions: GET /v1/status, POST /v1/reload and POST
// /v1/quit.
func Control(o ControlOptions) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]any{"merchants": o.Statuses(), "details": o.Details()})
	})
	mux.HandleFunc("POST /v1/reload", func(w http.ResponseWriter, r *http.Request) {
		if err := o.Reload(r.Context()); err != nil {
			writeJSON(w, http.StatusConflict, map[string]any{"reloaded": false, "problem": err.Error()})
			return
		}
		writeJSON(w, http.StatusOK, map[string]any{"reloaded": true})
	})
	mux.HandleFunc("POST /v1/quit", func(w http.ResponseWriter, _ *http.Request) {
		o.Quit()
		writeJSON(w, http.StatusOK, map[string]any{"quitting": true})
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if fromBrowser(r.Header) || !authorised(r.Header, o.Token) {
			writeJSON(w, http.StatusForbidden, map[string]string{"problem": "send the control token as a bearer token, and not from a browser"})
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func authorised(h http.Header, token func() secret.Value) bool {
	if token == nil {
		return true
	}
	want := token()
	given, ok := strings.CutPrefix(h.Get("Authorization"), "Bearer ")
	a, b := sha256.Sum256([]byte(given)), sha256.Sum256(want.Bytes())
	return ok && !want.IsZero() && subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// fromBrowser: a page must not make a browser act on this machine's ports.
func fromBrowser(h http.Header) bool {
	if h.Get("Origin") != "" {
		return true
	}
	for name := range h {
		if strings.HasPrefix(name, "Sec-Fetch-") && name != "Sec-Fetch-Mode" { // Node's fetch sends that alone
			return true
		}
	}
	return false
}
