package injector

import (
	"encoding/json"
	"fmt"
	"maps"

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

func variable(name, value string) map[string]any { return map[string]any{"name": name, "value": value} }

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
