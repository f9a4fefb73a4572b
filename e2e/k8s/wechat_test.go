package k8s_test

import (
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// wechat is the simulator, a process that knows nothing of Kubernetes.
type wechat struct {
	*process
	t           *testing.T
	dir, url    string
	publicKeyID string
}

func startWeChat(t *testing.T) *wechat {
	t.Helper()
	w := &wechat{t: t, dir: t.TempDir()}
	w.process = start(t, "sim", "--listen", "127.0.0.1:0", "--dir", w.dir)
	w.url = w.await(t, `simulated WeChat Pay on (http://\S+)`)[1]
	w.await(t, ` help: `)
	w.publicKeyID = regexp.MustCompile(`PUB_KEY_ID_\w+`).FindString(read(t, filepath.Join(w.dir, "wxproxy.yaml")))
	return w
}

func (w *wechat) post(path string, body any) map[string]any {
	w.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		w.t.Fatal(err)
	}
	answer, err := http.Post(w.url+path, "application/json", strings.NewReader(string(text)))
	if err != nil {
		w.t.Fatal(err)
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	m := make(map[string]any)
	if err != nil || answer.StatusCode != http.StatusOK || json.Unmarshal(data, &m) != nil {
		w.t.Fatalf("%s: %d %s", path, answer.StatusCode, data)
	}
	return m
}

// notify has one notify delivered, on WeChat Pay's schedule, and returns its ID.
func (w *wechat) notify(to string) string {
	w.t.Helper()
	return textAt(w.post("/_sim/trigger", map[string]string{"event": "TRANSACTION.SUCCESS", "to": to}), "notify_id")
}

type delivery struct {
	Kind, Verdict, Reason string
	NotifyID              string `json:"notify_id"`
	Attempt, Status       int
}

// deliveries are all attempts at notifies so far.
func (w *wechat) deliveries() (list []delivery) {
	w.t.Helper()
	answer, err := http.Get(w.url + "/_sim/log?since=0")
	if err != nil {
		w.t.Fatal(err)
	}
	defer answer.Body.Close()
	var log []delivery
	if err := json.NewDecoder(answer.Body).Decode(&log); err != nil {
		w.t.Fatal(err)
	}
	for _, d := range log {
		if d.Kind == "notify" {
			list = append(list, d)
		}
	}
	return list
}
