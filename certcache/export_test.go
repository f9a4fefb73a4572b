package certcache

import (
	"context"
	"io"
)

// Download is Refresh without its goroutine, which makes a fuzzer's coverage
// waver.
func (c *Cache) Download(ctx context.Context) error { return c.download(ctx) }

// NegativeSize is the number of serial numbers remembered as unknown.
func (c *Cache) NegativeSize() int {
	c.unknown.mu.Lock()
	defer c.unknown.mu.Unlock()
	return len(c.unknown.seen)
}

// Kept is the number of certificates in memory, also of those that ended.
func (c *Cache) Kept() int { return len(c.trusted.Load().entries) }

// ParseStored reads a copy on disk, for fuzzing, and writes it again.
func ParseStored(r io.Reader) ([]byte, error) {
	a, err := parseAnswer(r)
	return a.format(), err
}
