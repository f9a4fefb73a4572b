package vault

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/sony/gobreaker/v2"

	"github.com/wxproxy/wxproxy/internal/secret"
)

const minKeyBits = 2048

// key is one version of an RSA key in Transit. It signs there; the version is
// pinned, so that a rotation in Vault never signs with a key that WeChat Pay
// does not know.
type key struct {
	client      *Client
	mount, name string
	version     int
	public      *rsa.PublicKey
}

var _ crypto.Signer = (*key)(nil)

// Key implements secret.Vault.
func (c *Client) Key(ctx context.Context, mount, name string, version int, like crypto.PublicKey) (crypto.Signer, error) {
	where, ref := mount+"/keys/"+name, secret.Ref{Scheme: secret.SchemeTransit, Mount: mount, Target: name, Version: version}
	answer, err := c.ask(ctx, c.read("transit_read", where))
	switch {
	case errors.Is(err, ErrDenied) && !errors.Is(err, ErrLogin):
		return nil, fmt.Errorf("%s: %w; %s", ref, err, policyFor(where, "read"))
	case err != nil:
		return nil, fmt.Errorf("%s: %w", ref, err)
	case answer == nil:
		return nil, fmt.Errorf("%s: %w (%s); import the merchant's key there, or correct mount and name", ref, ErrNotFound, where)
	}
	versions, err := publicKeys(answer.Data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ref, err)
	}
	if version, err = choose(versions, version, like); err != nil {
		return nil, fmt.Errorf("%s: %w", ref, err)
	}
	return &key{client: c, mount: mount, name: name, version: version, public: versions[version]}, nil
}

// publicKeys reads the public half of every version that may sign.
func publicKeys(data map[string]any) (map[int]*rsa.PublicKey, error) {
	listed, _ := data["keys"].(map[string]any)
	versions := make(map[int]*rsa.PublicKey, len(listed))
	for text, v := range listed {
		number, err := strconv.Atoi(text)
		fields, _ := v.(map[string]any)
		pemText, _ := fields["public_key"].(string)
		block, _ := pem.Decode([]byte(pemText))
		if err != nil || block == nil {
			return nil, fmt.Errorf("%w; make one of type rsa-2048, or import the merchant's", ErrKeyType)
		}
		parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
		public, ok := parsed.(*rsa.PublicKey)
		if err != nil || !ok || public.N.BitLen() < minKeyBits {
			return nil, fmt.Errorf("%w; make one of type rsa-2048, or import the merchant's", ErrKeyType)
		}
		versions[number] = public
	}
	if len(versions) == 0 {
		return nil, fmt.Errorf("%w", ErrKeyType)
	}
	return versions, nil
}

// choose picks the version asked for, else the newest that is like the key of
// the certificate, else the newest.
func choose(versions map[int]*rsa.PublicKey, version int, like crypto.PublicKey) (int, error) {
	var numbers []int
	for n := range versions {
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	if version > 0 {
		if versions[version] == nil {
			return 0, fmt.Errorf("%w: %d, only %v", ErrVersion, version, numbers)
		}
		return version, nil
	}
	for _, n := range slices.Backward(numbers) {
		if like == nil || versions[n].Equal(like) {
			return n, nil
		}
	}
	return 0, fmt.Errorf("%w: none of %v fits the merchant's certificate; import the key that belongs to it", ErrVersion, numbers)
}

// Public implements crypto.Signer.
func (k *key) Public() crypto.PublicKey { return k.public }

// Sign implements crypto.Signer; see SignContext.
func (k *key) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return k.SignContext(context.Background(), rand, digest, opts)
}

// SignContext signs with PKCS#1 v1.5 over a SHA-256 digest, the one thing that
// WeChat Pay wants. It waits for at most the timeout, and no longer than ctx.
func (k *key) SignContext(ctx context.Context, _ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if _, pss := opts.(*rsa.PSSOptions); pss || opts.HashFunc() != crypto.SHA256 || len(digest) != sha256.Size {
		return nil, errors.New("a key in Transit signs SHA-256 digests with PKCS#1 v1.5 only")
	}
	ctx, cancel := k.client.limit(ctx)
	defer cancel()
	began := time.Now()
	text, err := k.ask(ctx, digest)
	k.client.metrics.signed(time.Since(began), err)
	if err != nil {
		return nil, fmt.Errorf("transit:%s/%s: %w", k.mount, k.name, err)
	}
	return k.check(text, digest)
}

// ask lets Vault sign; only so many at one time, the others wait. What they
// wait for each other says nothing of Vault, so the breaker does not see it.
func (k *key) ask(ctx context.Context, digest []byte) (string, error) {
	if k.client.signing.State() == gobreaker.StateOpen {
		return "", k.client.broken(gobreaker.ErrOpenState)
	}
	select {
	case k.client.slots <- struct{}{}:
		defer func() { <-k.client.slots }()
	case <-ctx.Done():
		if err := explain(ctx, ctx.Err()); gaveUp(err) {
			return "", err
		}
		return "", ErrBusy
	}
	text, err := k.client.signing.Execute(func() (string, error) { return k.request(ctx, digest) })
	return text, k.client.broken(err)
}

func (k *key) request(ctx context.Context, digest []byte) (string, error) {
	where := k.mount + "/sign/" + k.name + "/sha2-256"
	answer, err := k.client.request(ctx, call{"transit_sign", where, func(ctx context.Context) (*api.Secret, error) {
		return k.client.api.Logical().WriteWithContext(ctx, where, map[string]any{
			"input": base64.StdEncoding.EncodeToString(digest), "prehashed": true,
			"signature_algorithm": "pkcs1v15", "key_version": json.Number(strconv.Itoa(k.version)),
		})
	}})
	switch {
	case errors.Is(err, ErrDenied) && !errors.Is(err, ErrLogin):
		return "", fmt.Errorf("%w; %s", err, policyFor(where, "update"))
	case err != nil:
		return "", err
	case answer == nil:
		return "", ErrSignature
	}
	text, _ := answer.Data["signature"].(string)
	return text, nil
}

// check verifies what came back before it goes anywhere.
func (k *key) check(text string, digest []byte) ([]byte, error) {
	encoded, ok := strings.CutPrefix(text, "vault:v"+strconv.Itoa(k.version)+":")
	if !ok {
		return nil, fmt.Errorf("transit:%s/%s: %w of version %d", k.mount, k.name, ErrSignature, k.version)
	}
	signature, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || rsa.VerifyPKCS1v15(k.public, crypto.SHA256, digest, signature) != nil {
		return nil, fmt.Errorf("transit:%s/%s: %w of version %d", k.mount, k.name, ErrSignature, k.version)
	}
	return signature, nil
}
