package injector_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxproxy/wxproxy/internal/injector"
)

// code is the status that a review is answered with at once.
func code(t *testing.T, i *injector.Injector, body io.Reader) int {
	t.Helper()
	began := time.Now()
	w := httptest.NewRecorder()
	i.ServeHTTP(w, post(t.Context(), body))
	if waited := time.Since(began); waited > 0 {
		t.Errorf("waited %v", waited)
	}
	return w.Code
}

// However many send a body and stall, no more than 128 of them are read.
func TestSmallBodiesAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i := newInjector(t, settings(t), true)
		from, to := io.Pipe()
		for range 128 {
			go i.ServeHTTP(httptest.NewRecorder(), post(t.Context(), from))
		}
		synctest.Wait()
		unread := strings.NewReader("{}")
		if code := code(t, i, unread); code != http.StatusTooManyRequests || unread.Len() != 2 {
			t.Errorf("one more: %d, %d bytes unread", code, unread.Len())
		}
		if err := to.Close(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		small := reviewOf(toJSON(t, pods[0].text), pods[0].namespace, "CREATE", "")
		if code := code(t, i, bytes.NewReader(small)); code != http.StatusOK {
			t.Errorf("after them: %d", code)
		}
	})
}

// deaf is a client that does not read until its time is over.
type deaf struct {
	*httptest.ResponseRecorder
	until time.Time
}

func (d *deaf) SetWriteDeadline(until time.Time) error {
	d.until = until
	return nil
}

func (d *deaf) Write(p []byte) (int, error) {
	time.Sleep(time.Until(d.until)) // by the bubble's clock
	return d.ResponseRecorder.Write(p)
}

// Who does not read the answer keeps nobody else from one, nor much memory, and
// is given up after five seconds.
func TestUnreadAnswersAreBounded(t *testing.T) {
	t.Parallel()
	small := reviewOf(toJSON(t, pods[0].text), pods[0].namespace, "CREATE", "")
	var names []string
	for n := range 500 {
		names = append(names, fmt.Sprintf(`{"name":"a%d"}`, n))
	}
	many := reviewOf([]byte(`{"metadata":{"labels":{"wxproxy.dev/inject":"true"}},"spec":{"serviceAccountName":"web","containers":[`+strings.Join(names, ",")+`]}}`), "shop", "CREATE", "")
	for _, row := range []struct {
		name  string
		body  []byte
		fit   int // so many at once
		large int // what a large one is answered meanwhile
	}{
		{"small", small, 127, http.StatusOK},
		{"many containers", many, 2, http.StatusTooManyRequests},
		{"no review", []byte("{}"), 127, http.StatusOK},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				i := newInjector(t, settings(t), true)
				began := time.Now()
				ended := make(chan time.Duration, row.fit)
				for range row.fit {
					go func() {
						w := &deaf{ResponseRecorder: httptest.NewRecorder(), until: began.Add(time.Hour)}
						i.ServeHTTP(w, post(t.Context(), bytes.NewReader(row.body)))
						ended <- time.Since(began)
					}()
				}
				synctest.Wait()
				if code := code(t, i, bytes.NewReader(small)); code != http.StatusOK {
					t.Errorf("a small one meanwhile: %d", code)
				}
				if code := code(t, i, bytes.NewReader(many)); code != row.large {
					t.Errorf("one of many containers meanwhile: %d", code)
				}
				for range row.fit {
					if took := <-ended; took != 5*time.Second {
						t.Fatalf("given up after %v", took)
					}
				}
				if code := code(t, i, bytes.NewReader(many)); code != http.StatusOK {
					t.Errorf("one of many containers after them: %d", code)
				}
			})
		})
	}
}
