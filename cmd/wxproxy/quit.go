package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/wxproxy/wxproxy/internal/config"
	"github.com/wxproxy/wxproxy/internal/secret"
)

// runQuit asks the serve of the same config to drain and end: the last step of
// a job whose sidecar Kubernetes would not stop.
func runQuit(ctx context.Context, args []string, stderr io.Writer) int {
	source, code := parseConfigFlags("quit", args, stderr, nil)
	if source == nil {
		return code
	}
	cfg, err := source.load()
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitUsage
	}
	if err := quit(ctx, cfg); err != nil {
		fmt.Fprintln(stderr, "wxproxy quit:", err)
		return exitFailed
	}
	return exitFine
}

func quit(ctx context.Context, cfg *config.Config) error {
	if cfg.Admin.Control == "" {
		return errors.New("the control port is off; give admin.control in the config, and start serve with it")
	}
	network, address, err := config.ParseAddress(cfg.Admin.Control)
	if err != nil {
		return fmt.Errorf("admin.control: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://wxproxy/v1/quit", nil)
	if err != nil {
		return err
	}
	if !cfg.Admin.ControlToken.IsZero() {
		reader := secret.Reader{Env: os.LookupEnv}
		token, err := reader.Read(ctx, cfg.Admin.ControlToken)
		if err != nil {
			return fmt.Errorf("admin.control_token: %w", err)
		}
		request.Header.Set("Authorization", "Bearer "+string(token.Bytes()))
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, address)
	}}
	defer transport.CloseIdleConnections()
	answer, err := transport.RoundTrip(request)
	if err != nil {
		return fmt.Errorf("no serve answers at admin.control, %s: %w", cfg.Admin.Control, err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("admin.control answered %s; see that admin.control_token is that of the running serve", answer.Status)
	}
	return nil
}
