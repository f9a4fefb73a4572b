package proxy

import "fmt"

// directory finds merchants by alias or merchant number.
type directory struct {
	all   []*Merchant
	named map[string]*Merchant
}

// newDirectory refuses names that could mean two merchants: whoever asks for
// one must not get the other's signature.
func newDirectory(merchants []*Merchant) (directory, error) {
	d := directory{all: merchants, named: make(map[string]*Merchant, 2*len(merchants))}
	for _, m := range merchants {
		for _, name := range []string{m.Name, m.MchID} {
			if other := d.named[name]; other != nil && other != m {
				return directory{}, fmt.Errorf("%q names both merchant %s and merchant %s; rename one, or keep one of them", name, other.Name, m.Name)
			}
			d.named[name] = m
		}
	}
	return d, nil
}

// list returns the merchants of some aliases, all of them for none.
func (d directory) list(aliases []string) []*Merchant {
	if len(aliases) == 0 {
		return d.all
	}
	list := make([]*Merchant, 0, len(aliases))
	for _, name := range aliases {
		if m := d.named[name]; m != nil && m.Name == name {
			list = append(list, m)
		}
	}
	return list
}
