package injector

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// Cluster is a Kubernetes API, as far as the injector's certificate needs it:
// one Secret, one webhook configuration, the version. client-go would add
// 19 MB and 34 modules to every sidecar's binary for these four requests.
type Cluster struct {
	base   string
	token  string // file, read for each request: Kubernetes renews it
	client *http.Client
}

// ClusterOptions says where the API is. The zero value is the pod's own
// cluster.
type ClusterOptions struct {
	URL       string // https://…
	TokenFile string
	CAFile    string
}

const accountDir = "/var/run/secrets/kubernetes.io/serviceaccount/"

// NewCluster connects to nothing yet.
func NewCluster(o ClusterOptions) (*Cluster, error) {
	if o.URL == "" {
		host, port := os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT")
		if host == "" || port == "" {
			return nil, errors.New("not in a Kubernetes pod: KUBERNETES_SERVICE_HOST is not set; give --kube-api, --kube-token and --kube-ca")
		}
		o.URL = "https://" + net.JoinHostPort(host, port)
	}
	if u, err := url.Parse(o.URL); err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, errors.New("the Kubernetes API needs an https:// URL")
	}
	if o.TokenFile == "" {
		o.TokenFile = accountDir + "token"
	}
	if o.CAFile == "" {
		o.CAFile = accountDir + "ca.crt"
	}
	ca, err := os.ReadFile(o.CAFile)
	if err != nil {
		return nil, fmt.Errorf("reading the Kubernetes API's CA: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		return nil, fmt.Errorf("%s holds no certificate", o.CAFile)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, IdleConnTimeout: time.Minute}
	return &Cluster{base: strings.TrimSuffix(o.URL, "/"), token: o.TokenFile, client: &http.Client{Transport: transport, Timeout: 15 * time.Second}}, nil
}

// kubeError is an answer of the API that is no success.
type kubeError struct {
	code    int
	message string
}

func (e *kubeError) Error() string {
	return fmt.Sprintf("the Kubernetes API answered %d: %s", e.code, e.message)
}

// Kinds of patch.
const (
	mergePatch = "application/merge-patch+json"
	jsonPatch  = "application/json-patch+json"
)

// do sends one request and decodes the answer.
func (c *Cluster) do(ctx context.Context, method, path, contentType string, body, into any) error {
	content, err := json.Marshal(body)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(content))
	if err != nil {
		return err
	}
	token, err := os.ReadFile(c.token)
	if err != nil {
		return fmt.Errorf("reading the service account's token: %w", err)
	}
	r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	r.Header.Set("Accept", "application/json")
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	answer, err := c.client.Do(r)
	if err != nil {
		return fmt.Errorf("calling the Kubernetes API: %w", err)
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(io.LimitReader(answer.Body, maxReview))
	if err != nil {
		return fmt.Errorf("reading the Kubernetes API's answer: %w", err)
	}
	if answer.StatusCode/100 != 2 {
		var status struct{ Message string }
		_ = json.Unmarshal(data, &status) // a proxy's error page has none
		return &kubeError{answer.StatusCode, cut(status.Message)}
	}
	return json.Unmarshal(data, into)
}

// Native reports whether every node of the cluster runs native sidecars. They
// are on by default since 1.29, and nodes may be three minor versions behind
// the API.
func (c *Cluster) Native(ctx context.Context) (bool, error) {
	var v struct{ Major, Minor string }
	if err := c.do(ctx, http.MethodGet, "/version", "", nil, &v); err != nil {
		return false, err
	}
	major, err := strconv.Atoi(v.Major)
	if err != nil {
		return false, fmt.Errorf("the Kubernetes API has version %s.%s, which is no number", shown(v.Major), shown(v.Minor))
	}
	minor, err := strconv.Atoi(strings.TrimRight(v.Minor, "+"))
	if err != nil {
		return false, fmt.Errorf("the Kubernetes API has version %s.%s, which is no number", shown(v.Major), shown(v.Minor))
	}
	return major > 1 || minor >= 32, nil
}

// secret is what we keep in the cluster, with the version that a change is
// based on: of two replicas that change it at once, one is told to look again.
type secret struct {
	Metadata struct {
		ResourceVersion string `json:"resourceVersion"`
	} `json:"metadata"`
	Data map[string][]byte `json:"data"`
}

func secretURL(namespace, name string) string {
	return "/api/v1/namespaces/" + url.PathEscape(namespace) + "/secrets/" + url.PathEscape(name)
}

func webhookURL(name string) string {
	return "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/" + url.PathEscape(name)
}

// trust writes the CA bundle to each webhook that has another, and tells
// whether all had it already.
func (c *Cluster) trust(ctx context.Context, name string, bundle []byte) (was bool, err error) {
	var configuration struct {
		Webhooks []struct {
			Name         string
			ClientConfig struct{ CABundle []byte }
		}
	}
	if err := c.do(ctx, http.MethodGet, webhookURL(name), "", nil, &configuration); err != nil {
		return false, err
	}
	var ops []operation
	for i, w := range configuration.Webhooks {
		if !bytes.Equal(w.ClientConfig.CABundle, bundle) {
			at := "/webhooks/" + strconv.Itoa(i)
			ops = append(ops, operation{"test", at + "/name", w.Name}, operation{"add", at + "/clientConfig/caBundle", bundle})
		}
	}
	if len(ops) == 0 {
		return true, nil
	}
	return false, c.do(ctx, http.MethodPatch, webhookURL(name), jsonPatch, ops, &struct{}{})
}
