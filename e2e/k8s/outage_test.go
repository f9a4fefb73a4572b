package k8s_test

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// While no injector runs, pods that ask for a sidecar are refused, and nobody
// else notices.
func TestInjectorDown(t *testing.T) {
	kube.namespace(t, "down", nil, "web")
	kube.namespace(t, "down-ns", map[string]any{"wxproxy.dev/inject": "true"}, "web")
	r := install(t, "down-wx", 2, "grants:\n"+grant("down", "web", "shop")+grant("down-ns", "web", "shop"))
	r.ready("down", simplePod("first", "web"))
	r.injectors[0].kill() // one of two: nobody notices
	for i := range 20 {
		if status, answer := create(t, "down", simplePod(fmt.Sprintf("one-down-%d", i), "web"), ""); status != http.StatusCreated {
			t.Fatalf("with one of two replicas: %d %v", status, answer["message"])
		}
	}
	r.injectors[1].kill()
	status, answer := create(t, "down", simplePod("refused", "web"), "")
	if message := fmt.Sprint(answer["message"]); status != http.StatusInternalServerError || !strings.Contains(message, "inject.wxproxy.dev") {
		t.Errorf("opted in: %d %s", status, message)
	}
	plain := simplePod("free", "web")
	delete(plain["metadata"].(map[string]any), "labels")
	if status, answer = create(t, "down", clone(t, plain), ""); status != http.StatusCreated {
		t.Errorf("not opted in: %d %v", status, answer["message"])
	}
	if status, answer = create(t, "down-ns", clone(t, plain), ""); status != http.StatusInternalServerError {
		t.Errorf("opted in by the namespace: %d %v", status, answer["message"])
	}
	out := simplePod("out", "web")
	out["metadata"].(map[string]any)["labels"] = map[string]any{"wxproxy.dev/inject": "false"}
	if status, answer = create(t, "down-ns", out, ""); status != http.StatusCreated {
		t.Errorf("opted out: %d %v", status, answer["message"])
	}
	// Our own pods start without us, or we never would; and so does the cluster.
	for _, namespace := range []string{"down-wx", "kube-system"} {
		own := simplePod("own-down", "default")
		eventually(t, "service account of "+namespace, func() bool {
			status, _ := kube.call(t, http.MethodPost, "/api/v1/namespaces/"+namespace+"/serviceaccounts", map[string]any{"metadata": map[string]any{"name": "default"}})
			return status == http.StatusCreated || status == http.StatusConflict
		})
		if status, answer := create(t, namespace, own, "?dryRun=All"); status != http.StatusCreated {
			t.Errorf("in %s: %d %v", namespace, status, answer["message"])
		}
	}
	r.backends, r.injectors = nil, nil
	r.start()
	r.service.use(r.backends...)
	eventually(t, "recovery", func() bool {
		status, _ := create(t, "down", simplePod("recovered", "web"), "?dryRun=All")
		return status == http.StatusCreated
	})
}

// CA and certificate change several times, and replicas are replaced, while
// pods are created without a break; every one of them is injected.
func TestCertificateRotation(t *testing.T) {
	kube.namespace(t, "rotation", nil, "web")
	r := install(t, "rotation-wx", 2, "grants:\n"+grant("rotation", "web", "shop"), "--set",
		"injector.certificate.caLifetime=24s,injector.certificate.lifetime=9s,injector.certificate.settle=3s,injector.certificate.check=300ms")
	r.ready("rotation", simplePod("first", "web"))
	leaves, authorities := map[string]bool{}, map[string]bool{}
	replaced := false
	created := 0
	for began := time.Now(); len(leaves) < 6 || len(authorities) < 3 || !replaced; created++ {
		if time.Since(began) > 4*time.Minute {
			t.Fatalf("only %d certificates of %d CAs in time", len(leaves), len(authorities))
		}
		status, answer := create(t, "rotation", simplePod(fmt.Sprintf("pod-%d", created), "web"), "?dryRun=All")
		if status != http.StatusCreated || textAt(answer, "metadata", "annotations", "wxproxy.dev/status") != "injected" {
			t.Fatalf("pod %d, after %d certificates of %d CAs: %d %v", created, len(leaves), len(authorities), status, answer["message"])
		}
		for _, b := range r.backends {
			conn, err := tls.Dial("tcp", b.address, &tls.Config{InsecureSkipVerify: true}) // looked at, not trusted
			if err != nil {
				continue // the one that is being replaced
			}
			leaf := conn.ConnectionState().PeerCertificates[0]
			leaves[leaf.SerialNumber.String()], authorities[string(leaf.AuthorityKeyId)] = true, true
			_ = conn.Close()
		}
		if !replaced && len(leaves) >= 3 {
			replaced = true
			old := r.injectors[0]
			r.start()
			r.service.use(r.backends...)
			old.terminate(t)
			r.service.use(r.backends[1:]...)
			if code := old.cmd.ProcessState.ExitCode(); code != 0 {
				t.Errorf("the replaced injector exited with %d", code)
			}
		}
	}
	t.Logf("%d pods, %d certificates of %d CAs, one replica replaced", created, len(leaves), len(authorities))
}

// The rights that the chart gives are enough, as all tests show, and no more.
func TestRights(t *testing.T) {
	install(t, "rights", 1, "grants: []")
	token := kube.token(t, "rights", "rights-injector")
	for _, row := range []struct {
		method, path string
		want         int
	}{
		{http.MethodGet, "/api/v1/namespaces/rights/secrets/rights-injector-tls", http.StatusOK},
		{http.MethodGet, "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/rights-injector", http.StatusOK},
		{http.MethodGet, "/api/v1/namespaces/rights/secrets", http.StatusForbidden},
		{http.MethodGet, "/api/v1/namespaces/rights/secrets/other", http.StatusForbidden},
		{http.MethodDelete, "/api/v1/namespaces/rights/secrets/rights-injector-tls", http.StatusForbidden},
		{http.MethodGet, "/api/v1/namespaces/kube-system/secrets/rights-injector-tls", http.StatusForbidden},
		{http.MethodGet, "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/other", http.StatusForbidden},
		{http.MethodDelete, "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/rights-injector", http.StatusForbidden},
		{http.MethodGet, "/api/v1/pods", http.StatusForbidden},
		{http.MethodGet, "/api/v1/namespaces", http.StatusForbidden},
		{http.MethodGet, "/api/v1/nodes", http.StatusForbidden},
	} {
		if status, answer, err := kube.send(row.method, row.path, token, nil); err != nil || status != row.want {
			t.Errorf("%s %s: %d, want %d (%v) %.200s", row.method, row.path, status, row.want, err, answer)
		}
	}
}
