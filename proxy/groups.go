package proxy

import (
	"fmt"
	"net/http"
	"strings"
)

// groupsByHost says to which group of upstreams a call goes that names a host
// of one: http://apihk.mch.weixin.qq.com/v3/… Names of this machine say nothing,
// since they are how apps reach us.
func groupsByHost(u *Upstream, merchants []*Merchant) (map[string]string, error) {
	byHost := make(map[string]string)
	for group, hosts := range u.groups {
		for _, h := range hosts {
			name := strings.ToLower(h.base.Hostname())
			if isLoopbackName(name) {
				continue
			}
			if other, twice := byHost[name]; twice && other != group {
				return nil, fmt.Errorf("outbound: upstream %s is in two groups; keep it in one", name)
			}
			byHost[name] = group
		}
	}
	for _, m := range merchants {
		if u.groups[m.Group] == nil {
			return nil, fmt.Errorf("outbound: merchant %s wants the group of upstreams %q, which there is not", m.Name, m.Group)
		}
	}
	return byHost, nil
}

// groupOf is where a call goes: to the group whose host it names, else to the
// merchant's. It is never a destination that is not in the config.
func (o *Outbound) groupOf(r *http.Request, m *Merchant) string {
	if group, named := o.groups[hostname(r.Host)]; named {
		return group
	}
	return m.Group
}
