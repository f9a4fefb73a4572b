package proxy

import (
	"context"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/wxproxy/wxproxy/internal/wire"
	"github.com/wxproxy/wxproxy/verifier"
)

// verify finds the merchants among candidates whose trusted keys bear the
// signature out. One path may serve many merchants; the same key is tried
// once, and a refresh is asked for only if none of them knows the serial
// number and mayRefresh is true.
func verify(ctx context.Context, candidates []*Merchant, stamp wire.Stamp, body []byte, mayRefresh bool) ([]*Merchant, error) {
	if stamp.Probe() {
		return nil, verifier.ErrProbe
	}
	verified, known := verifyKnown(candidates, stamp, body)
	switch {
	case len(verified) > 0:
		return verified, nil
	case known:
		return nil, verifier.ErrSignature
	case !mayRefresh:
		return nil, verifier.ErrKeysUnavailable
	}
	failed := verifier.ErrSerialUnknown
	for _, m := range candidates {
		err := verifier.Verify(ctx, m.NotifyKeys, stamp, body)
		switch {
		case err == nil:
			return []*Merchant{m}, nil
		case errors.Is(err, verifier.ErrSignature): // the serial number is known now
			return nil, err
		case !errors.Is(err, verifier.ErrSerialUnknown):
			failed = err
		}
	}
	return nil, failed
}

func verifyKnown(candidates []*Merchant, stamp wire.Stamp, body []byte) (verified []*Merchant, known bool) {
	type tried struct {
		key *rsa.PublicKey
		ok  bool
	}
	var all []tried
	for _, m := range candidates {
		key, found := m.Find(stamp.Serial)
		if !found {
			continue
		}
		known = true
		i := slices.IndexFunc(all, func(t tried) bool { return t.key == key || t.key.Equal(key) })
		if i < 0 {
			i = len(all)
			all = append(all, tried{key, verifier.Check(key, stamp, body) == nil})
		}
		if all[i].ok {
			verified = append(verified, m)
		}
	}
	return verified, known
}

var (
	errNoAPIv3Key = errors.New("no APIv3 key is loaded")
	errMchID      = errors.New("the resource names another merchant than the one whose key opens it")
)

// open decrypts a verified notify. Whose key opens it, whose it is; then the
// merchant number inside must agree.
func open(verified []*Merchant, body []byte, header http.Header) (*opened, error) {
	envelope, err := wire.ParseEnvelope(body)
	if err != nil {
		return nil, err
	}
	failed := errNoAPIv3Key
	for _, m := range verified {
		for _, key := range m.APIv3Keys() {
			plain, err := envelope.Resource.Open(key.Bytes())
			if err != nil {
				failed = err
				continue
			}
			if !namesMerchant(plain, m.MchID) {
				return nil, fmt.Errorf("%w: %s", errMchID, m.Name)
			}
			return &opened{merchant: m, envelope: envelope, resource: plain, raw: body, header: header}, nil
		}
	}
	return nil, failed
}

// namesMerchant is true if the resource names the merchant or none at all.
func namesMerchant(resource []byte, mchid string) bool {
	named, ours := false, false
	topLevel(resource, func(key string, value []byte) {
		var v string
		if slices.Contains(merchantFields, key) && json.Unmarshal(value, &v) == nil {
			named, ours = true, ours || v == mchid
		}
	})
	return ours || !named
}

// checkDistinctKeys refuses two merchants on one path with the same APIv3 key:
// what opens a notify could not tell them apart.
func checkDistinctKeys(path string, merchants []*Merchant) error {
	seen := make(map[[sha256.Size]byte]string)
	for _, m := range merchants {
		for _, key := range m.APIv3Keys() {
			sum := sha256.Sum256(key.Bytes())
			if other, ok := seen[sum]; ok && other != m.Name {
				return fmt.Errorf("notify path %s: merchants %s and %s have the same APIv3 key; give them paths of their own or change one key", path, other, m.Name)
			}
			seen[sum] = m.Name
		}
	}
	return nil
}
