package certcache

import "io"

// NegativeSize is the number of serial numbers remembered as unknown.
func (c *Cache) NegativeSize() int {
	c.unknown.mu.Lock()
	defer c.unknown.mu.Unlock()
	return len(c.unknown.seen)
}

// ParseStored reads a copy on disk, for fuzzing, and writes it again.
func ParseStored(r io.Reader) ([]byte, error) {
	a, err := parseAnswer(r)
	return a.format(), err
}
