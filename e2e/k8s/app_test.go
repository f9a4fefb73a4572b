package k8s_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// asApp makes the test binary be the app of a pod: a process of its own, with
// the environment that the pod gives its container, and what the test adds.
const asApp = "WXPROXY_TEST_APP"

// app takes notifies, and when it is told to stop makes one last call to
// WeChat Pay: after the sidecar has stopped to take notifies, where there is
// such a sidecar. As a job it makes its call at once and tells the sidecar to
// end.
func app() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	say := func(format string, args ...any) { fmt.Printf("app: "+format+"\n", args...) }
	base := os.Getenv("WECHATPAY_BASE_URL")
	client := &http.Client{Timeout: patience}
	if socket := os.Getenv("WECHATPAY_SOCKET"); socket != "" {
		client.Transport = unixTransport(filepath.Join(os.Getenv("APP_ROOT"), socket))
	}
	call := func(when string) error {
		answer, err := client.Get(base + "/v3/certificates")
		if err != nil {
			say("%s: %v", when, err)
			return err
		}
		_ = answer.Body.Close()
		say("%s: %d verified=%s", when, answer.StatusCode, answer.Header.Get("Wxproxy-Verified"))
		return nil
	}
	if err := call("first call"); err != nil {
		return err
	}
	if os.Getenv(asApp) == "job" {
		quit := &http.Client{Transport: unixTransport(filepath.Join(os.Getenv("APP_ROOT"), os.Getenv("WXPROXY_CONTROL")))}
		answer, err := quit.Post("http://wxproxy/v1/quit", "", nil)
		if err != nil {
			return err
		}
		text, err := io.ReadAll(answer.Body)
		say("quit: %d %s", answer.StatusCode, text)
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:"+os.Getenv("APP_PORT"))
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		say("notify at %s %s", r.URL.Path, r.Header.Get("Wxproxy-Event-Type"))
		w.WriteHeader(http.StatusNoContent)
	})}
	go func() { _ = srv.Serve(l) }()
	say("listening")
	<-ctx.Done()
	if os.Getenv(asApp) == "together" {
		for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
			c, err := net.Dial("tcp", os.Getenv("NOTIFY_ADDRESS"))
			if err != nil {
				break
			}
			_ = c.Close()
			if time.Now().After(deadline) {
				return errors.New("notify goes on although the pod ends")
			}
		}
		say("notify has stopped")
	}
	_ = srv.Close()
	if err := call("last call"); err != nil {
		return err
	}
	say("done")
	return nil
}

func unixTransport(path string) *http.Transport {
	return &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}
}
