package merchant

import (
	"fmt"
	"slices"
	"sync"

	"github.com/wxproxy/wxproxy/internal/secret"
)

// apart are merchants whose notifies come by the same paths. Whose APIv3 key
// opens a notify, his it is, so no two of a path may have the same.
type apart struct {
	taking sync.Mutex // or two could take one key at the same time
	byPath map[string][]*Merchant
}

// KeepApart has merchants refuse, at every Reload from now on, an APIv3 key that
// another merchant with the same notify path has. What they have by then is not
// compared.
func KeepApart(byPath map[string][]*Merchant) {
	a := &apart{byPath: byPath}
	for _, merchants := range byPath {
		for _, m := range merchants {
			m.reloading.Lock()
			m.apart = a
			m.reloading.Unlock()
		}
	}
}

// check compares the APIv3 keys that m is about to take with those of the
// others. The caller holds a.taking.
func (a *apart) check(m *Merchant, old, fresh *Material) error {
	if old != nil && slices.EqualFunc(old.APIv3Keys, fresh.APIv3Keys, secret.Value.Equal) {
		return nil
	}
	for path, merchants := range a.byPath {
		if !slices.Contains(merchants, m) {
			continue
		}
		for _, other := range merchants {
			if other != m && fresh.sharesKey(other.Current()) {
				return fmt.Errorf("%w: merchant %s: apiv3_key: it is the same as that of merchant %s, whose notifies come by the same path %s; "+
					"give each its own key (apiv3_key_previous counts, too), or a path of its own", ErrMaterial, m.spec.Name, other.spec.Name, path)
			}
		}
	}
	return nil
}

// sharesKey reports whether both have an APIv3 key in common.
func (m *Material) sharesKey(o *Material) bool {
	return o != nil && slices.ContainsFunc(m.APIv3Keys, func(k secret.Value) bool { return slices.ContainsFunc(o.APIv3Keys, k.Equal) })
}
