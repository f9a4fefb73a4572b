package proxy

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"slices"
	"strings"

	"github.com/wxproxy/wxproxy/internal/secret"
)

// Caller is one app that may use the outbound port, and what it may do.
type Caller struct {
	Name      string
	Token     func() secret.Value // nil: the caller is told by UID
	UID       *uint32             // of the process at the other end of a Unix socket
	Merchants []string            // aliases; empty: all
	Allow     []Pattern           // empty: every method and path that may be signed
	Endpoints []string            // local endpoints granted (GrantPayParams …); empty: none

	granted map[string][]*Merchant // what Merchants names, by credential scheme
	grants  map[*Merchant]struct{} // the same; nil: all
}

// grant returns the caller with its merchants found.
func (c *Caller) grant(d directory) *Caller {
	granted := *c
	list := d.list(c.Merchants)
	granted.granted = make(map[string][]*Merchant)
	for _, m := range list {
		granted.granted[m.scheme()] = append(granted.granted[m.scheme()], m)
	}
	if len(c.Merchants) > 0 {
		granted.grants = make(map[*Merchant]struct{}, len(list))
		for _, m := range list {
			granted.grants[m] = struct{}{}
		}
	}
	return &granted
}

// may reports whether the caller may act for a merchant.
func (c *Caller) may(m *Merchant) bool {
	if c.grants == nil {
		return true
	}
	_, ok := c.grants[m]
	return ok
}

// allows reports whether the caller may use a method on an escaped path.
func (c *Caller) allows(method, path string) bool {
	return len(c.Allow) == 0 || slices.ContainsFunc(c.Allow, func(p Pattern) bool { return p.matches(method, path) })
}

// everyone is the caller where none are configured: who reaches a loopback
// port or a Unix socket may use it, but not decrypt.
func everyone() *Caller { return &Caller{Name: "local", Endpoints: openGrants} }

// identify finds the caller of a request, nil if it is none of them.
func (o *Outbound) identify(r *http.Request) *Caller {
	if o.everyone != nil {
		return o.everyone
	}
	uid, hasUID := peerUID(r.Context())
	digest := sha256.Sum256([]byte(callerToken(r.Header)))
	var found *Caller
	for _, c := range o.callers { // all are compared, so that time tells nothing
		switch {
		case c.Token != nil:
			want := c.Token()
			sum := sha256.Sum256(want.Bytes())
			if subtle.ConstantTimeCompare(digest[:], sum[:]) == 1 && !want.IsZero() && found == nil {
				found = c
			}
		case c.UID != nil && hasUID && *c.UID == uid && found == nil:
			found = c
		}
	}
	return found
}

// callerToken reads the token from where plain clients can put one: a header
// of ours, a bearer Authorization, or the user part of a proxy URL.
func callerToken(h http.Header) string {
	if t := h.Get(headerToken); t != "" {
		return t
	}
	if t, ok := strings.CutPrefix(h.Get("Authorization"), "Bearer "); ok {
		return t
	}
	if t, ok := strings.CutPrefix(h.Get("Proxy-Authorization"), "Basic "); ok {
		if raw, err := base64.StdEncoding.DecodeString(t); err == nil {
			_, password, _ := strings.Cut(string(raw), ":")
			return password
		}
	}
	return ""
}

type peerKey struct{}

// WithPeerUID notes the user ID of the process at the other end of a Unix
// socket; servers call it for each connection.
func WithPeerUID(ctx context.Context, uid uint32) context.Context {
	return context.WithValue(ctx, peerKey{}, uid)
}

func peerUID(ctx context.Context) (uint32, bool) {
	uid, ok := ctx.Value(peerKey{}).(uint32)
	return uid, ok
}
