package injector

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// split cuts a YAML stream into its documents, each with the --- that begins
// it and with every byte, so that a document can be handed on as it came.
func split(stream []byte) (list [][]byte) {
	start, begun := 0, false
	for at := 0; at < len(stream); {
		end := len(stream)
		if i := bytes.IndexByte(stream[at:], '\n'); i >= 0 {
			end = at + i + 1
		}
		line := stream[at:end]
		marks := begins(line)
		if marks && begun {
			list = append(list, stream[start:at])
			start = at
		}
		begun = begun || marks || !isRemark(line)
		at = end
	}
	if start < len(stream) {
		list = append(list, stream[start:])
	}
	return list
}

// begins: --- at the beginning of a line begins a document, even inside a
// block of text.
func begins(line []byte) bool {
	rest, ok := bytes.CutPrefix(line, []byte("---"))
	return ok && (len(rest) == 0 || strings.ContainsRune(" \t\r\n", rune(rest[0])))
}

// isRemark: what may stand before the --- of a document.
func isRemark(line []byte) bool {
	line = bytes.TrimSpace(line)
	return len(line) == 0 || line[0] == '#' || line[0] == '%'
}

// read decodes one document as kubectl would. One without content is nil.
func read(text []byte) (doc any, err error) {
	d := yaml.NewDecoder(bytes.NewReader(text))
	var node yaml.Node
	switch err := d.Decode(&node); {
	case errors.Is(err, io.EOF):
		return doc, nil
	case err != nil:
		return nil, err
	}
	if err := d.Decode(&yaml.Node{}); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the end of the document; begin the next one with ---")
	}
	if err := asKubernetes(&node); err != nil {
		return nil, err
	}
	err = node.Decode(&doc)
	return doc, err
}

var yes, no = []string{"y", "yes", "on"}, []string{"n", "no", "off"}

// asKubernetes gives plain words the types that they have for kubectl and for
// Kubernetes: YAML 1.1 without its dates. yes and on are true; a date is a
// text; keys are texts.
func asKubernetes(n *yaml.Node) error {
	switch {
	case n.Kind == yaml.ScalarNode && n.ShortTag() == "!!timestamp":
		n.Tag = "!!str"
	case n.Kind == yaml.ScalarNode && n.Style == 0 && n.ShortTag() == "!!str" && isWord(n.Value, yes):
		n.Tag, n.Value = "!!bool", "true"
	case n.Kind == yaml.ScalarNode && n.Style == 0 && n.ShortTag() == "!!str" && isWord(n.Value, no):
		n.Tag, n.Value = "!!bool", "false"
	}
	for i, c := range n.Content {
		if err := asKubernetes(c); err != nil {
			return err
		}
		if n.Kind != yaml.MappingNode || i%2 != 0 || !slices.Contains([]string{"!!bool", "!!int", "!!float"}, c.ShortTag()) {
			continue
		}
		var key any
		if err := c.Decode(&key); err != nil {
			return err
		}
		c.Tag, c.Value = "!!str", fmt.Sprint(key)
	}
	return nil
}

// isWord: in small letters, in capitals, or with one capital.
func isWord(v string, words []string) bool {
	return slices.ContainsFunc(words, func(w string) bool {
		return v == w || v == strings.ToUpper(w) || v == strings.ToUpper(w[:1])+w[1:]
	})
}
