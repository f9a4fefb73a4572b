package proxy_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxproxy/wxproxy/proxy"
)

// slow gives a byte and stands still for a while after it, within the timeout.
type slow struct {
	text  string
	pause time.Duration
}

func (s *slow) Read(p []byte) (int, error) {
	if s.text == "" {
		return 0, io.EOF
	}
	<-time.After(s.pause)
	n := copy(p[:1], s.text)
	s.text = s.text[1:]
	return n, nil
}

// An upload may take longer to come than a call may take: what remains to be
// done has its time from then on, for the rate and for another host.
func TestSlowUploadHasTimeLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFaulty(t, "refused")
		face, _ := f.face(func(s *setup) {
			s.Timeout = 10 * time.Second
			s.Rate = proxy.Rate{PerSecond: 100, Burst: 100}
		})
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, uploadTo, &slow{part(metaHead, metaText) + part(fileHead, file) + end, time.Second})
		r.Host, r.ContentLength = "localhost", -1
		r.Header.Set("Content-Type", formType)
		w := httptest.NewRecorder()
		face.ServeHTTP(w, r)
		if w.Code != http.StatusOK || w.Header().Get("Wxproxy-Attempts") != "2" {
			t.Errorf("got %d %v %s", w.Code, w.Header(), w.Body)
		}
	})
}
