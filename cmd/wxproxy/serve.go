package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"

	"github.com/wxproxy/wxproxy/internal/config"
	"github.com/wxproxy/wxproxy/internal/doorcert"
	"github.com/wxproxy/wxproxy/internal/secret"
)

// runServe is the sidecar.
func runServe(ctx context.Context, args []string, _, stderr io.Writer) int {
	source, code := parseConfigFlags("serve", args, stderr, nil)
	if source == nil {
		return code
	}
	cfg, err := source.load()
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitUsage
	}
	log := newLogger(cfg.Log, stderr)
	for _, w := range cfg.Warnings() {
		log.Warn("config", "warning", w.Error())
	}
	if err := secret.HardenProcess(); err != nil {
		log.Warn("keys may reach a core dump", "error", err)
	}
	if cfg.Notify.TLS.Mode == config.TLSACME {
		doorcert.RedirectLog(log)
		defer doorcert.ReleaseLocks(context.WithoutCancel(ctx), log)
	}
	s, err := newSidecar(ctx, cfg, log)
	if err != nil {
		fmt.Fprintf(stderr, "wxproxy: not started:\n%v\n", err)
		return exitUsage
	}
	debug.FreeOSMemory() // reading the config and the keys of many merchants left more than it keeps
	if err := s.Run(ctx); err != nil {
		log.Error("stopped", "error", err)
		return exitFailed
	}
	log.Info("stopped")
	return exitFine
}

// newLogger writes to w what the config wants.
func newLogger(c config.Log, w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.Level)) // the config takes four words only
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: readable}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// readable writes durations with their unit, which JSON would leave out.
func readable(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}
