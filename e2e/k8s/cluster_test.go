package k8s_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// cluster is etcd and a kube-apiserver: no kubelet, no controllers.
type cluster struct {
	dir        string
	url        string
	ca         string // file
	kubeconfig string
	client     *http.Client
	etcd, api  *process
}

const adminToken = "admin-of-the-tests"

// startCluster hands more arguments on to the API server.
func startCluster(dir string, more ...string) (*cluster, error) {
	c := &cluster{dir: dir}
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	etcdURL := "http://127.0.0.1:" + ports[0]
	etcd := exec.Command("etcd", "--data-dir", filepath.Join(dir, "etcd"), "--unsafe-no-fsync", "--log-level", "warn",
		"--listen-client-urls", etcdURL, "--advertise-client-urls", etcdURL,
		"--listen-peer-urls", "http://127.0.0.1:"+ports[1], "--initial-advertise-peer-urls", "http://127.0.0.1:"+ports[1],
		"--initial-cluster", "default=http://127.0.0.1:"+ports[1])
	if c.etcd, err = launch(etcd); err != nil {
		return c, err
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return c, err
	}
	files := map[string][]byte{
		"sa.key": pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}),
		"tokens": []byte(adminToken + ",admin,1,system:masters\n"),
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return c, err
		}
	}
	c.url = "https://127.0.0.1:" + ports[2]
	api := exec.Command(apiserver, append(more, "--etcd-servers", etcdURL, "--secure-port", ports[2], "--bind-address", "127.0.0.1", "--advertise-address", "127.0.0.1",
		"--cert-dir", filepath.Join(dir, "certs"), "--service-cluster-ip-range", "10.96.0.0/16",
		"--service-account-issuer", "https://kubernetes.default.svc", "--service-account-key-file", filepath.Join(dir, "sa.key"), "--service-account-signing-key-file", filepath.Join(dir, "sa.key"),
		"--token-auth-file", filepath.Join(dir, "tokens"), "--authorization-mode", "RBAC", "--allow-privileged=false", "--watch-cache=true", "--profiling=false")...)
	if c.api, err = launch(api); err != nil {
		return c, err
	}
	return c, c.ready()
}

func (c *cluster) ready() error {
	c.ca = filepath.Join(c.dir, "certs", "apiserver.crt")
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		select {
		case <-c.api.exited:
			return fmt.Errorf("kube-apiserver ended:\n%s\n%s", tail(c.etcd.text()), tail(c.api.text()))
		default:
		}
		if c.client == nil {
			text, err := os.ReadFile(c.ca)
			pool := x509.NewCertPool()
			if err != nil || !pool.AppendCertsFromPEM(text) {
				continue
			}
			c.client = &http.Client{Timeout: patience, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, MaxIdleConnsPerHost: 16}}
		}
		if status, _, err := c.send(http.MethodGet, "/readyz", adminToken, nil); err == nil && status == http.StatusOK {
			c.kubeconfig = filepath.Join(c.dir, "kubeconfig")
			return os.WriteFile(c.kubeconfig, fmt.Appendf(nil, `apiVersion: v1
kind: Config
current-context: test
clusters: [{name: test, cluster: {server: %s, certificate-authority: %s}}]
users: [{name: admin, user: {token: %s}}]
contexts: [{name: test, context: {cluster: test, user: admin}}]
`, c.url, c.ca, adminToken), 0o600)
		}
	}
	return errors.New("kube-apiserver was not ready in time:\n" + tail(c.api.text()))
}

func (c *cluster) stop() {
	for _, p := range []*process{c.api, c.etcd} {
		if p != nil {
			p.kill()
		}
	}
}

func freePorts(n int) (list []string, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		_, port, _ := net.SplitHostPort(l.Addr().String())
		list = append(list, port)
	}
	return list, nil
}

func (c *cluster) send(method, path, token string, body []byte) (int, []byte, error) {
	r, err := http.NewRequest(method, c.url+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	if method == http.MethodPatch {
		r.Header.Set("Content-Type", "application/strategic-merge-patch+json")
	}
	answer, err := c.client.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	return answer.StatusCode, data, err
}

// call sends a document and returns the answer, decoded.
func (c *cluster) call(t testing.TB, method, path string, body any) (int, map[string]any) {
	t.Helper()
	var data []byte
	if body != nil {
		var err error
		if data, err = json.Marshal(body); err != nil {
			t.Fatal(err)
		}
	}
	status, answer, err := c.send(method, path, adminToken, data)
	if err != nil {
		t.Fatal(err)
	}
	m := make(map[string]any)
	if err := json.Unmarshal(answer, &m); err != nil {
		t.Fatalf("%s %s: %d %s", method, path, status, answer)
	}
	return status, m
}

// must is call for what has to succeed.
func (c *cluster) must(t testing.TB, method, path string, body any) map[string]any {
	t.Helper()
	status, m := c.call(t, method, path, body)
	if status/100 != 2 {
		t.Fatalf("%s %s: %d %v", method, path, status, m["message"])
	}
	return m
}

// namespace makes one with service accounts, for this test alone.
func (c *cluster) namespace(t testing.TB, name string, labels map[string]any, accounts ...string) {
	t.Helper()
	c.must(t, http.MethodPost, "/api/v1/namespaces", map[string]any{"metadata": map[string]any{"name": name, "labels": labels}})
	for _, account := range append(accounts, "default") {
		c.must(t, http.MethodPost, "/api/v1/namespaces/"+name+"/serviceaccounts", map[string]any{"metadata": map[string]any{"name": account}})
	}
}

// token of a service account, as a kubelet would get it.
func (c *cluster) token(t testing.TB, namespace, account string) string {
	t.Helper()
	m := c.must(t, http.MethodPost, "/api/v1/namespaces/"+namespace+"/serviceaccounts/"+account+"/token",
		map[string]any{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": map[string]any{"expirationSeconds": 3600}})
	return m["status"].(map[string]any)["token"].(string)
}

// helm runs the real one.
func helm(t testing.TB, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command(helmTool, args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+kube.kubeconfig, "HOME="+kube.dir, "HELM_NO_PLUGINS=1")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func mustHelm(t testing.TB, args ...string) string {
	t.Helper()
	out, err := helm(t, args...)
	if err != nil {
		t.Fatalf("helm %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}
