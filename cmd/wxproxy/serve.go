package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/wxproxy/wxproxy/internal/config"
	"github.com/wxproxy/wxproxy/internal/secret"
)

// runServe is the sidecar.
func runServe(ctx context.Context, args []string, _, stderr io.Writer) int {
	cfg, code := loadConfig("serve", args, stderr, nil)
	if cfg == nil {
		return code
	}
	log := newLogger(cfg.Log, stderr)
	for _, w := range cfg.Warnings() {
		log.Warn("config", "warning", w.Error())
	}
	if err := secret.HardenProcess(); err != nil {
		log.Warn("keys may reach a core dump", "error", err)
	}
	s, err := newSidecar(ctx, cfg, log)
	if err != nil {
		fmt.Fprintf(stderr, "wxproxy: not started:\n%v\n", err)
		return exitUsage
	}
	if err := s.Run(ctx); err != nil {
		log.Error("stopped", "error", err)
		return exitFailed
	}
	log.Info("stopped")
	return exitFine
}

// loadConfig parses the flags of a subcommand and loads the config. Every
// single value of the config is also a flag. more adds flags of the
// subcommand's own. Without a config the code says how to exit.
func loadConfig(command string, args []string, stderr io.Writer, more func(*flag.FlagSet)) (*config.Config, int) {
	fs := flag.NewFlagSet("wxproxy "+command, flag.ContinueOnError)
	fs.SetOutput(stderr)
	path := fs.String("c", "wxproxy.yaml", "config `file`; config.example.yaml is its manual")
	overrides := make(map[string]string)
	for _, key := range config.FlagKeys() {
		fs.Func(key, "overrides "+key+" of the config (or set $"+config.EnvName(key)+")", func(v string) error {
			overrides[key] = v
			return nil
		})
	}
	for short, key := range map[string]string{"log-format": "log.format", "log-level": "log.level"} {
		fs.Func(short, "short for -"+key, func(v string) error {
			overrides[key] = v
			return nil
		})
	}
	if more != nil {
		more(fs)
	}
	switch err := fs.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return nil, exitFine
	case err != nil:
		return nil, exitUsage
	case fs.NArg() > 0:
		fmt.Fprintf(stderr, "wxproxy %s takes no arguments, only flags; see -h\n", command)
		return nil, exitUsage
	}
	cfg, err := config.Load(*path, config.Sources{Env: os.LookupEnv, Flags: overrides})
	if err != nil {
		fmt.Fprintln(stderr, err)
		return nil, exitUsage
	}
	return cfg, exitFine
}

// newLogger writes to w what the config wants.
func newLogger(c config.Log, w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.Level)) // the config takes four words only
	options := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
