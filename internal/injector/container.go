package injector

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// template is the container that operators wrote.
func (s *Settings) template() map[string]any {
	return object(array(object(s.Pod["spec"])["containers"])[0])
}

// container fills in the template's container for a pod. had is the one that
// is there already, or nil.
func (s *Settings) container(w wish, native bool, had *container) (map[string]any, error) {
	c, err := clone(s.template())
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
	if had != nil {
		s.keep(had, c)
	}
	for _, what := range []string{"cpu", "memory"} {
		requests, limit := object(resources["requests"]), object(resources["limits"])[what]
		if w.resources[what+"-request"] == "" && above(requests[what], limit) {
			requests[what] = limit // the template's request, and the pod's limit
		}
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

// keep takes over what plugins of the API server set: LimitRanger and
// AlwaysPullImages run again after the webhook, correct our container, and
// refuse the pod where we undo that. Nothing of it decides what runs with the
// keys, whoever wrote it.
func (s *Settings) keep(had *container, c map[string]any) {
	if had.ImagePullPolicy == always {
		c["imagePullPolicy"] = always
	}
	resources := section(c, "resources")
	for kind, list := range map[string]map[string]any{"requests": had.Resources.Requests, "limits": had.Resources.Limits} {
		for name, amount := range list {
			if _, ok := object(resources[kind])[name]; !ok && s.Bounds.of(name).allow(quantity(amount)) {
				section(resources, kind)[name] = amount
			}
		}
	}
}

// above reports whether a request is above its limit; not where one is missing.
func above(request, limit any) bool {
	r, err := parseQuantity(quantity(request))
	if err != nil {
		return false
	}
	l, err := parseQuantity(quantity(limit))
	return err == nil && r > l
}

// quantity reads one that YAML took for a number.
func quantity(v any) string {
	switch n := v.(type) {
	case int:
		return strconv.Itoa(n)
	case float64:
		return strconv.FormatFloat(n, 'f', -1, 64)
	}
	return text(v)
}

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
