package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/wxproxy/wxproxy/internal/config"
)

// configSource is where the flags of a subcommand say that its config is.
type configSource struct {
	path      string
	overrides map[string]string
}

func (s *configSource) load() (*config.Config, error) {
	return config.Load(s.path, config.Sources{Env: os.LookupEnv, Flags: s.overrides})
}

// parseConfigFlags parses the flags that every subcommand with a config has,
// and those that more defines. Without a source the code says how to exit.
func parseConfigFlags(command string, args []string, stderr io.Writer, more func(*flag.FlagSet)) (*configSource, int) {
	s := &configSource{overrides: make(map[string]string)}
	fs := flag.NewFlagSet("wxproxy "+command, flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&s.path, "c", "wxproxy.yaml", "config `file`, or env:NAME for a variable that holds the config; config.example.yaml is its manual")
	override := func(name, key, usage string) {
		fs.Func(name, usage, func(v string) error {
			s.overrides[key] = v
			return nil
		})
	}
	for _, key := range config.FlagKeys() {
		override(key, key, "overrides "+key+" of the config (or set $"+config.EnvName(key)+")")
	}
	override("log-format", "log.format", "short for -log.format")
	override("log-level", "log.level", "short for -log.level")
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
	return s, exitFine
}
