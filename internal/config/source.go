package config

import "strings"

// source remembers where values came from, so that faults can say so. The nil
// source belongs to a config built in code: faults then have a key only.
type source struct {
	file  string
	lines map[string]int    // by key path
	from  map[string]string // $VARIABLE or --flag that overrode the key
	bad   map[string]bool   // keys whose value could not be read
	env   func(string) (string, bool)

	elsewhere bool // what it names is on another machine
}

func newSource(file string, env func(string) (string, bool)) *source {
	return &source{
		file:  file,
		lines: map[string]int{},
		from:  map[string]string{},
		bad:   map[string]bool{},
		env:   env,
	}
}

// overridden records that the key's value comes from origin, and nothing
// below it from the file.
func (s *source) overridden(key, origin string) {
	for k := range s.lines {
		if within(k, key) {
			delete(s.lines, k)
		}
	}
	s.from[key] = origin
}

// locate finds where key was given. For a key that was not, it is the nearest
// thing around it.
func (s *source) locate(key string) (file string, line int) {
	if s == nil {
		return "", 0
	}
	for ; ; key = parent(key) {
		if origin, ok := s.from[key]; ok {
			return origin, 0
		}
		if n, ok := s.lines[key]; ok {
			return s.file, n
		}
		if key == "" {
			return s.file, 1
		}
	}
}

// unread reports whether the key or something around it was already faulted:
// what is said of its value then would be about a default.
func (s *source) unread(key string) bool {
	if s == nil {
		return false
	}
	for ; key != ""; key = parent(key) {
		if s.bad[key] {
			return true
		}
	}
	return s.bad[""]
}

// parent of a.b[2] is a.b, of a.b is a, of a is empty.
func parent(key string) string {
	if i := strings.LastIndexAny(key, ".["); i > 0 {
		return key[:i]
	}
	return ""
}

func within(key, outer string) bool {
	rest, ok := strings.CutPrefix(key, outer)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

func join(key, name string) string {
	if key == "" {
		return name
	}
	return key + "." + name
}
