package injector_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxproxy/wxproxy/internal/injector"
)

// What Kubernetes bounds only after we have seen it is refused in few words,
// with what to change, and at little cost. Not parallel: it counts memory.
func TestHugePodsAreRefusedBriefly(t *testing.T) {
	const most = 6 << 10 // of answer and log
	many := func(n int, text string) string { return strings.Repeat(text+",", n-1) + text }
	numbered := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `"wxproxy.dev/%d":"x",`, i)
		}
		return b.String() + `"a":"b"`
	}
	annotated := func(annotations string) string {
		return `{"metadata":{"annotations":{` + annotations + `}},"spec":{"serviceAccountName":"web","containers":[{"name":"app"}]}}`
	}
	for _, row := range []struct{ name, pod, want string }{
		{"annotations", annotated(numbered(110_000)), "at most 32"},
		{"merchants", annotated(`"wxproxy.dev/merchant":"` + many(100_000, "shop") + `"`), "at most 65536 are read; shorten it"},
		{"merchants within bounds", annotated(`"wxproxy.dev/merchant":"` + many(9_000, "000000") + `"`), "more than 10 problems"},
		{"containers annotation", annotated(`"wxproxy.dev/containers":"` + many(9_000, "none") + `"`), "more than 10 problems"},
		{"empty containers", `{"spec":{"containers":[` + many(2_000_000, "{}") + `]}}`, "too large"},
		{"small containers", `{"spec":{"containers":[` + many(100_000, "{}") + `]}}`, "at most 512 containers"},
		{"mounts", `{"spec":{"containers":[{"name":"app","volumeMounts":[` + many(50_000, `{"name":"wxproxy-token"}`) + `]}]}}`, "more than 10 problems"},
		{"labels", `{"metadata":{"labels":{` + strings.ReplaceAll(numbered(140_000), "wxproxy.dev", "other") + `}}}`, "too large"},
		{"long key", annotated(`"wxproxy.dev/` + strings.Repeat("x", 1<<20) + `":"y"`), "is unknown"},
		{"long names", `{"metadata":{"` + strings.Repeat("x", 1<<20) + `":1,"annotations":{"` + strings.Repeat("x", 1<<20) + `":[]}}}`, "is not valid"},
	} {
		t.Run(row.name, func(t *testing.T) {
			var log bytes.Buffer
			i, err := injector.New(injector.Options{Settings: settings(t), Native: func() bool { return true }, Log: slog.New(slog.NewTextHandler(&log, nil))})
			if err != nil {
				t.Fatal(err)
			}
			body := []byte(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u","kind":{"kind":"Pod"},"namespace":"shop","operation":"CREATE","object":` + row.pod + `}}`)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			out, err := i.Review(t.Context(), body)
			runtime.ReadMemStats(&after)
			if err != nil || !bytes.Contains(out, []byte(row.want)) || !bytes.Contains(out, []byte(`"allowed":false`)) {
				t.Errorf("%v %.300s, want %s", err, out, row.want)
			}
			if len(out) > most || log.Len() > most {
				t.Errorf("%d bytes of answer, %d of log", len(out), log.Len())
			}
			if took := (after.TotalAlloc - before.TotalAlloc) >> 20; took > 64 {
				t.Errorf("took %d MiB for a review of %d MiB", took, len(body)>>20)
			}
		})
	}
}

