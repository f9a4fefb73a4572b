// Package admin is the operators' side: health, readiness and metrics on one
// port that may be opened to probes, and actions on another that may not.
//
// It holds no state; what it tells and does is handed in. Neither handler is
// ever served on a data port.
package admin

import (
	"encoding/json"
	"net/http"
)

// Status is the state of one merchant, as operators see it.
type Status struct {
	Merchant string `json:"merchant"`
	Ready    bool   `json:"ready"`
	Problem  string `json:"problem,omitempty"` // what is wrong and what to do; never a secret
	Warning  string `json:"warning,omitempty"` // ready, but something wants a look
}

// Health serves /healthz (the process lives), /readyz (every merchant has a
// key and a usable platform key; it says which has not) and /metrics.
func Health(statuses func() []Status, metrics http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "alive"})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		list := statuses()
		answer := struct {
			Ready     bool     `json:"ready"`
			Merchants []Status `json:"merchants"`
		}{true, list}
		code := http.StatusOK
		for _, s := range list {
			if !s.Ready {
				answer.Ready, code = false, http.StatusServiceUnavailable
			}
		}
		writeJSON(w, code, answer)
	})
	mux.Handle("GET /metrics", metrics)
	return mux
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}
