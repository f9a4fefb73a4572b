package endpoint

import (
	_ "embed"
	"fmt"
	"strings"

	"github.com/wxproxy/wxproxy/internal/jsonedit"
)

//go:embed source/upload_digests.tsv
var digestsTSV string

// Algorithm makes the digest of a file.
type Algorithm string

// The algorithms that uploads use.
const (
	SHA256 Algorithm = "SHA256"
	SM3    Algorithm = "SM3"
)

// Promise is what the meta part of an upload says of the file: the digest that
// it must have.
type Promise struct {
	Field     string // of meta, as sha256
	Algorithm Algorithm
	Value     string // as meta has it; empty if that is no text
}

// digestRule says which field of meta promises a digest.
type digestRule struct {
	field     string
	algorithm Algorithm
	namedBy   []string // fields that may name another algorithm
}

func (t *Table) loadDigests() error {
	var paths []string
	for i, row := range rows(digestsTSV) {
		if len(row) != 4 {
			return fmt.Errorf("reading upload_digests.tsv, row %d: %d columns, want 4", i+1, len(row))
		}
		r := digestRule{field: row[0], algorithm: Algorithm(row[1])}
		if row[2] != "" {
			r.namedBy = strings.Split(row[2], ",")
		}
		t.digests = append(t.digests, r)
		paths = append(append(paths, r.field), r.namedBy...)
	}
	var err error
	t.digestPaths, err = jsonedit.Compile(paths...)
	return err
}

// Promises lists the digests that the meta text of an upload promises, a field
// that stands twice twice. What is not JSON promises nothing, nor does a field
// whose algorithm is not one of ours.
func (t *Table) Promises(meta []byte) []Promise {
	found, err := t.digestPaths.Find(meta)
	if err != nil {
		return nil
	}
	var list []Promise
	for _, rule := range t.digests {
		algorithm := rule.algorithm
		for _, m := range found {
			for _, name := range rule.namedBy {
				if m.Path == name {
					algorithm = algorithmNamed(m.Raw)
				}
			}
		}
		if algorithm != SHA256 && algorithm != SM3 {
			continue
		}
		for _, m := range found {
			if m.Path == rule.field {
				value, _ := jsonedit.Unquote(m.Raw)
				list = append(list, Promise{rule.field, algorithm, value})
			}
		}
	}
	return list
}

// algorithmNamed reads SM3 as well as DIGEST_ALGORITHM_SM3: one endpoint uses
// the one, one the other.
func algorithmNamed(raw []byte) Algorithm {
	name, _ := jsonedit.Unquote(raw)
	name = strings.TrimPrefix(strings.ToUpper(name), "DIGEST_ALGORITHM_")
	return Algorithm(strings.ReplaceAll(name, "-", ""))
}
