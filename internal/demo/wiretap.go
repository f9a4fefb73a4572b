package demo

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"sync"
)

// Wiretap is somebody on the way between WeChat Pay and the proxy who records
// the last notify, byte for byte, and can send it again. He has no key.
type Wiretap struct {
	Base http.RoundTripper // carries the notifies on

	mu     sync.Mutex
	url    string
	header http.Header
	body   []byte
}

// RoundTrip implements http.RoundTripper for the sender of notifies.
func (t *Wiretap) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	_ = r.Body.Close()
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	t.url, t.header, t.body = r.URL.String(), r.Header.Clone(), body
	t.mu.Unlock()
	again := r.Clone(r.Context())
	again.Body = io.NopCloser(bytes.NewReader(body))
	return t.Base.RoundTrip(again)
}

// Recorded returns the body of the last notify.
func (t *Wiretap) Recorded() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.body
}

// Replay sends the last notify again and returns the status of the answer.
func (t *Wiretap) Replay(ctx context.Context) (status int, err error) {
	t.mu.Lock()
	url, header, body := t.url, t.header, t.body
	t.mu.Unlock()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	r.Header = header.Clone()
	resp, err := t.Base.RoundTrip(r)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}
