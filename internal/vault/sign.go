package vault

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/sony/gobreaker/v2"

	"github.com/wxproxy/wxproxy/internal/secret"
)

// keyState is how a version of a key fares, over reloads.
type keyState struct {
	breaker *gobreaker.CircuitBreaker[string] // of what is wrong with this key alone
	failing atomic.Pointer[failing]           // nil while it signs
}

// failing is a key that signed last before since.
type failing struct {
	since time.Time
	err   error
}

// stateOf is one for all who use a version of a key.
func (c *Client) stateOf(ref secret.Ref) *keyState {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.keys[ref.String()]
	if s == nil {
		s = &keyState{breaker: newBreaker[string](stuck)}
		c.keys[ref.String()] = s
	}
	return s
}

// note keeps how a signature went, unless that says nothing of the key.
func (k *key) note(err error) {
	old := k.state.failing.Load()
	switch {
	case err == nil && old != nil:
		k.state.failing.Store(nil)
	case err == nil, gaveUp(err), errors.Is(err, ErrBusy), errors.Is(err, ErrBroken) && old != nil:
	case old == nil:
		k.state.failing.Store(&failing{since: k.client.now(), err: err})
	default:
		k.state.failing.Store(&failing{since: old.since, err: err})
	}
}

func (s *keyState) problem() string {
	if f := s.failing.Load(); f != nil {
		return f.err.Error()
	}
	return ""
}

// Failing tells what was wrong with the last signature, and since when there
// was none; nil while the key signs.
func (k *key) Failing() (since time.Time, err error) {
	f := k.state.failing.Load()
	if f == nil {
		return time.Time{}, nil
	}
	return f.since, f.err
}

// Try has the key sign a text that is no message of WeChat Pay's, for Failing.
func (k *key) Try(ctx context.Context) error {
	digest := sha256.Sum256([]byte("wxproxy: does this key sign?"))
	_, err := k.SignContext(ctx, nil, digest[:], crypto.SHA256)
	return err
}

// Public implements crypto.Signer.
func (k *key) Public() crypto.PublicKey { return k.public }

// Sign implements crypto.Signer; see SignContext.
func (k *key) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return k.SignContext(context.Background(), rand, digest, opts)
}

// SignContext signs with PKCS#1 v1.5 over a SHA-256 digest, the one thing that
// WeChat Pay wants. It waits for at most the timeout, before that for a
// connection as long again, and no longer than ctx.
func (k *key) SignContext(ctx context.Context, _ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if _, pss := opts.(*rsa.PSSOptions); pss || opts.HashFunc() != crypto.SHA256 || len(digest) != sha256.Size {
		return nil, errors.New("a key in Transit signs SHA-256 digests with PKCS#1 v1.5 only")
	}
	began := time.Now()
	text, err := k.ask(ctx, digest)
	var signature []byte
	if err == nil {
		signature, err = k.check(text, digest)
	}
	k.client.metrics.signed(time.Since(began), err)
	if err != nil {
		err = fmt.Errorf("transit:%s/%s: %w", k.mount, k.name, err)
	}
	k.note(err)
	if err != nil {
		return nil, err
	}
	return signature, nil
}

// ask lets Vault sign; only so many at one time, the others wait. What they
// wait for each other says nothing of Vault, so the breakers do not see it.
func (k *key) ask(ctx context.Context, digest []byte) (string, error) {
	if k.client.signing.State() == gobreaker.StateOpen {
		return "", explainBreaker(gobreaker.ErrOpenState, k.client.problem)
	}
	if k.state.breaker.State() == gobreaker.StateOpen {
		return "", explainBreaker(gobreaker.ErrOpenState, k.state.problem)
	}
	if err := k.client.takeSlot(ctx); err != nil {
		return "", err
	}
	defer func() { <-k.client.slots }()
	ctx, cancel := k.client.limit(ctx)
	defer cancel()
	text, err := k.state.breaker.Execute(func() (string, error) {
		text, err := k.client.signing.Execute(func() (string, error) { return k.request(ctx, digest) })
		return text, explainBreaker(err, k.client.problem)
	})
	return text, explainBreaker(err, k.state.problem)
}

// takeSlot waits for a connection. It has a time of its own: a request that got
// its connection late would time out for that, and Vault be blamed.
func (c *Client) takeSlot(ctx context.Context) error {
	ctx, cancel := c.limit(ctx)
	defer cancel()
	select {
	case c.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		if err := explain(ctx, ctx.Err()); gaveUp(err) {
			return err
		}
		return ErrBusy
	}
}

func (k *key) request(ctx context.Context, digest []byte) (string, error) {
	where := k.mount + "/sign/" + k.name + "/sha2-256"
	answer, err := k.client.request(ctx, call{"transit_sign", k.mount, where, func(ctx context.Context) (*api.Secret, error) {
		return k.client.api.Logical().WriteWithContext(ctx, where, map[string]any{
			"input": base64.StdEncoding.EncodeToString(digest), "prehashed": true,
			"signature_algorithm": "pkcs1v15", "key_version": json.Number(strconv.Itoa(k.version)),
		})
	}})
	switch {
	case errors.Is(err, ErrDenied) && !errors.Is(err, ErrLogin):
		return "", fmt.Errorf("%w; %s", err, policyFor(where, "update"))
	case errors.Is(err, ErrRefused):
		return "", fmt.Errorf("%w: was the key %s deleted in Vault, or its version %d? import it again, or correct private_key", err, k.mount+"/keys/"+k.name, k.version)
	case errors.Is(err, ErrMinVersion):
		return "", fmt.Errorf("%w; %s", err, lowerMinVersion(k.mount+"/keys/"+k.name, k.version))
	case err != nil:
		return "", err
	case answer == nil:
		return "", fmt.Errorf("%w", ErrSignature)
	}
	text, _ := answer.Data["signature"].(string)
	return text, nil
}

// check verifies what came back before it goes anywhere.
func (k *key) check(text string, digest []byte) ([]byte, error) {
	encoded, ok := strings.CutPrefix(text, "vault:v"+strconv.Itoa(k.version)+":")
	if !ok {
		return nil, fmt.Errorf("%w of version %d", ErrSignature, k.version)
	}
	signature, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || rsa.VerifyPKCS1v15(k.public, crypto.SHA256, digest, signature) != nil {
		return nil, fmt.Errorf("%w of version %d", ErrSignature, k.version)
	}
	return signature, nil
}
