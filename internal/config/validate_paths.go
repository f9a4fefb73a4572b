package config

import "fmt"

// pathUse is what the routes of one path have said so far.
type pathUse struct {
	routes int
	claims map[claim]int     // the route that claims it
	owners map[string]string // merchant by the reference of its APIv3 key
	told   bool              // that two merchants share a key
}

// claim is all that one pattern matches of one merchant's notifies. Patterns
// that differ never tie: the longest that matches wins.
type claim struct{ merchant, events string }

// sharedPaths compares routes that have a path in common.
func (k *checker) sharedPaths(routes []Route) {
	keys := make(map[string]string, len(k.c.Merchants))
	for _, m := range k.c.Merchants {
		keys[m.Name] = m.APIv3Key.String()
	}
	paths := make(map[string]*pathUse)
	for _, r := range routes {
		if paths[r.Path] == nil {
			paths[r.Path] = &pathUse{claims: make(map[claim]int), owners: make(map[string]string)}
		}
		paths[r.Path].routes++
	}
	for i, r := range routes {
		use, names := paths[r.Path], k.c.MerchantsOf(r)
		if r.Path == "" { // which is a fault of its own
			continue
		}
		if use.routes > 1 {
			k.claims(use, i, r, names)
		}
		k.sharedKeys(use, i, names, keys)
	}
}

// claims refuses two routes that claim the same notifies.
func (k *checker) claims(use *pathUse, i int, r Route, names []string) {
	first := -1
	for _, name := range names {
		for _, events := range eventsOf(r) {
			before, taken := use.claims[claim{name, events}]
			switch {
			case !taken:
				use.claims[claim{name, events}] = i
			case before != i && (first < 0 || before < first):
				first = before
			}
		}
	}
	if first >= 0 {
		k.fault(fmt.Sprintf("notify.routes[%d].path", i), fmt.Sprintf("claims notifies that notify.routes[%d] claims too", first),
			"give the routes different events or merchants, or another path")
	}
}

func eventsOf(r Route) []string {
	if len(r.Events) == 0 {
		return []string{"*"}
	}
	return r.Events
}

// sharedKeys refuses merchants with one APIv3 key on one path: who decrypts a
// notify is whose it is, and here both would.
func (k *checker) sharedKeys(use *pathUse, i int, names []string, keys map[string]string) {
	for _, name := range names {
		key := keys[name]
		if key == "" || use.told {
			continue
		}
		if other, ok := use.owners[key]; ok && other != name {
			use.told = true
			k.fault(fmt.Sprintf("notify.routes[%d].path", i), "serves "+other+" and "+name+", which share one APIv3 key: a notify could not be told apart",
				"give each merchant its own path, or its own APIv3 key")
		}
		use.owners[key] = name
	}
}
