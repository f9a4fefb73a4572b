package main

import (
	"bytes"
	"os"
	"testing"
)

func TestCommittedSchemaIsCurrent(t *testing.T) {
	t.Parallel()
	want, err := generate("..")
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../../config.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("config.schema.json is not current; run go generate ./internal/config")
	}
}
