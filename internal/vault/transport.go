package vault

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/wxproxy/wxproxy/internal/secret"
)

const (
	// maxRetries of what Vault, or the connection to it, failed at once. They
	// end with the time of the request.
	maxRetries   = 2
	minRetryWait = 50 * time.Millisecond
	maxRetryWait = 150 * time.Millisecond

	// maxAnswer bounds what is read of one answer, in bytes. Vault itself keeps
	// no secret larger than 1 MiB; a key in Transit has half a kilobyte a version.
	maxAnswer = 4 << 20

	// maxCertificates bounds what is read of a file with certificates, in bytes:
	// those that a system trusts have a quarter of it.
	maxCertificates = 1 << 20
)

// transport carries requests to Vault. It refuses redirects: a standby sends
// them, they would carry the token to another host, and vault/api takes one
// that it does not follow for a success.
type transport struct {
	options Options
	current atomic.Pointer[http.Transport]
	pace    pace

	mu    sync.Mutex // one reload at a time
	files [3][]byte  // ca, client certificate and key, as they are in use
}

func newTransport(o Options) (*transport, error) {
	t := &transport{options: o}
	return t, t.reload()
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := t.current.Load().RoundTrip(r)
	switch {
	case err != nil:
		return nil, err
	case answer.StatusCode >= 300 && answer.StatusCode < 400:
		return nil, errors.Join(errRedirect, answer.Body.Close())
	}
	t.pace.slow(r, answer)
	answer.Body = &bounded{ReadCloser: answer.Body, left: maxAnswer}
	return answer, nil
}

// bounded fails where a body goes on beyond its bound.
type bounded struct {
	io.ReadCloser
	left int
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, errTooLarge
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left+1)])
	if b.left -= n; b.left < 0 {
		return 0, errTooLarge
	}
	return n, err
}

// reload reads the certificates again. Connections are made anew only if one
// changed; those in use end with their requests.
func (t *transport) reload() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	var files [3][]byte
	same := t.current.Load() != nil
	for i, f := range [...]struct{ key, path string }{
		{"vault.ca", t.options.CA}, {"vault.client_certificate", t.options.ClientCert}, {"vault.client_key", t.options.ClientKey},
	} {
		if f.path == "" {
			continue
		}
		var err error
		if files[i], err = secret.ReadFile(f.path, maxCertificates); err != nil {
			return fmt.Errorf("%s: %w", f.key, err)
		}
		same = same && bytes.Equal(files[i], t.files[i])
	}
	if same {
		return nil
	}
	fresh, err := t.options.connect(files)
	if err != nil {
		return err
	}
	t.files = files
	if old := t.current.Swap(fresh); old != nil {
		old.CloseIdleConnections()
	}
	return nil
}

func (o Options) connect(files [3][]byte) (*http.Transport, error) {
	t := &http.Transport{
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}, TLSHandshakeTimeout: o.Timeout,
		MaxIdleConnsPerHost: o.Conns, MaxConnsPerHost: 2 * o.Conns, IdleConnTimeout: time.Minute,
		MaxResponseHeaderBytes: 64 << 10, // HTTP/1.1: one dead connection must not hold up all signatures
	}
	if o.CA != "" {
		t.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(files[0]) {
			return nil, fmt.Errorf("vault.ca: %s holds no certificate in PEM", o.CA)
		}
	}
	if o.ClientCert != "" {
		pair, err := tls.X509KeyPair(files[1], files[2])
		if err != nil {
			return nil, fmt.Errorf("vault.client_certificate: it and vault.client_key are not a certificate and its key: %w", err)
		}
		t.TLSClientConfig.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}

// worthRetry says whether to make a request once more: Vault answered that it
// could not take it just now, or the connection broke. Every request of ours
// can be repeated, those of a login apart (see unprocessed).
func worthRetry(ctx context.Context, answer *http.Response, err error) (bool, error) {
	failed := err != nil && broken(err) ||
		err == nil && (answer.StatusCode >= http.StatusInternalServerError || answer.StatusCode == http.StatusTooManyRequests) && inTime(ctx, answer)
	return failed && context.Cause(ctx) == nil, nil
}

// unprocessed is worthRetry for logins: a wrapping token opens once, and a
// secret ID may be good for a few logins only, so that nothing is repeated
// that Vault may have done.
func unprocessed(ctx context.Context, answer *http.Response, err error) (bool, error) {
	if err == nil && (answer.StatusCode == http.StatusServiceUnavailable || answer.StatusCode == http.StatusTooManyRequests) {
		return worthRetry(ctx, answer, nil)
	}
	return false, nil
}

// broken reports whether a connection was refused, or ended early.
func broken(err error) bool {
	for _, e := range []error{syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.EPIPE, io.EOF, io.ErrUnexpectedEOF} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// inTime reports whether what the answer asks us to wait is within the time of
// the request. Where it is not, Vault's own answer says more than a timeout.
func inTime(ctx context.Context, answer *http.Response) bool {
	text := answer.Header.Get("Retry-After")
	deadline, bound := ctx.Deadline()
	if text == "" || !bound {
		return true
	}
	wait, err := strconv.Atoi(text)
	return err == nil && time.Until(deadline) > time.Duration(wait)*time.Second
}
