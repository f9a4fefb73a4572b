package injector

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// operation is one step of an RFC 6902 patch.
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

// patch builds the steps. They add; what they replace is a part of the sidecar
// that an earlier run put there, which is not trusted but written anew, but for
// what keep takes over.
type patch struct {
	p    *pod
	ops  []operation
	made map[string]bool // lists and maps that are there by now
}

func newPatch(p *pod) *patch { return &patch{p: p, made: make(map[string]bool)} }

func (x *patch) op(op, path string, value any) {
	x.ops = append(x.ops, operation{op, path, value})
}

// make adds an empty list or map, once, where the pod has none.
func (x *patch) make(path string, there bool, empty any) {
	if !there && !x.made[path] {
		x.op("add", path, empty)
		x.made[path] = true
	}
}

func escape(key string) string { return strings.NewReplacer("~", "~0", "/", "~1").Replace(key) }

// metadata adds annotations and labels that the pod does not have.
func (x *patch) metadata(path string, has map[string]string, add map[string]any) {
	for _, key := range slices.Sorted(maps.Keys(add)) {
		if _, ok := has[key]; ok {
			continue
		}
		x.make("/metadata/"+path, has != nil, map[string]string{})
		x.op("add", "/metadata/"+path+"/"+escape(key), add[key])
	}
}

// volume adds one, or replaces the one of the same name.
func (x *patch) volume(v map[string]any) {
	if i := x.p.hasVolume(text(v["name"])); i >= 0 {
		x.op("replace", "/spec/volumes/"+strconv.Itoa(i), v)
		return
	}
	x.make("/spec/volumes", len(x.p.Spec.Volumes) > 0, []any{})
	x.op("add", "/spec/volumes/-", v)
}

// apps adds to those of a list that are named.
func (x *patch) apps(path string, list []container, names []string, env []map[string]any, mounts []mount) {
	for i, c := range list {
		if slices.Contains(names, c.Name) {
			x.app(path+strconv.Itoa(i), c, env, mounts)
		}
	}
}

// app adds environment and mounts to a container of the app.
func (x *patch) app(path string, c container, env []map[string]any, mounts []mount) {
	for _, e := range env {
		name := text(e["name"])
		if hasName(c.Env, name) {
			continue // the app's own choice
		}
		x.make(path+"/env", len(c.Env) > 0, []any{})
		x.op("add", path+"/env/-", e)
	}
	for _, m := range mounts {
		if slices.Contains(c.VolumeMounts, m) {
			continue
		}
		x.make(path+"/volumeMounts", len(c.VolumeMounts) > 0, []any{})
		x.op("add", path+"/volumeMounts/-", m)
	}
}

// sidecar puts the container where it belongs. Indices of others come before:
// it is the last step.
func (x *patch) sidecar(c map[string]any, native, first bool) {
	list, path := x.p.Spec.Containers, "/spec/containers"
	if native {
		list, path = x.p.Spec.InitContainers, "/spec/initContainers"
	}
	switch i := index(list, containerName); {
	case i >= 0:
		x.op("replace", path+"/"+strconv.Itoa(i), c)
	case len(list) == 0:
		x.op("add", path, []any{c})
	case native && first:
		x.op("add", path+"/0", c)
	default:
		x.op("add", path+"/-", c)
	}
}

// inject decides about one pod. Problems are what the user has to change.
func (s *Settings) inject(raw []byte, namespace string, native bool) (ops []operation, w wish, problems []string) {
	p, err := readPod(raw)
	if err != nil {
		return nil, w, []string{err.Error()}
	}
	a := &asker{s: s, p: p, namespace: namespace}
	label, labelled := p.Metadata.Labels[injectLabel] // unless the namespace asks
	switch {
	case label == "false":
		return nil, w, nil
	case labelled && label != "true":
		a.refuse("label %s is %s; write \"true\", in quotes, for a sidecar, or \"false\" for none", injectLabel, shown(label))
	case a.inBounds():
		w = a.wish()
		a.inspect(w, native)
	}
	if len(a.problems) > 0 {
		return nil, w, a.problems
	}
	c, err := s.container(w, native, p.sidecar())
	if err != nil {
		return nil, w, []string{"the injector's settings do not fit: " + err.Error()}
	}
	x := newPatch(p)
	var parts struct {
		Metadata jsontext.Value `json:"metadata"`
	}
	if json.Unmarshal(raw, &parts) == nil && (len(parts.Metadata) == 0 || string(parts.Metadata) == "null") {
		x.op("add", "/metadata", map[string]any{})
	}
	template := object(s.Pod["metadata"])
	stamps := map[string]any{statusKey: statusValue, defaultKey: firstApp(p)}
	maps.Copy(stamps, object(template["annotations"]))
	x.metadata("annotations", p.Metadata.Annotations, stamps)
	if v, ok := p.Metadata.Annotations[statusKey]; ok && v != statusValue {
		x.op("replace", "/metadata/annotations/"+escape(statusKey), statusValue)
	}
	x.metadata("labels", p.Metadata.Labels, object(template["labels"]))
	for _, v := range array(object(s.Pod["spec"])["volumes"]) {
		x.volume(object(v))
	}
	for _, v := range s.volumes(w) {
		x.volume(v)
	}
	x.pullSecrets(array(object(s.Pod["spec"])["imagePullSecrets"]))
	env, mounts := s.appEnv(w, native), appMounts(w, native)
	x.apps("/spec/containers/", p.Spec.Containers, w.containers, env, mounts)
	x.apps("/spec/initContainers/", p.Spec.InitContainers, w.containers, env, mounts)
	x.sidecar(c, native, s.Order == "first")
	return x.ops, w, nil
}

func (x *patch) pullSecrets(list []any) {
	for _, secret := range list {
		name := text(object(secret)["name"])
		if hasName(x.p.Spec.ImagePullSecrets, name) {
			continue
		}
		x.make("/spec/imagePullSecrets", len(x.p.Spec.ImagePullSecrets) > 0, []any{})
		x.op("add", "/spec/imagePullSecrets/-", secret)
	}
}

// firstApp is what kubectl logs and exec take when no container is named.
func firstApp(p *pod) string {
	for _, c := range p.Spec.Containers {
		if c.Name != containerName {
			return c.Name
		}
	}
	return ""
}
