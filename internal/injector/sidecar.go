package injector

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Where things are in the containers.
const (
	configVariable = "WXPROXY_CONFIG"
	merchantDir    = "/etc/wxproxy/"
	socketVolume   = volumePrefix + "socket"
	socketDir      = "/run/wxproxy"
	socketPath     = socketDir + "/api.sock"
	controlVolume  = volumePrefix + "control"
	controlDir     = "/run/wxproxy-control"
	controlPath    = controlDir + "/control.sock"
)

// Kubernetes' own words for a container that runs beside the others.
const always = "Always"

// config is the text of the sidecar's config: the shared part, and what the
// pod may choose.
func (s *Settings) config(w wish, native bool) (string, error) {
	c, err := clone(s.Config)
	if err != nil {
		return "", err
	}
	list := make([]any, 0, len(w.merchants))
	for _, alias := range w.merchants {
		entry := map[string]any{"name": alias}
		maps.Copy(entry, s.Merchants[alias].Config)
		list = append(list, entry)
	}
	c["merchants"] = list
	if err := s.vaultRole(c, w.merchants); err != nil {
		return "", err
	}
	outbound := section(c, "outbound")
	outbound["listen"] = fmt.Sprintf("127.0.0.1:%d", s.Ports.Outbound)
	if w.socket {
		// Who mounts the socket may use it; the users of containers differ.
		outbound["listen"], outbound["socket_mode"] = "unix:"+socketPath, "0666"
	}
	if w.appPort != 0 {
		notify := section(c, "notify")
		notify["listen"] = fmt.Sprintf("0.0.0.0:%d", s.Ports.Notify)
		notify["routes"] = []any{map[string]any{
			"path": w.notifyPath, "to": fmt.Sprintf("http://127.0.0.1:%d%s", w.appPort, w.appPath), "merchants": w.merchants,
		}}
	}
	admin := section(c, "admin")
	admin["listen"] = fmt.Sprintf("0.0.0.0:%d", s.Ports.Admin)
	admin["control"] = "unix:" + controlPath
	if w.job && !native {
		admin["control_mode"] = "0666" // the job's last step calls it
	}
	if w.logLevel != "" {
		section(c, "log")["level"] = w.logLevel
	}
	// A native sidecar is told to stop when the app has ended. A plain container
	// is told at the same time as the app, which may still have calls to make.
	grace := max(1, w.grace-2)
	c["shutdown_grace"] = fmt.Sprintf("%ds", grace)
	if !native {
		c["shutdown_linger"] = fmt.Sprintf("%ds", max(0, grace-5))
	}
	out, err := yaml.Marshal(c)
	return string(out), err
}

// vaultRole sets the role by which a sidecar logs in, which is that of its
// merchants: with one role for all, each pod's account could read every key.
func (s *Settings) vaultRole(c map[string]any, merchants []string) error {
	role := s.Merchants[merchants[0]].VaultRole
	for _, alias := range merchants {
		if s.Merchants[alias].VaultRole != role {
			return fmt.Errorf("merchants %s and %s have different Vault roles: one sidecar logs in with one; give them the same vault_role, or the pod one of them", merchants[0], alias)
		}
	}
	if role != "" {
		section(section(c, "vault"), "auth")["role"] = role
	}
	return nil
}

func section(c map[string]any, key string) map[string]any {
	m := object(c[key])
	if m == nil {
		m = make(map[string]any)
	}
	c[key] = m
	return m
}

// clone copies a document, in the form that JSON has.
func clone(v map[string]any) (map[string]any, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("a key of the settings is not a text: %w", err)
	}
	c := make(map[string]any)
	if err := json.Unmarshal(data, &c); err != nil {
		return nil, err
	}
	return c, nil
}

