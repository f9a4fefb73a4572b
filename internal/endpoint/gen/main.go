// Command gen makes endpoints.tsv and events.tsv from the files in source. It
// is run by go generate in the package's directory; with -check it writes
// nothing and fails if a file is not what it would write.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
)

const header = "# Code generated from source by go generate; DO NOT EDIT.\n"

func main() {
	check := flag.Bool("check", false, "compare instead of writing")
	flag.Parse()
	if err := run(*check); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(check bool) error {
	endpoints, err := makeEndpoints("source/api_paths.tsv", "source/attributes.tsv", "source/sensitive_fields.tsv")
	if err != nil {
		return err
	}
	events, err := makeEvents("source/notify_events.tsv")
	if err != nil {
		return err
	}
	return errors.Join(
		put(check, "endpoints.tsv", endpoints),
		put(check, "events.tsv", events),
	)
}

func put(check bool, name string, content []byte) error {
	if !check {
		return os.WriteFile(name, content, 0o644)
	}
	old, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if !bytes.Equal(old, content) {
		return fmt.Errorf("%s is not current; run go generate ./internal/endpoint", name)
	}
	return nil
}
