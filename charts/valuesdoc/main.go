// Command valuesdoc writes the table of a chart's values into its README, from
// the comments in values.yaml.
package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"
)

//go:generate go run . ../wxproxy/values.yaml ../wxproxy/README.md

const begin, end = "<!-- values: made by go generate ./charts/... -->\n", "<!-- end of values -->\n"

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "valuesdoc:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 {
		return errors.New("usage: valuesdoc VALUES README")
	}
	text, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return err
	}
	var table strings.Builder
	table.WriteString("| Value | Default | Meaning |\n|---|---|---|\n")
	if err := rows(&table, doc.Content[0], ""); err != nil {
		return err
	}
	readme, err := os.ReadFile(args[1])
	if err != nil {
		return err
	}
	head, rest, ok := strings.Cut(string(readme), begin)
	_, tail, closed := strings.Cut(rest, end)
	if !ok || !closed {
		return fmt.Errorf("%s has no place for the table", args[1])
	}
	return os.WriteFile(args[1], []byte(head+begin+table.String()+end+tail), 0o600)
}

// rows writes a line for each value; a section that has a comment is one.
func rows(w *strings.Builder, n *yaml.Node, path string) error {
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		name := path + key.Value
		comment := strings.Join(strings.Fields(strings.ReplaceAll(key.HeadComment, "# ", "")), " ")
		if value.Kind == yaml.MappingNode && value.Style != yaml.FlowStyle && comment == "" {
			if err := rows(w, value, name+"."); err != nil {
				return err
			}
			continue
		}
		if comment == "" && !strings.HasPrefix(name, "sidecar.bounds.") {
			return fmt.Errorf("line %d: %s has no comment", key.Line, name)
		}
		fmt.Fprintf(w, "| `%s` | %s | %s |\n", name, shown(value), strings.ReplaceAll(comment, "|", `\|`))
	}
	return nil
}

func shown(n *yaml.Node) string {
	if n.Kind == yaml.MappingNode && n.Style != yaml.FlowStyle {
		return "see values.yaml"
	}
	text, err := yaml.Marshal(n)
	if err != nil {
		return ""
	}
	return "`" + strings.TrimSpace(string(text)) + "`"
}
