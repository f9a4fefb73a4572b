//go:build unix && !linux

package secret

// HardenProcess keeps keys out of core dumps. It is to be called before the
// first secret is read.
func HardenProcess() error { return limitCore() }
