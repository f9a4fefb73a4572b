// Package e2e has the end-to-end tests: the built binary, run as its users run
// it, with a simulated WeChat Pay on one side and curl, Node clients and the
// official Go SDK on the other. They need curl and Node; .ci/e2e runs them.
package e2e
