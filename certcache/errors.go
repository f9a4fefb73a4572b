package certcache

import "errors"

var (
	// ErrFetch: WeChat Pay did not answer, or answered with an error.
	ErrFetch = errors.New("downloading platform certificates failed")
	// ErrAnswer: there was an answer, and it is not to be believed.
	ErrAnswer = errors.New("list of platform certificates refused")
	// ErrNoCertificates: WeChat Pay says that the merchant has no platform
	// certificate. Merchants since late 2024 have a public key instead.
	ErrNoCertificates = errors.New("merchant has no platform certificates")
	// ErrLimited: the budget for refreshes is used up for the moment.
	ErrLimited = errors.New("refresh of platform certificates is limited")
	// ErrStopped: Run has ended, so nothing is downloaded any more.
	ErrStopped = errors.New("certificate cache is stopped")
	// ErrFile: the copy on disk is damaged or not to be believed.
	ErrFile = errors.New("stored platform certificates not usable")
	// ErrNoKey: no platform key is trusted, so nothing can be verified.
	ErrNoKey = errors.New("no usable platform key")
)
