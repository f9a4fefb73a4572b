package endpoint

import "strings"

// node is one path segment of the templates of one method. Literal segments
// are tried before a variable one at every level, with backtracking, because
// the API has both /images/upload and /images/{media_id}.
type node struct {
	literal  map[string]*node
	variable *node
	endpoint *Endpoint
}

// place returns the node of a template, given without its leading slash.
// Variables are equal whatever their names.
func (n *node) place(template string) *node {
	for segment := range strings.SplitSeq(template, "/") {
		n = n.child(segment)
	}
	return n
}

func (n *node) child(segment string) *node {
	if strings.HasPrefix(segment, "{") {
		if n.variable == nil {
			n.variable = &node{}
		}
		return n.variable
	}
	if n.literal == nil {
		n.literal = make(map[string]*node)
	}
	if n.literal[segment] == nil {
		n.literal[segment] = &node{}
	}
	return n.literal[segment]
}

// find returns the endpoint of a path, given without its leading slash, or
// nil. It visits each node at most once, however the path is made.
func (n *node) find(path string) *Endpoint {
	segment, rest, more := strings.Cut(path, "/")
	if e := n.literal[segment].enter(rest, more); e != nil {
		return e
	}
	if !fillsVariable(segment) {
		return nil
	}
	return n.variable.enter(rest, more)
}

func (n *node) enter(rest string, more bool) *Endpoint {
	switch {
	case n == nil:
		return nil
	case more:
		return n.find(rest)
	default:
		return n.endpoint
	}
}

// fillsVariable refuses empty and dot segments, however the dots are written:
// a server that resolves them would see another path than the one whose
// attributes were looked up, and unsigned is one of them.
func fillsVariable(segment string) bool {
	rest := segment
	for rest != "" {
		switch {
		case rest[0] == '.':
			rest = rest[1:]
		case len(rest) >= 3 && (rest[:3] == "%2e" || rest[:3] == "%2E"):
			rest = rest[3:]
		default:
			return true
		}
	}
	return false
}
