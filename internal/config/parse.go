package config

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

var yamlLine = regexp.MustCompile(`^line ([0-9]+): `)

// parse reads the one document of a file; an empty file has none. Only the
// syntax is checked here: yaml.Node keeps lines, duplicates and exact texts,
// which decoding into Go values would lose.
func parse(file string, data []byte) (*yaml.Node, *Fault) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, syntaxFault(file, err)
	}
	var second yaml.Node
	if err := dec.Decode(&second); err == nil {
		return nil, &Fault{File: file, Line: second.Line, Problem: "has a second YAML document", Fix: "keep one document; remove the line ---"}
	} else if !errors.Is(err, io.EOF) {
		return nil, syntaxFault(file, err)
	}
	if len(doc.Content) == 0 {
		return nil, nil
	}
	return doc.Content[0], nil
}

func syntaxFault(file string, err error) *Fault {
	f := &Fault{
		File: file,
		Line: 1,
		Fix:  "look at the indentation (spaces, no tabs), quotes and brackets of this line and of those around it",
	}
	msg := strings.TrimPrefix(err.Error(), "yaml: ")
	if m := yamlLine.FindStringSubmatch(msg); m != nil {
		f.Line, _ = strconv.Atoi(m[1]) // a number by the pattern
		msg = msg[len(m[0]):]
	}
	// The one message that repeats text of the file, which may be a secret.
	if strings.HasPrefix(msg, "unknown anchor") {
		msg, f.Fix = "an alias (*name) has no anchor", "write the value out; quote a text that begins with *"
	}
	f.Problem = "is not valid YAML: " + msg
	return f
}
