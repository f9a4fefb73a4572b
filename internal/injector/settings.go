package injector

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Settings is what the operators of a cluster decide: which sidecar pods get,
// and who may sign for which merchant. Pods choose within it.
type Settings struct {
	// Config is the part of the sidecar's config that all pods share, such as vault. What
	// the injector writes itself must be left out: merchants, the addresses, the routes.
	Config map[string]any `yaml:"config"`
	// Merchants by alias.
	Merchants map[string]Merchant `yaml:"merchants"`
	// Grants say who may use which merchant. Without a grant nobody may.
	Grants []Grant `yaml:"grants"`
	// Ports of the sidecar inside the pod.
	Ports Ports `yaml:"ports"`
	// Bounds on the resources that a pod may ask for its sidecar.
	Bounds Bounds `yaml:"bounds"`
	// Order places a native sidecar before the other init containers (first, the default), so
	// that those can use it too, or behind them (last), so that it starts after a mesh's.
	Order string `yaml:"order"`
	// Pod is the template: a part of a pod that is merged into each pod, with one container,
	// wxproxy, and the volumes that it needs, whose names begin with wxproxy-.
	Pod map[string]any `yaml:"pod"`
}

// Merchant is one merchant of the sidecar's config.
type Merchant struct {
	// Config is its entry of merchants, without the name.
	Config map[string]any `yaml:"config"`
	// Secret is the name of a Secret in the pod's namespace. The sidecar alone gets it, as
	// files below /etc/wxproxy/ALIAS. Empty: none, the keys are in Vault.
	Secret string `yaml:"secret"`
	// VaultRole is the role of Vault's Kubernetes method that reads this merchant's keys and no
	// other's, bound to the service accounts that have its grant. Empty: the config's own.
	VaultRole string `yaml:"vault_role"`
}

// Grant lets some service accounts of one namespace use some merchants.
type Grant struct {
	Namespace string `yaml:"namespace"`
	// ServiceAccounts by name; * is every one of the namespace.
	ServiceAccounts []string `yaml:"service_accounts"`
	Merchants       []string `yaml:"merchants"`
}

// Ports of the sidecar; the app's must differ.
type Ports struct {
	Outbound int `yaml:"outbound"` // on loopback. 0: 18080
	Notify   int `yaml:"notify"`   // 0: 18443
	Admin    int `yaml:"admin"`    // 0: 18090
}

// Bounds on requests and limits alike.
type Bounds struct {
	CPU    Range `yaml:"cpu"`
	Memory Range `yaml:"memory"`
}

// Range of a Kubernetes quantity. Empty: no bound.
type Range struct {
	Min string `yaml:"min"`
	Max string `yaml:"max"`
}

// of is the range of a resource.
func (b Bounds) of(resource string) Range {
	switch resource {
	case "cpu":
		return b.CPU
	case "memory":
		return b.Memory
	}
	return Range{}
}

// allow reports whether an amount is within the range.
func (r Range) allow(amount string) bool {
	if r == (Range{}) {
		return true
	}
	q, err := parseQuantity(amount)
	if err != nil {
		return false
	}
	least, tooLow := parseQuantity(r.Min)
	most, tooHigh := parseQuantity(r.Max)
	return (tooLow != nil || q >= least) && (tooHigh != nil || q <= most)
}

const maxSettings = 1 << 20

// ParseSettings reads the text of a settings file, strictly. check is asked
// about a config that a sidecar would get of each merchant; it may be nil.
func ParseSettings(data []byte, check func(config []byte) error) (*Settings, error) {
	if len(data) > maxSettings {
		return nil, errors.New("the settings are larger than 1 MiB")
	}
	s := &Settings{}
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	if err := d.Decode(s); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("the settings cannot be read: %w", err)
	}
	s.setDefaults()
	if err := s.validate(); err != nil {
		return nil, err
	}
	if check == nil {
		return s, nil
	}
	var failed error
	for _, alias := range slices.Sorted(maps.Keys(s.Merchants)) {
		example := wish{merchants: []string{alias}, appPort: 1, notifyPath: "/notify", appPath: "/notify", grace: 30, job: true}
		config, err := s.config(example, false)
		if err == nil {
			err = check([]byte(config))
		}
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("the config of a pod with merchant %s would be refused: %w", alias, err))
		}
	}
	return s, failed
}

func (s *Settings) setDefaults() {
	for p, d := range map[*int]int{&s.Ports.Outbound: 18080, &s.Ports.Notify: 18443, &s.Ports.Admin: 18090} {
		if *p == 0 {
			*p = d
		}
	}
	if s.Order == "" {
		s.Order = "first"
	}
}

