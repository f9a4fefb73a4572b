package injector

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"go.yaml.in/yaml/v3"
)

// Target says whose pods a manifest's are where it does not say so itself.
type Target struct {
	Namespace string // for manifests without one
	Native    bool   // as Options.Native
}

// templates is where the kinds of workloads keep their pod.
var templates = map[string][]string{
	"Pod":         nil,
	"Deployment":  {"spec", "template"},
	"StatefulSet": {"spec", "template"},
	"DaemonSet":   {"spec", "template"},
	"ReplicaSet":  {"spec", "template"},
	"Job":         {"spec", "template"},
	"CronJob":     {"spec", "jobTemplate", "spec", "template"},
}

// Manifest injects the pods of a YAML or JSON stream, as the webhook would,
// and writes the stream as YAML. Only pods labelled wxproxy.dev/inject: "true"
// are changed; documents of other kinds pass. It is for clusters without the
// webhook, and for seeing what the webhook does.
func (s *Settings) Manifest(in io.Reader, out io.Writer, t Target) (injected int, err error) {
	d, e := yaml.NewDecoder(in), yaml.NewEncoder(out)
	e.SetIndent(2)
	for n := 1; ; n++ {
		var doc any // a list, say, passes too
		switch err := d.Decode(&doc); {
		case errors.Is(err, io.EOF):
			return injected, e.Close()
		case err != nil:
			return injected, fmt.Errorf("document %d: %w", n, err)
		}
		changed, err := s.document(object(doc), t)
		if err != nil {
			return injected, fmt.Errorf("document %d: %w", n, err)
		}
		if changed {
			injected++
		}
		if err := e.Encode(doc); err != nil {
			return injected, err
		}
	}
}

// document injects the pod in one, if there is one.
func (s *Settings) document(doc map[string]any, t Target) (changed bool, err error) {
	path, ok := templates[text(doc["kind"])]
	if !ok {
		return false, nil
	}
	pod := doc
	for _, key := range path {
		pod = object(pod[key])
	}
	if object(object(pod["metadata"])["labels"])[injectLabel] != "true" {
		return false, nil
	}
	namespace := t.Namespace
	if n := text(object(doc["metadata"])["namespace"]); n != "" {
		namespace = n
	}
	patched, err := s.patched(pod, namespace, t.Native)
	if err != nil {
		return false, err
	}
	maps.Copy(pod, patched) // nothing is ever taken away
	return true, nil
}

// patched is a pod document with the webhook's patch applied.
func (s *Settings) patched(pod map[string]any, namespace string, native bool) (map[string]any, error) {
	raw, err := json.Marshal(pod)
	if err != nil {
		return nil, fmt.Errorf("is no Kubernetes manifest: %w", err)
	}
	ops, _, problems := s.inject(raw, namespace, native)
	if len(problems) > 0 {
		return nil, errors.New(refusal(problems))
	}
	steps, err := json.Marshal(ops)
	if err != nil {
		return nil, err
	}
	p, err := jsonpatch.DecodePatch(steps)
	if err != nil {
		return nil, err
	}
	if raw, err = p.Apply(raw); err != nil {
		return nil, fmt.Errorf("applying the patch: %w", err)
	}
	out := make(map[string]any)
	return out, yaml.Unmarshal(raw, &out) // JSON is YAML, whose whole numbers stay whole
}
