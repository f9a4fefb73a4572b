package config

// Validate reports every fault of c. It changes nothing; it looks at the files
// that c names, and at nothing else outside c.
func (c *Config) Validate() Errors { return nil }

// Warnings reports what is allowed but hardly meant, such as a private key
// that every user of the machine can read.
func (c *Config) Warnings() []Fault { return nil }
