package signer

import (
	"context"
	"errors"
	"fmt"
	"net/http"
)

// ErrNoSigner: a request reached the Transport without With.
var ErrNoSigner = errors.New("request has no signer")

// Transport signs each request that passes and hands it on. It is the
// innermost transport of ours: nothing touches a request after it was signed,
// and a request that is sent twice is signed twice.
type Transport struct {
	// Base must be set: no default may add a proxy. It must not repeat a request
	// by itself, which net/http does with bodies that it can rewind.
	Base http.RoundTripper
}

var _ http.RoundTripper = (*Transport)(nil)

type contextKey struct{}

type order struct {
	signer *Signer
	body   []byte
}

// With tells the Transport who signs a request and over which body text. The
// text is an argument of its own, since of an upload only a part is signed.
func With(ctx context.Context, s *Signer, body []byte) context.Context {
	return context.WithValue(ctx, contextKey{}, order{s, body})
}

// RoundTrip signs a clone of r and sends it. As the http.RoundTripper contract
// wants it, r is not changed and its body is closed also on errors.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	o, _ := r.Context().Value(contextKey{}).(order)
	if o.signer == nil {
		closeBody(r)
		return nil, ErrNoSigner
	}
	method := r.Method
	if method == "" {
		method = http.MethodGet // what net/http writes on the wire for it
	}
	if r.URL == nil {
		closeBody(r)
		return nil, fmt.Errorf("%w: request has no URL", ErrSigning)
	}
	authorization, err := o.signer.authorize(r.Context(), method, r.URL.RequestURI(), o.body)
	if err != nil {
		closeBody(r)
		return nil, fmt.Errorf("authorising: %w", err)
	}
	signed := r.Clone(r.Context())
	if signed.Header == nil {
		signed.Header = make(http.Header)
	}
	signed.Header.Set("Authorization", authorization)
	return t.Base.RoundTrip(signed)
}

func closeBody(r *http.Request) {
	if r.Body != nil {
		_ = r.Body.Close()
	}
}
