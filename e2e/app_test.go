//go:build e2e

package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// delivery is a notify as the app gets it.
type delivery struct {
	header http.Header
	body   []byte
	answer chan<- int // the app's status goes here
}

// app is a tiny shop that knows nothing of cryptography. Its tests take each
// delivery and answer it.
type app struct {
	t          *testing.T
	url        string
	deliveries chan delivery
}

func newApp(t *testing.T) *app {
	t.Helper()
	a := &app{t: t, deliveries: make(chan delivery, 64)}
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	a.url = server.URL + "/wechat/paid"
	return a
}

func (a *app) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	answer := make(chan int, 1)
	a.deliveries <- delivery{r.Header.Clone(), body, answer}
	select {
	case status := <-answer:
		w.WriteHeader(status)
	case <-r.Context().Done():
	}
}

// next waits for a delivery and leaves it unanswered.
func (a *app) next() delivery {
	a.t.Helper()
	select {
	case d := <-a.deliveries:
		return d
	case <-time.After(patience):
		a.t.Fatal("no notify reached the app")
		return delivery{}
	}
}

// take waits for a delivery and answers it.
func (a *app) take(status int) delivery {
	a.t.Helper()
	d := a.next()
	d.answer <- status
	return d
}

// idle asserts that nothing else came.
func (a *app) idle() {
	a.t.Helper()
	select {
	case d := <-a.deliveries:
		a.t.Fatalf("the app got one more notify: %s", d.body)
	default:
	}
}

// resource is the decrypted part of an envelope.
func (d delivery) resource(t *testing.T) map[string]any {
	t.Helper()
	var envelope struct {
		Resource map[string]any `json:"resource"`
	}
	if err := json.Unmarshal(d.body, &envelope); err != nil {
		t.Fatalf("the app got no JSON: %v\n%s", err, d.body)
	}
	return envelope.Resource
}
