package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const route = `  routes: [{path: /notify, to: "http://127.0.0.1:9"}]
outbound: {listen: "127.0.0.1:0", upstreams: ["http://127.0.0.1:9"]}
`

func rootPool(t *testing.T, file string) *x509.CertPool {
	t.Helper()
	pool, err := addCerts(x509.NewCertPool(), file)
	if err != nil {
		t.Fatal(err)
	}
	return pool
}

func TestNotifyPortSpeaksTLS(t *testing.T) {
	t.Parallel()
	dir, file := setup(t, "notify:\n  listen: 127.0.0.1:0\n  tls: {mode: internal, storage: file:ca, names: [pay.localhost]}\n"+route)
	s := start(t, file)
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: rootPool(t, filepath.Join(dir, "ca", "root.crt")), ServerName: "pay.localhost"}, ForceAttemptHTTP2: true,
	}}
	defer client.CloseIdleConnections()
	for i := range 2 { // a refusal does not end an HTTP/2 connection: Java's client would lose the answer
		again := false
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) { again = c.Reused }})
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+s.address(roleNotify)+"/notify", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, answer.Body)
		_ = answer.Body.Close()
		if answer.ProtoMajor != 2 || answer.StatusCode != http.StatusUnauthorized || again != (i == 1) {
			t.Errorf("request %d: %s %s, connection used again: %v", i, answer.Proto, answer.Status, again)
		}
	}
	plain, err := http.Get("http://" + s.address(roleNotify) + "/notify")
	if err != nil {
		t.Fatal(err)
	}
	_ = plain.Body.Close()
	if plain.StatusCode != http.StatusBadRequest {
		t.Errorf("plain HTTP: %s", plain.Status)
	}
	var shown bool
	for _, st := range s.statuses() {
		shown = shown || st.Certificate == "pay.localhost" && st.Ready
	}
	if !shown {
		t.Errorf("the certificate is not in %+v", s.statuses())
	}
}

func TestNotifyPortReloadsItsFiles(t *testing.T) {
	t.Parallel()
	dir, file := setup(t, "notify:\n  listen: 127.0.0.1:0\n  tls: {mode: files, certificate: file:cert.pem, private_key: file:key.pem, default_name: ''}\n"+route)
	s := start(t, file)
	before := s.callback.files.Status()
	write(t, dir, "key.pem", []byte("half"))
	if err := s.reload(t.Context()); err == nil || !strings.Contains(err.Error(), "notify.tls: ") {
		t.Errorf("reload: %v", err)
	}
	if after := s.callback.files.Status(); len(before) != len(after) {
		t.Errorf("before %+v, after %+v", before, after)
	}
	watched := strings.Join(watchedFiles(s.cfg), " ")
	if !strings.Contains(watched, "cert.pem") || !strings.Contains(watched, "key.pem") {
		t.Errorf("watched: %s", watched)
	}
}

func TestStartRefusesAPairThatDoesNotFit(t *testing.T) {
	t.Parallel()
	dir, file := setup(t, "notify:\n  listen: 127.0.0.1:0\n  tls: {mode: files, certificate: file:cert.pem, private_key: file:other.pem}\n"+route)
	write(t, dir, "other.pem", []byte("nothing"))
	var stderr bytes.Buffer
	if code := run(t.Context(), []string{"serve", "-c", file}, io.Discard, &stderr); code != exitUsage || !strings.Contains(stderr.String(), "notify.tls: file:") {
		t.Errorf("exit code %d: %s", code, stderr.String())
	}
}

// The sender that a trusted proxy announces counts; an announcement by anybody
// else ends the connection.
func TestProxyProtocol(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		trusted string
		status  string // empty: the connection is ended, or answered 400
	}{{"127.0.0.0/8", "403"}, {"10.0.0.0/8", "400"}} {
		_, file := setup(t, "notify:\n  listen: 127.0.0.1:0\n  trusted_proxies: ["+tc.trusted+"]\n  proxy_protocol: true\n  source_ips: [127.0.0.1]\n"+route)
		s := start(t, file)
		conn, err := net.Dial("tcp", s.address(roleNotify))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprint(conn, "PROXY TCP4 203.0.113.9 192.0.2.1 40000 443\r\nPOST /notify HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		answer, err := io.ReadAll(conn)
		if err != nil {
			t.Fatal(err)
		}
		if first, _, _ := strings.Cut(string(answer), "\r\n"); !strings.Contains(first, tc.status) {
			t.Errorf("trusted %s: %q, want %s", tc.trusted, first, tc.status)
		}
	}
}

func TestTrust(t *testing.T) {
	t.Parallel()
	dir, file := setup(t, "notify:\n  listen: 127.0.0.1:8449\n  tls: {mode: internal, storage: file:ca, names: [pay.localhost]}\n"+strings.Replace(route, "path: /notify", "path: /callback", 1))
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"trust", "-c", file}, &stdout, &stderr); code != exitFine {
		t.Fatalf("exit code %d: %s", code, stderr.String())
	}
	root := filepath.Join(dir, "ca", "root.crt")
	for _, want := range []string{
		"curl --cacert " + root + " https://pay.localhost:8449\n",
		"--to https://pay.localhost:8449/callback --ca " + root + " --dir ./sandbox\n",
	} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("%q is not in:\n%s", want, stdout.String())
		}
	}
	before, err := os.ReadFile(root)
	if err != nil {
		t.Fatal(err)
	}
	start(t, file)
	if after, err := os.ReadFile(root); err != nil || !bytes.Equal(before, after) {
		t.Errorf("serve made another CA: %v", err)
	}
	_, other := setup(t, route[strings.Index(route, "outbound"):])
	stderr.Reset()
	if code := run(t.Context(), []string{"trust", "-c", other}, io.Discard, &stderr); code != exitUsage || !strings.Contains(stderr.String(), "mode is off") {
		t.Errorf("exit code %d: %s", code, stderr.String())
	}
}
