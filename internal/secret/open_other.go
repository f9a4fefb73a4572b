//go:build !unix

package secret

// nonblock: these systems have no pipes among their files.
const nonblock = 0