// Bounds are far from what pods have: a hundred containers with a hundred
// variables each, and what API servers note about each of them.
func TestLargePodsPass(t *testing.T) {
	t.Parallel()
	var containers []any
	managed := map[string]any{}
	for c := range 100 {
		var env []any
		for e := range 100 {
			env = append(env, map[string]any{"name": fmt.Sprintf("VARIABLE_%d", e), "value": strings.Repeat("v", 40)})
			managed[fmt.Sprintf(`k:{"name":"%d.%d"}`, c, e)] = map[string]any{".": map[string]any{}, "f:name": map[string]any{}, "f:value": map[string]any{}}
		}
		containers = append(containers, map[string]any{"name": fmt.Sprintf("app-%d", c), "env": env})
	}
	pod := map[string]any{
		"metadata": map[string]any{"name": "web", "managedFields": []any{managed}},
		"spec":     map[string]any{"serviceAccountName": "web", "containers": containers},
	}
	i := newInjector(t, settings(t), true)
	w := httptest.NewRecorder()
	i.ServeHTTP(w, post(t.Context(), bytes.NewReader(reviewOf(marshal(t, pod), "shop", "CREATE", ""))))
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"allowed":true`) {
		t.Errorf("%d %.300s", w.Code, w.Body)
	}
}

func post(ctx context.Context, body io.Reader) *http.Request {
	return httptest.NewRequestWithContext(ctx, http.MethodPost, "/mutate", body)
}

// While four reviews are answered others wait, and are then told to come back;
// who has gone is not waited for.
func TestReviewsInFlightAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		i, err := injector.New(injector.Options{Settings: settings(t), Native: func() bool { <-hold; return true }})
		if err != nil {
			t.Fatal(err)
		}
		body := reviewOf(toJSON(t, pods[0].text), pods[0].namespace, "CREATE", "")
		send := func(ctx context.Context) chan *httptest.ResponseRecorder {
			answers := make(chan *httptest.ResponseRecorder, 1)
			go func() {
				w := httptest.NewRecorder()
				i.ServeHTTP(w, post(ctx, bytes.NewReader(body)))
				answers <- w
			}()
			synctest.Wait()
			return answers
		}
		var held []chan *httptest.ResponseRecorder
		for range 4 {
			held = append(held, send(t.Context()))
		}
		began := time.Now()
		if w := <-send(t.Context()); w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "1" || !strings.Contains(w.Body.String(), "try again") {
			t.Errorf("the fifth: %d %s", w.Code, w.Body)
		}
		if waited := time.Since(began); waited != 2*time.Second {
			t.Errorf("it waited %v", waited)
		}
		gone, leave := context.WithCancel(t.Context())
		left := send(gone)
		leave()
		if w := <-left; w.Body.Len() > 0 {
			t.Errorf("who had gone: %s", w.Body)
		}
		patient := send(t.Context())
		close(hold)
		for n, answers := range append(held, patient) {
			if w := <-answers; w.Code != http.StatusOK {
				t.Errorf("%d: %d %s", n, w.Code, w.Body)
			}
		}
	})
}

// Large bodies that come slowly hold up other large ones, and nobody else.
func TestLargeBodiesAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i := newInjector(t, settings(t), true)
		large := bytes.Repeat([]byte(" "), 70<<10)
		var pipes []*io.PipeWriter
		ended := make(chan int, 2)
		for range 2 {
			from, to := io.Pipe()
			pipes = append(pipes, to)
			go func() {
				w := httptest.NewRecorder()
				i.ServeHTTP(w, post(t.Context(), from))
				ended <- w.Code
			}()
			if _, err := to.Write(large); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		answer := func(body []byte) int {
			w := httptest.NewRecorder()
			i.ServeHTTP(w, post(t.Context(), bytes.NewReader(body)))
			return w.Code
		}
		small := reviewOf(toJSON(t, pods[0].text), pods[0].namespace, "CREATE", "")
		if code := answer(append(large, small...)); code != http.StatusTooManyRequests {
			t.Errorf("a third large one: %d", code)
		}
		if code := answer(small); code != http.StatusOK {
			t.Errorf("a small one: %d", code)
		}
		if err := pipes[0].Close(); err != nil {
			t.Fatal(err)
		}
		if code := <-ended; code != http.StatusBadRequest {
			t.Errorf("a body of blanks: %d", code)
		}
		if code := answer(append(large, small...)); code != http.StatusOK {
			t.Errorf("a large one after that: %d", code)
		}
		if code := answer(bytes.Repeat(large, 200)); code != http.StatusRequestEntityTooLarge {
			t.Errorf("one that is too large: %d", code)
		}
		if err := pipes[1].CloseWithError(io.ErrUnexpectedEOF); err != nil {
			t.Fatal(err)
		}
		if code := <-ended; code != http.StatusBadRequest {
			t.Errorf("a body that broke off: %d", code)
		}
	})
}
