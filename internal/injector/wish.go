package injector

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Names that this package and its users agree on.
const (
	prefix        = "wxproxy.dev/"
	injectLabel   = prefix + "inject"
	statusKey     = prefix + "status"
	statusValue   = "injected"
	containerName = "wxproxy"
	volumePrefix  = "wxproxy-"
	defaultKey    = "kubectl.kubernetes.io/default-container"
	appArmorKey   = "container.apparmor.security.beta.kubernetes.io/" // and a container's name
)

type annotation struct{ key, meaning string }

// annotations that a pod may carry, with what they mean.
var annotations = []annotation{
	{"merchant", "alias of the merchant, or several with commas; optional where exactly one is granted"},
	{"app-port", "port of the app that takes notifies; without it none are received"},
	{"notify-path", "path that WeChat Pay calls; /notify by default"},
	{"app-path", "path of the app that takes notifies; notify-path by default"},
	{"containers", "names of the containers that call WeChat Pay, with commas; all by default"},
	{"socket", `"true": a Unix socket instead of a port`},
	{"log-level", "debug, info, warn or error"},
	{"cpu-request", "of the sidecar, within the cluster's bounds"},
	{"cpu-limit", "likewise"},
	{"memory-request", "likewise"},
	{"memory-limit", "likewise"},
}

// wish is what a pod asks for, checked.
type wish struct {
	merchants           []string
	appPort             int
	notifyPath, appPath string
	containers          []string // names of the app's
	socket, job         bool
	logLevel            string
	resources           map[string]string // by annotation
	grace               int64
}

var urlPath = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)+/?$`)

// wish reads the pod's annotations.
func (a *asker) wish() wish {
	w := wish{notifyPath: "/notify", resources: map[string]string{}, grace: a.p.grace(), job: a.p.runsOnce()}
	a.unknown()
	w.merchants = a.merchants()
	w.containers = a.containers()
	if v, ok := a.get("app-port"); ok {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > 65535 || v[0] == '+' || v[0] == '0' {
			a.refuse("%sapp-port %s is not a port number", prefix, shown(v))
		}
		w.appPort = n
	}
	if v, ok := a.get("notify-path"); ok {
		w.notifyPath = a.path("notify-path", v)
	}
	w.appPath = w.notifyPath
	if v, ok := a.get("app-path"); ok {
		w.appPath = a.path("app-path", v)
	}
	for _, name := range []string{"notify-path", "app-path"} {
		if _, ok := a.get(name); ok && w.appPort == 0 {
			a.refuse("%s%s needs %sapp-port, the port of the app that takes notifies", prefix, name, prefix)
		}
	}
	if v, ok := a.get("socket"); ok {
		if v != "true" && v != "false" {
			a.refuse("%ssocket is %s; write \"true\" or \"false\", in quotes", prefix, shown(v))
		}
		w.socket = v == "true"
	}
	if v, ok := a.get("log-level"); ok {
		if !slices.Contains([]string{"debug", "info", "warn", "error"}, v) {
			a.refuse("%slog-level is %s; write debug, info, warn or error", prefix, shown(v))
		}
		w.logLevel = v
	}
	for _, name := range []string{"cpu-request", "cpu-limit", "memory-request", "memory-limit"} {
		if v, ok := a.get(name); ok {
			a.resource(name, v)
			w.resources[name] = v
		}
	}
	a.requests(w.resources)
	return w
}

// unknown refuses misspelt annotations, which would otherwise do nothing.
func (a *asker) unknown() {
	for _, key := range slices.Sorted(maps.Keys(a.p.Metadata.Annotations)) {
		name, ok := strings.CutPrefix(key, prefix)
		if !ok || key == statusKey {
			continue
		}
		if !slices.ContainsFunc(annotations, func(k annotation) bool { return k.key == name }) {
			a.refuse("annotation %s is unknown; pods may set %s", shown(key), known())
		}
	}
}

func known() string {
	var list []string
	for _, k := range annotations {
		list = append(list, k.key)
	}
	return prefix + strings.Join(list, ", ")
}

func (a *asker) merchants() []string {
	account := a.p.account()
	granted := a.s.granted(a.namespace, account)
	v, ok := a.get("merchant")
	if !ok {
		switch len(granted) {
		case 1:
			return granted
		case 0:
			a.refuse("service account %s of namespace %s has no merchant; ask the cluster's operators to add it to grants of the injector, or set the label %s: \"false\"", shown(account), shown(a.namespace), injectLabel)
		default:
			a.refuse("annotation %smerchant is missing; service account %s may use %s", prefix, shown(account), some(granted))
		}
		return nil
	}
	list, seen := strings.Split(v, ","), make(map[string]bool)
	for i, alias := range list {
		if a.full() {
			break
		}
		list[i] = strings.TrimSpace(alias)
		if !slices.Contains(granted, list[i]) {
			// The same words whether the merchant exists or not.
			a.refuse("merchant %s is not granted to service account %s of namespace %s; it may use: %s. Ask the cluster's operators to add it to grants of the injector", shown(list[i]), shown(account), shown(a.namespace), some(granted))
		}
		if seen[list[i]] {
			a.refuse("%smerchant names %s twice", prefix, shown(list[i]))
		}
		seen[list[i]] = true
	}
	return list
}

func (a *asker) containers() []string {
	var all []string
	for _, c := range a.p.Spec.Containers {
		if c.Name != containerName {
			all = append(all, c.Name)
		}
	}
	v, ok := a.get("containers")
	if !ok {
		return all
	}
	list := strings.Split(v, ",")
	for i, name := range list {
		if a.full() {
			break
		}
		list[i] = strings.TrimSpace(name)
		if !slices.Contains(all, list[i]) && (list[i] == containerName || index(a.p.Spec.InitContainers, list[i]) < 0) {
			a.refuse("%scontainers names %s, which the pod does not have", prefix, shown(list[i]))
		}
	}
	return list
}

func (a *asker) path(name, v string) string {
	if len(v) > 256 || !urlPath.MatchString(v) || strings.Contains(v, "/.") {
		a.refuse("%s%s is %s; write a path of letters, digits, - . _ and ~, as in /notify/shop", prefix, name, shown(v))
	}
	return v
}

func (a *asker) resource(name, v string) {
	kind, _, _ := strings.Cut(name, "-")
	bounds := a.s.Bounds.of(kind)
	q, err := parseQuantity(v)
	if err != nil {
		a.refuse("%s%s: %v", prefix, name, err)
		return
	}
	if least, err := parseQuantity(bounds.Min); err == nil && q < least {
		a.refuse("%s%s is %s; this cluster asks for at least %s", prefix, name, shown(v), bounds.Min)
	}
	if most, err := parseQuantity(bounds.Max); err == nil && q > most {
		a.refuse("%s%s is %s; this cluster allows at most %s", prefix, name, shown(v), bounds.Max)
	}
}

// requests refuses those that are above the limit, the pod's or the template's.
func (a *asker) requests(chosen map[string]string) {
	limits := object(object(a.s.template()["resources"])["limits"])
	for _, what := range []string{"cpu", "memory"} {
		request, limit := chosen[what+"-request"], cmp.Or(chosen[what+"-limit"], quantity(limits[what]))
		if above(request, limit) {
			a.refuse("%s%s-request is %s, above the sidecar's limit of %s; lower it, or set %s%s-limit", prefix, what, shown(request), limit, prefix, what)
		}
	}
}
