//go:build !unix

package secret

// HardenProcess does nothing here: this system writes no core dumps by itself.
func HardenProcess() error { return nil }
