package main

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
)

func makeEvents(file string) ([]byte, error) {
	events, err := readTSV(file, "event_type", "title_zh", "original_type(s)", "algorithm",
		"retry_schedule_note", "rsa_fields_inside_plaintext", "response_fields")
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.WriteString(header + "event_type\toriginal_type\ttitle_zh\trsa_fields\n")
	for _, e := range events {
		// Every title repeats its event type: 签约成功(ENTRUST.SIGN)通知(JSON).
		title, _, _ := strings.Cut(e[1], "("+e[0]+")")
		fmt.Fprintf(&b, "%s\t%s\t%s\t%s\n", e[0], e[2], title, e[5])
	}
	return b.Bytes(), nil
}

// readTSV returns the rows of a file whose header must be columns.
func readTSV(file string, columns ...string) ([][]string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var rows [][]string
	for i, line := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n") {
		fields := strings.Split(line, "\t")
		if len(fields) != len(columns) {
			return nil, fmt.Errorf("%s:%d: %d columns, want %d", file, i+1, len(fields), len(columns))
		}
		rows = append(rows, fields)
	}
	if !slices.Equal(rows[0], columns) {
		return nil, fmt.Errorf("%s: header %q, want %q", file, rows[0], columns)
	}
	return rows[1:], nil
}
