package injector

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"go.yaml.in/yaml/v3"
)

// Target says whose pods a manifest's are where it does not say so itself.
type Target struct {
	Namespace string // for manifests without one
	Native    bool   // as Options.Native
}

// Result is what Manifest did.
type Result struct {
	Injected int      // pods and pod templates
	Warnings []string // objects that seem to ask for a sidecar and did not get one
}

// templates is where the kinds of workloads keep their pod.
var templates = map[string][]string{
	"Pod":                   nil,
	"Deployment":            {"spec", "template"},
	"StatefulSet":           {"spec", "template"},
	"DaemonSet":             {"spec", "template"},
	"ReplicaSet":            {"spec", "template"},
	"ReplicationController": {"spec", "template"},
	"Job":                   {"spec", "template"},
	"CronJob":               {"spec", "jobTemplate", "spec", "template"},
}

// Manifest injects the pods of a YAML or JSON stream, as the webhook would,
// and writes the stream. Only pods labelled wxproxy.dev/inject: "true" are
// changed, also inside lists; documents without any pass byte by byte, the
// others are written anew. Nothing is written unless all of it can be. It is
// for clusters without the webhook, and for seeing what the webhook does.
func (s *Settings) Manifest(in io.Reader, out io.Writer, t Target) (Result, error) {
	stream, err := io.ReadAll(in)
	if err != nil {
		return Result{}, err
	}
	m := &manifest{settings: s, target: t}
	var b bytes.Buffer
	for i, text := range split(stream) {
		m.document = i + 1
		if text, err = m.patch(text); err != nil {
			return Result{}, fmt.Errorf("document %d: %w", m.document, err)
		}
		b.Write(text)
	}
	_, err = b.WriteTo(out)
	return m.result, err
}

// manifest is a stream that is being injected.
type manifest struct {
	settings *Settings
	target   Target
	document int // that is looked at, from 1
	result   Result
}

// patch is one document with its pods injected: the same bytes if it has none.
func (m *manifest) patch(text []byte) ([]byte, error) {
	doc, err := read(text)
	if err != nil {
		return nil, err
	}
	before := m.result.Injected
	if err := m.inject(object(doc), "", m.target.Namespace); err != nil {
		return nil, err
	}
	if m.result.Injected == before {
		return text, nil
	}
	var b bytes.Buffer
	if m.document > 1 {
		b.WriteString("---\n")
	}
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(doc); err != nil {
		return nil, err
	}
	return b.Bytes(), e.Close()
}

// inject injects the pod of an object, or those of a list. kind is that of
// list items which do not say theirs.
func (m *manifest) inject(o map[string]any, kind, namespace string) error {
	if k := text(o["kind"]); k != "" {
		kind = k
	}
	meta := object(o["metadata"])
	if n := text(meta["namespace"]); n != "" {
		namespace = n
	}
	if of, ok := strings.CutSuffix(kind, "List"); ok {
		for i, item := range array(o["items"]) {
			if err := m.inject(object(item), of, namespace); err != nil {
				return fmt.Errorf("items[%d]: %w", i, err)
			}
		}
		return nil
	}
	path, known := templates[kind]
	pod := o
	for _, key := range path {
		pod = object(pod[key])
	}
	label, labelled := object(object(pod["metadata"])["labels"])[injectLabel]
	switch {
	case known && label == "true":
		return m.injectPod(pod, namespace)
	case known && labelled && label != "false":
		return fmt.Errorf(`%s %s: the label %s is %v; write "true" or "false", with quotes`, kind, text(meta["name"]), injectLabel, label)
	case known && labelled || kind == "Namespace":
	case asks(o):
		m.result.Warnings = append(m.result.Warnings, fmt.Sprintf("document %d: %s %s got no sidecar: %s is not a label of its pods, or their place in this kind is not known", m.document, kind, text(meta["name"]), injectLabel))
	}
	return nil
}

func (m *manifest) injectPod(pod map[string]any, namespace string) error {
	patched, err := m.settings.patched(pod, namespace, m.target.Native)
	if err != nil {
		return err
	}
	maps.Copy(pod, patched) // nothing is ever taken away
	m.result.Injected++
	return nil
}

// asks: somewhere is our label, or an annotation of its name.
func asks(v any) bool {
	if slices.ContainsFunc(array(v), asks) {
		return true
	}
	for key, value := range object(v) {
		said, ok := object(value)[injectLabel]
		if ok && said != "false" && (key == "labels" || key == "annotations") || asks(value) {
			return true
		}
	}
	return false
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
