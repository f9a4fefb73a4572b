// Package admin is the operators' side: health, readiness and metrics on one
// port that may be opened to probes, and actions on another that may not.
//
// It holds no state; what it tells and does is handed in. Neither handler is
// ever served on a data port.
package admin

import (
	"encoding/json"
	"net/http"
	"slices"
)

// Status is the state of one merchant, of one certificate of the notify port,
// or of a secret that is no merchant's, as operators see it.
type Status struct {
	Merchant    string `json:"merchant,omitempty"`
	Certificate string `json:"certificate,omitempty"` // the name that it is for; then Merchant is empty
	Secret      string `json:"secret,omitempty"`      // the reference; then Merchant is empty
	Ready       bool   `json:"ready"`
	Problem     string `json:"problem,omitempty"` // what is wrong and what to do; never a secret. It need not turn Ready
	Warning     string `json:"warning,omitempty"` // something wants a look
}

// Health serves /healthz (the process lives), /readyz (every merchant has a
// key and a usable platform key; it says which has not, and which certificate
// is about to end), /readyz/ALIAS (this one has) and /metrics.
func Health(statuses func() []Status, metrics http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "alive"})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ready(w, statuses(), r.URL.Query().Has("all"))
	})
	mux.HandleFunc("GET /readyz/{merchant}", func(w http.ResponseWriter, r *http.Request) {
		list := slices.DeleteFunc(statuses(), func(s Status) bool { return s.Merchant != r.PathValue("merchant") })
		if len(list) == 0 {
			writeJSON(w, http.StatusNotFound, map[string]string{"problem": "no merchant has this alias"})
			return
		}
		ready(w, list, true)
	})
	mux.Handle("GET /metrics", metrics)
	return mux
}

// readable is how many merchants a person can look through. With more of them
// those are listed that need it.
const readable = 50

func ready(w http.ResponseWriter, list []Status, all bool) {
	answer := struct {
		Ready        bool     `json:"ready"`
		Total        int      `json:"total"` // of the merchants, as what follows
		NotReady     int      `json:"not_ready"`
		Problems     int      `json:"problems"` // of those that are ready all the same
		Warnings     int      `json:"warnings"`
		Merchants    []Status `json:"merchants"`
		Omitted      int      `json:"omitted,omitempty"` // ?all lists them
		Certificates []Status `json:"certificates,omitempty"`
		Secrets      []Status `json:"secrets,omitempty"` // those that could not be reloaded
	}{Ready: true}
	list = slices.Clone(list)
	list = slices.DeleteFunc(list, func(s Status) bool {
		// The end of a certificate is told and turns nothing: who is taken out of
		// traffic for it could not answer the challenge that would renew it, and
		// apps need the outbound side whatever WeChat Pay sees of the other.
		// Likewise a caller without a token must not cost the others theirs.
		switch {
		case s.Certificate != "":
			answer.Certificates = append(answer.Certificates, s)
			return true
		case s.Secret != "":
			answer.Secrets = append(answer.Secrets, s)
			return true
		}
		answer.Ready = answer.Ready && s.Ready
		return false
	})
	answer.Total = len(list)
	for _, s := range list {
		switch {
		case !s.Ready:
			answer.NotReady++
		case s.Problem != "":
			answer.Problems++
		case s.Warning != "":
			answer.Warnings++
		}
	}
	answer.Merchants = list
	if len(list) > readable && !all {
		answer.Merchants = slices.DeleteFunc(slices.Clone(list), func(s Status) bool { return severity(s) == fine })
		slices.SortStableFunc(answer.Merchants, func(a, b Status) int { return severity(a) - severity(b) })
		answer.Merchants = answer.Merchants[:min(len(answer.Merchants), readable)]
		answer.Omitted = len(list) - len(answer.Merchants)
	}
	code := http.StatusOK
	if !answer.Ready {
		code = http.StatusServiceUnavailable
	}
	writeJSON(w, code, answer)
}

// fine is the severity of what nobody needs to look at.
const fine = 3

func severity(s Status) int {
	switch {
	case !s.Ready:
		return 0
	case s.Problem != "":
		return 1
	case s.Warning != "":
		return 2
	}
	return fine
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
