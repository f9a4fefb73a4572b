package secret

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// HardenProcess keeps keys out of core dumps and away from debuggers: the
// process becomes undumpable, so that no other process of the same user may
// attach to it or read its memory under /proc, and writes no core. It is to
// be called before the first secret is read.
func HardenProcess() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("making the process undumpable: %w", err)
	}
	return limitCore()
}
