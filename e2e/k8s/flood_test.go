package k8s_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Pods of any size, and bodies that others in the cluster post to the webhook,
// leave the injector within the memory that the chart gives it, and are
// answered in few words. Meanwhile and after it, others get their sidecar.
func TestHugePodsHarmNobody(t *testing.T) {
	kube.namespace(t, "huge", nil, "web")
	r := install(t, "huge-wx", 1, "grants:\n"+grant("huge", "web", "shop"))
	r.ready("huge", simplePod("first", "web"))

	annotations := make(map[string]any)
	for i := range 30_000 { // with more the API server itself is slow
		annotations[fmt.Sprintf("wxproxy.dev/%d", i)] = "x"
	}
	for name, row := range map[string]struct {
		annotations map[string]any
		want        string
	}{
		"annotations": {annotations, "at most 32"},
		"merchants":   {map[string]any{"wxproxy.dev/merchant": strings.Repeat("000000,", 100_000)}, "at most 65536"},
	} {
		pod := simplePod("huge", "web")
		pod["metadata"].(map[string]any)["annotations"] = row.annotations
		status, answer := create(t, "huge", pod, "?dryRun=All")
		if message := fmt.Sprint(answer["message"]); status != http.StatusForbidden || len(message) > 6<<10 || !strings.Contains(message, row.want) {
			t.Errorf("%s: %d, %d bytes: %.300s", name, status, len(message), message)
		}
	}

	containers := strings.Repeat("{},", 2_700_000)
	body := []byte(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u","kind":{"kind":"Pod"},"namespace":"huge","operation":"CREATE","object":{"spec":{"containers":[` + containers[:len(containers)-1] + `]}}}}`)
	client := &http.Client{Timeout: patience, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} // as a pod that only wants to harm
	var posts sync.WaitGroup
	for range 20 {
		posts.Go(func() {
			answer, err := client.Post("https://"+r.backends[0].address+"/mutate", "application/json", bytes.NewReader(body))
			if err != nil {
				return // refused before it was read
			}
			defer answer.Body.Close()
			text, err := io.ReadAll(answer.Body)
			if busy := answer.StatusCode == http.StatusTooManyRequests; err != nil || len(text) > 6<<10 || !busy && !bytes.Contains(text, []byte("the pod is too large")) {
				t.Errorf("%d %v %.300s", answer.StatusCode, err, text)
			}
		})
	}
	if status, answer := create(t, "huge", simplePod("beside", "web"), "?dryRun=All"); status != http.StatusCreated {
		t.Errorf("a pod beside them: %d %v", status, answer["message"])
	}
	posts.Wait()
	if status, answer := create(t, "huge", simplePod("after", "web"), "?dryRun=All"); status != http.StatusCreated {
		t.Errorf("a pod after them: %d %v", status, answer["message"])
	}
	peak := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindStringSubmatch(read(t, fmt.Sprintf("/proc/%d/status", r.injectors[0].cmd.Process.Pid)))
	if kib, err := strconv.Atoi(peak[1]); err != nil || kib > 128<<10 {
		t.Errorf("it took %s KiB, its limit is 128Mi", peak[1])
	} else {
		t.Logf("it took %d MiB", kib>>10)
	}
	if n := len(r.injectors[0].text()); n > 64<<10 {
		t.Errorf("it logged %d bytes", n)
	}
}

// The memory that Go may take is nine tenths of the container's.
func TestGoMemory(t *testing.T) {
	for limit, want := range map[string]string{"128Mi": "117964KiB", "1Gi": "943718KiB", "2G": ""} {
		out := mustHelm(t, "template", "rel", chart, "--kube-version", "1.34.4", "-s", "templates/injector-deployment.yaml", "--set", "injector.resources.limits.memory="+limit)
		env := at(documents(t, out)[0], "spec", "template", "spec", "containers", 0, "env", 0)
		if textAt(env, "value") != want || want == "" && textAt(env, "valueFrom", "resourceFieldRef", "resource") != "limits.memory" {
			t.Errorf("%s: %v", limit, env)
		}
	}
}