// container fills in the template's container for a pod.
func (s *Settings) container(w wish, native bool) (map[string]any, error) {
	c, err := clone(object(array(object(s.Pod["spec"])["containers"])[0]))
	if err != nil {
		return nil, err
	}
	config, err := s.config(w, native)
	if err != nil {
		return nil, err
	}
	delete(c, "restartPolicy")
	if native {
		c["restartPolicy"] = always
	}
	resources := section(c, "resources")
	for _, name := range slices.Sorted(maps.Keys(w.resources)) {
		kind, what := "requests", "cpu"
		if name == "cpu-limit" || name == "memory-limit" {
			kind = "limits"
		}
		if name == "memory-request" || name == "memory-limit" {
			what = "memory"
		}
		section(resources, kind)[what] = w.resources[name]
	}
	// Kubernetes expands $(NAME), and makes one of two dollars.
	env := append(array(c["env"]), variable(configVariable, strings.ReplaceAll(config, "$", "$$")))
	c["env"] = append(env, goLimits(object(resources["limits"]), env)...)
	mounts := array(c["volumeMounts"])
	for _, v := range s.volumes(w) {
		name := text(v["name"])
		m := map[string]any{"name": name, "mountPath": s.mountPath(w, name)}
		if _, ok := v["secret"]; ok {
			m["readOnly"] = true
		}
		mounts = append(mounts, m)
	}
	c["volumeMounts"] = mounts
	return c, nil
}

func variable(name, value string) map[string]any { return map[string]any{"name": name, "value": value} }

// goLimits tells the Go runtime its limits, so that it collects garbage rather
// than being killed. What the template sets stays.
func goLimits(limits map[string]any, env []any) (list []any) {
	set := func(name string, value int64) {
		if value > 0 && !slices.ContainsFunc(env, func(e any) bool { return object(e)["name"] == name }) {
			list = append(list, variable(name, strconv.FormatInt(value, 10)))
		}
	}
	if q, err := parseQuantity(quantity(limits["memory"])); err == nil {
		set("GOMEMLIMIT", q.units()/10*9)
	}
	if q, err := parseQuantity(quantity(limits["cpu"])); err == nil {
		set("GOMAXPROCS", q.units())
	}
	return list
}

// quantity reads one that YAML took for a number.
func quantity(v any) string {
	if n, ok := v.(float64); ok {
		return strconv.FormatFloat(n, 'f', -1, 64)
	}
	return text(v)
}

// volumes that the pod's wishes need, besides the template's.
func (s *Settings) volumes(w wish) (list []map[string]any) {
	memory := map[string]any{"medium": "Memory", "sizeLimit": "1Mi"}
	if w.socket {
		list = append(list, map[string]any{"name": socketVolume, "emptyDir": memory})
	}
	list = append(list, map[string]any{"name": controlVolume, "emptyDir": memory})
	for _, alias := range w.merchants {
		if name := s.Merchants[alias].Secret; name != "" {
			list = append(list, map[string]any{"name": secretVolume(alias), "secret": map[string]any{"secretName": name, "defaultMode": 0o444}})
		}
	}
	return list
}

func (s *Settings) mountPath(w wish, volume string) string {
	switch volume {
	case socketVolume:
		return socketDir
	case controlVolume:
		return controlDir
	}
	for _, alias := range w.merchants {
		if volume == secretVolume(alias) {
			return merchantDir + alias
		}
	}
	return ""
}

// secretVolume is the name of a merchant's volume, which may not have the _
// of an alias.
func secretVolume(alias string) string {
	out := []byte(volumePrefix + "merchant-")
	for _, b := range []byte(alias) {
		if b == '_' {
			out = append(out, "-u-"...)
			continue
		}
		out = append(out, b)
	}
	return string(out)
}

// appEnv tells the app where to call. It never is http_proxy, which would
// capture the app's other traffic.
func (s *Settings) appEnv(w wish, native bool) (list []map[string]any) {
	if w.socket {
		list = append(list, variable("WECHATPAY_BASE_URL", "http://localhost"), variable("WECHATPAY_SOCKET", socketPath))
	} else {
		list = append(list, variable("WECHATPAY_BASE_URL", fmt.Sprintf("http://127.0.0.1:%d", s.Ports.Outbound)))
	}
	if w.job && !native {
		list = append(list, variable("WXPROXY_CONTROL", controlPath))
	}
	return list
}

// appMounts are the sidecar's volumes that the app gets to see: no others.
func appMounts(w wish, native bool) (list []mount) {
	if w.socket {
		list = append(list, mount{socketVolume, socketDir})
	}
	if w.job && !native {
		list = append(list, mount{controlVolume, controlDir})
	}
	return list
}
