package vault

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strconv"

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
	state       *keyState
}

var _ crypto.Signer = (*key)(nil)

// Key implements secret.Vault. The key has been asked for a signature once: what
// became of that, its Failing tells.
func (c *Client) Key(ctx context.Context, mount, name string, version int, like crypto.PublicKey) (crypto.Signer, error) {
	where, ref := mount+"/keys/"+name, secret.Ref{Scheme: secret.SchemeTransit, Mount: mount, Target: name, Version: version}
	answer, err := c.ask(ctx, c.read("transit_read", mount, where))
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
	ref.Version = version
	if least := integer(answer.Data["min_encryption_version"]); version < least {
		return nil, fmt.Errorf("%s: %w; %s", ref, ErrMinVersion, lowerMinVersion(where, version))
	}
	k := &key{client: c, mount: mount, name: name, version: version, public: versions[version], state: c.stateOf(ref)}
	if err := k.Try(ctx); gaveUp(err) {
		return nil, err
	}
	return k, nil
}

// integer is one in an answer of Vault; 0 if it is none.
func integer(v any) int {
	text, _ := v.(json.Number)
	n, _ := strconv.Atoi(text.String())
	return n
}

func lowerMinVersion(where string, version int) string {
	return fmt.Sprintf("until WeChat Pay knows a newer one: vault write %s/config min_encryption_version=%d", where, version)
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
