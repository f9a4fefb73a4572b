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

const (
	minKeyBits = 2048
	// breakerFailures in a row open the breaker for breakerPause: a Vault that
	// is down then costs a call no waiting.
	breakerFailures = 5
	breakerPause    = 2 * time.Second
)

func newBreaker() *gobreaker.CircuitBreaker[string] {
	return gobreaker.NewCircuitBreaker[string](gobreaker.Settings{
		Name: "vault", Timeout: breakerPause,
		ReadyToTrip:  func(n gobreaker.Counts) bool { return n.ConsecutiveFailures >= breakerFailures },
		IsSuccessful: func(err error) bool { return !outage(err) },
	})
}

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
	answer, err := c.request(ctx, "transit_read", func(ctx context.Context) (*api.Secret, error) {
		return c.api.Logical().ReadWithContext(ctx, where)
	})
	switch {
	case errors.Is(err, ErrDenied) && !errors.Is(err, ErrLogin):
		return nil, fmt.Errorf("%s: %w; %s", ref, err, policyFor(where, "read"))
	case err != nil:
		return nil, fmt.Errorf("%s: %w", ref, err)
	case answer == nil:
		return nil, fmt.Errorf("%s: %w (%s)", ref, ErrNotFound, where)
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

// Sign implements crypto.Signer: PKCS#1 v1.5 over a SHA-256 digest, the one
// thing that WeChat Pay wants. It waits for at most the timeout.
func (k *key) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if _, pss := opts.(*rsa.PSSOptions); pss || opts.HashFunc() != crypto.SHA256 || len(digest) != sha256.Size {
		return nil, errors.New("a key in Transit signs SHA-256 digests with PKCS#1 v1.5 only")
	}
	ctx, cancel := context.WithTimeout(context.Background(), k.client.timeout)
	defer cancel()
	began := time.Now()
	text, err := k.client.breaker.Execute(func() (string, error) { return k.ask(ctx, digest) })
	k.client.metrics.signed(time.Since(began), err)
	if errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests) {
		return nil, fmt.Errorf("transit:%s/%s: %w", k.mount, k.name, ErrBroken)
	}
	if err != nil {
		return nil, fmt.Errorf("transit:%s/%s: %w", k.mount, k.name, err)
	}
	return k.check(text, digest)
}

// ask lets Vault sign; only so many at one time, the others wait.
func (k *key) ask(ctx context.Context, digest []byte) (string, error) {
	select {
	case k.client.slots <- struct{}{}:
		defer func() { <-k.client.slots }()
	case <-ctx.Done():
		return "", ErrTimeout
	}
	where := k.mount + "/sign/" + k.name + "/sha2-256"
	answer, err := k.client.request(ctx, "transit_sign", func(ctx context.Context) (*api.Secret, error) {
		return k.client.api.Logical().WriteWithContext(ctx, where, map[string]any{
			"input": base64.StdEncoding.EncodeToString(digest), "prehashed": true,
			"signature_algorithm": "pkcs1v15", "key_version": json.Number(strconv.Itoa(k.version)),
		})
	})
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
