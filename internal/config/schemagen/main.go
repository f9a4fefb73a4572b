// Schemagen writes the JSON schema of the config, for editors. Keys and types
// come from the Go types, descriptions from the comments of their fields, so
// that the manual is written once. It is not part of the wxproxy binary.
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	src := flag.String("src", ".", "directory of package config")
	out := flag.String("o", "config.schema.json", "file to write")
	flag.Parse()
	if err := run(*src, *out); err != nil {
		fmt.Fprintln(os.Stderr, "schemagen:", err)
		os.Exit(1)
	}
}

func run(src, out string) error {
	schema, err := generate(src)
	if err != nil {
		return err
	}
	return os.WriteFile(out, schema, 0o644)
}
