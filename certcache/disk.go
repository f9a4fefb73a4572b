package certcache

// Load takes over the copy on disk.
func (c *Cache) Load() error { return nil }

func (c *Cache) keep(answer) {}