var (
	aliasName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)
	dnsLabel  = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	dnsName   = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$`)
)

// ours are the keys of the sidecar's config that the injector writes.
var ours = []string{"merchants", "outbound.listen", "outbound.socket_mode", "outbound.unsafe_listen", "notify.listen", "notify.routes", "admin.listen", "admin.control", "admin.control_mode", "shutdown_grace", "shutdown_linger", "shutdown_delay"}

// faults collects what is wrong with settings.
type faults []error

func (f *faults) add(format string, args ...any) { *f = append(*f, fmt.Errorf(format, args...)) }

func (s *Settings) validate() error {
	var f faults
	for _, key := range ours {
		if has(s.Config, strings.Split(key, ".")) {
			f.add("config.%s: the injector writes it itself; remove it", key)
		}
	}
	s.checkMerchants(&f)
	s.checkGrants(&f)
	for name, r := range map[string]Range{"cpu": s.Bounds.CPU, "memory": s.Bounds.Memory} {
		if err := r.validate(); err != nil {
			f.add("bounds.%s: %w", name, err)
		}
	}
	if s.Order != "first" && s.Order != "last" {
		f.add("order: is first or last")
	}
	if s.Ports.Outbound == s.Ports.Notify || s.Ports.Outbound == s.Ports.Admin || s.Ports.Notify == s.Ports.Admin {
		f.add("ports: give each its own")
	}
	s.checkTemplate(&f)
	return errors.Join(f...)
}

func (s *Settings) checkMerchants(f *faults) {
	volumes := make(map[string]string)
	for _, alias := range slices.Sorted(maps.Keys(s.Merchants)) {
		m, volume := s.Merchants[alias], secretVolume(alias)
		if other, ok := volumes[volume]; ok {
			f.add("merchants.%s: too much like %s for the names of their volumes; rename one", alias, other)
		}
		volumes[volume] = alias
		if m.Secret != "" && !dnsLabel.MatchString(volume) {
			f.add("merchants.%s: too long for the name of its volume, %s; shorten it", alias, volume)
		}
		if !aliasName.MatchString(alias) {
			f.add("merchants.%s: an alias has lower-case letters, digits, - and _", alias)
		}
		if m.Secret != "" && !dnsName.MatchString(m.Secret) {
			f.add("merchants.%s.secret: is not the name of a Secret", alias)
		}
		if _, ok := m.Config["name"]; ok {
			f.add("merchants.%s.config.name: the alias is its name; remove it", alias)
		}
	}
}

func (s *Settings) checkGrants(f *faults) {
	for i, g := range s.Grants {
		if !dnsName.MatchString(g.Namespace) {
			f.add("grants[%d].namespace: write the name of one namespace", i)
		}
		if len(g.ServiceAccounts) == 0 || len(g.Merchants) == 0 {
			f.add("grants[%d]: needs service_accounts and merchants", i)
		}
		for _, alias := range g.Merchants {
			if _, ok := s.Merchants[alias]; !ok {
				f.add("grants[%d].merchants: %s is not among merchants", i, alias)
			}
		}
	}
}

func (r Range) validate() error {
	for _, text := range []string{r.Min, r.Max} {
		if _, err := parseQuantity(text); text != "" && err != nil {
			return err
		}
	}
	return nil
}

// checkTemplate: what is merged into foreign pods must be ours by name.
func (s *Settings) checkTemplate(f *faults) {
	for key := range s.Pod {
		if key != "metadata" && key != "spec" {
			f.add("pod.%s: the template has metadata and spec only", key)
		}
	}
	for key := range object(s.Pod["metadata"]) {
		if key != "annotations" && key != "labels" {
			f.add("pod.metadata.%s: the template's metadata has annotations and labels only", key)
		}
	}
	spec := object(s.Pod["spec"])
	for key := range spec {
		if key != "containers" && key != "volumes" && key != "imagePullSecrets" {
			f.add("pod.spec.%s: the template's spec has containers, volumes and imagePullSecrets only", key)
		}
	}
	list := array(spec["containers"])
	if len(list) != 1 || object(list[0])["name"] != containerName || text(object(list[0])["image"]) == "" {
		f.add("pod.spec.containers: the template has one container, named %s, with an image", containerName)
	}
	for i, v := range array(spec["volumes"]) {
		if !strings.HasPrefix(text(object(v)["name"]), volumePrefix) {
			f.add("pod.spec.volumes[%d].name: must begin with %s", i, volumePrefix)
		}
	}
}

// granted lists the merchants that a service account may use.
func (s *Settings) granted(namespace, account string) []string {
	var list []string
	for _, g := range s.Grants {
		if g.Namespace == namespace && (slices.Contains(g.ServiceAccounts, account) || slices.Contains(g.ServiceAccounts, "*")) {
			list = append(list, g.Merchants...)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// object, array and text read a decoded document; what is of another kind is
// empty.
func object(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}

func array(v any) []any {
	l, _ := v.([]any)
	return l
}

func text(v any) string {
	t, _ := v.(string)
	return t
}

func has(m map[string]any, path []string) bool {
	v, ok := m[path[0]]
	if !ok || len(path) == 1 {
		return ok
	}
	return has(object(v), path[1:])
}
