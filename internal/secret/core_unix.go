//go:build unix

package secret

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// limitCore sets the hard limit too, so that nothing raises it again.
func limitCore() error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("turning core dumps off: %w", err)
	}
	return nil
}
