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

	"github.com/wxproxy/wxproxy/internal/secret"
	"github.com/wxproxy/wxproxy/internal/wire"
	"github.com/wxproxy/wxproxy/verifier"
)

// keys finds the merchants of a path that trust a stamp's serial number. A
// refresh is asked for only if none of them knows it and mayRefresh is true. All
// of this needs no body: what fails here costs no room for one.
func (e *entrance) keys(ctx context.Context, stamp wire.Stamp, mayRefresh bool) ([]trust, error) {
	if stamp.Probe() {
		return nil, verifier.ErrProbe
	}
	if !slices.ContainsFunc(e.merchants, func(m *Merchant) bool { return stamp.Fits(m.scheme()) }) {
		return nil, fmt.Errorf("%w: signed as %s, and the path serves none of that kind", verifier.ErrHeaders, stamp.Type)
	}
	known := e.trusting(stamp)
	switch {
	case len(known) > 0:
		return known, nil
	case !mayRefresh:
		return nil, verifier.ErrKeysUnavailable
	case e.shared == nil:
		return e.lookUpInTurn(ctx, stamp)
	}
	if _, err := e.shared.Lookup(ctx, stamp.Serial); err != nil {
		return nil, err
	}
	if known = e.trusting(stamp); len(known) == 0 { // what was found is another kind's, or is being taken over
		return nil, verifier.ErrKeysUnavailable
	}
	return known, nil
}

// lookUpInTurn lets one merchant after the other refresh, until one knows the
// serial number.
func (e *entrance) lookUpInTurn(ctx context.Context, stamp wire.Stamp) ([]trust, error) {
	failed := verifier.ErrSerialUnknown
	for _, m := range e.merchants {
		if !stamp.Fits(m.scheme()) {
			continue
		}
		key, err := m.NotifyKeys.Lookup(ctx, stamp.Serial)
		switch {
		case err == nil:
			return []trust{{m, key}}, nil
		case !errors.Is(err, verifier.ErrSerialUnknown):
			failed = err
		}
	}
	return nil, failed
}

// verifyKnown returns the merchants whose keys bear the signature out. The same
// key is tried once.
func verifyKnown(known []trust, stamp wire.Stamp, body []byte) (verified []*Merchant) {
	type tried struct {
		key *rsa.PublicKey
		ok  bool
	}
	var all []tried
	for _, k := range known {
		i := slices.IndexFunc(all, func(t tried) bool { return sameKey(t.key, k.key) })
		if i < 0 {
			i = len(all)
			all = append(all, tried{k.key, verifier.Check(k.key, stamp, body) == nil})
		}
		if all[i].ok {
			verified = append(verified, k.merchant)
		}
	}
	return verified
}

// sameKey compares public keys, with which rsa.PublicKey.Equal takes the care
// that private ones need.
func sameKey(a, b *rsa.PublicKey) bool { return a == b || a.E == b.E && a.N.Cmp(b.N) == 0 }

var (
	errNoAPIv3Key = errors.New("no APIv3 key is loaded")
	errMchID      = errors.New("the resource names another merchant than the one whose key opens it")
	errAmbiguous  = errors.New("the resource could be of several merchants, who have the same APIv3 key")
)

// open decrypts a verified notify. Whose key opens it, his it is; the merchant
// number inside must agree, and no other merchant may fit as well.
func open(verified []*Merchant, body []byte, header http.Header) (*opened, error) {
	envelope, err := wire.ParseEnvelope(body)
	if err != nil {
		return nil, err
	}
	sealed, err := envelope.Resource.Sealed()
	if err != nil {
		return nil, err
	}
	failed := errNoAPIv3Key
	for _, m := range verified {
		for _, key := range m.APIv3Keys() {
			plain, err := sealed.Open(key.Bytes())
			if err != nil {
				if !errors.Is(failed, errMchID) { // which says more
					failed = err
				}
				continue
			}
			if !m.isNamed(plain) {
				failed = fmt.Errorf("%w: %s", errMchID, m.Name)
				continue
			}
			for _, other := range verified {
				if other != m && other.hasKey(key) && other.isNamed(plain) {
					return nil, fmt.Errorf("%w: %s and %s; give each its own", errAmbiguous, m.Name, other.Name)
				}
			}
			return &opened{merchant: m, envelope: envelope, resource: plain, raw: body, header: header}, nil
		}
	}
	return nil, failed
}

func (m *Merchant) hasKey(key secret.Value) bool {
	return slices.ContainsFunc(m.APIv3Keys(), key.Equal)
}

// isNamed is true if the resource names the merchant or none at all.
func (m *Merchant) isNamed(resource []byte) bool {
	named, ours, fields := false, false, m.idFields()
	topLevel(resource, func(key string, value []byte) {
		var v string
		if slices.Contains(fields, key) && json.Unmarshal(value, &v) == nil {
			named, ours = true, ours || v == m.MchID
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
