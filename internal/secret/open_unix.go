//go:build unix

package secret

import "golang.org/x/sys/unix"

// nonblock keeps the opening of a pipe without a writer from blocking.
const nonblock = unix.O_NONBLOCK
