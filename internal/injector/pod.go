package injector

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// pod is what the injector looks at of a pod. The rest stays as it is: the
// answer is a patch, so that fields of newer Kubernetes versions survive.
type pod struct {
	Metadata struct {
		Name         string            `json:"name"`
		GenerateName string            `json:"generateName"`
		Namespace    string            `json:"namespace"`
		Labels       map[string]string `json:"labels"`
		Annotations  map[string]string `json:"annotations"`
	} `json:"metadata"`
	Spec struct {
		Containers          []container `json:"containers"`
		InitContainers      []container `json:"initContainers"`
		EphemeralContainers []container `json:"ephemeralContainers"`
		Volumes             []named     `json:"volumes"`
		ImagePullSecrets    []named     `json:"imagePullSecrets"`
		OS                  struct {
			Name string `json:"name"`
		} `json:"os"`
		ServiceAccountName            string `json:"serviceAccountName"`
		ServiceAccount                string `json:"serviceAccount"`
		RestartPolicy                 string `json:"restartPolicy"`
		ShareProcessNamespace         bool   `json:"shareProcessNamespace"`
		HostPID                       bool   `json:"hostPID"`
		HostNetwork                   bool   `json:"hostNetwork"`
		TerminationGracePeriodSeconds *int64 `json:"terminationGracePeriodSeconds"`
		SecurityContext               struct {
			AppArmorProfile struct {
				Type string `json:"type"`
			} `json:"appArmorProfile"`
		} `json:"securityContext"`
	} `json:"spec"`
}

type named struct {
	Name string `json:"name"`
}

func hasName(list []named, name string) bool {
	return slices.ContainsFunc(list, func(v named) bool { return v.Name == name })
}

type container struct {
	Name                string `json:"name"`
	TargetContainerName string `json:"targetContainerName"` // ephemeral ones only
	Ports               []struct {
		ContainerPort int `json:"containerPort"`
	} `json:"ports"`
	Env          []named `json:"env"`
	VolumeMounts []mount `json:"volumeMounts"`
	// Of the sidecar that is there already only.
	ImagePullPolicy string    `json:"imagePullPolicy"`
	Resources       resources `json:"resources"`
}

type resources struct {
	Requests map[string]any `json:"requests"`
	Limits   map[string]any `json:"limits"`
}

type mount struct {
	Name      string `json:"name"`
	MountPath string `json:"mountPath"`
}

// Bounds on pods. No node runs one that is near them, and what lies below is
// quick to look at.
const (
	// maxTokens is of names, values and brackets. In memory a container of {} takes
	// 35 times its text, so that the length of the text says little.
	maxTokens     = 1 << 18
	maxContainers = 512
)

// readPod reads a pod as an API server does: letter case counts, and no name
// may stand twice. To encoding/json Containers would be containers. The error
// is for the user.
func readPod(raw []byte) (*pod, error) {
	d := jsontext.NewDecoder(bytes.NewBuffer(raw), jsontext.AllowDuplicateNames(true))
	n := 0
	for ; n <= maxTokens; n++ {
		if _, err := d.ReadToken(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("the pod is not valid: %w", err)
		}
	}
	p := &pod{}
	if n <= maxTokens {
		if err := json.Unmarshal(raw, p); err != nil {
			return nil, fmt.Errorf("the pod is not valid: %w", err)
		}
	}
	if count := len(p.Spec.Containers) + len(p.Spec.InitContainers) + len(p.Spec.EphemeralContainers); n > maxTokens || count > maxContainers {
		return nil, fmt.Errorf("the pod is too large: wxproxy takes at most %d containers and %d names, values and brackets of JSON; make it smaller", maxContainers, maxTokens)
	}
	return p, nil
}

// account is the pod's service account. Manifests may still have it under its
// old name.
func (p *pod) account() string {
	return cmp.Or(p.Spec.ServiceAccountName, p.Spec.ServiceAccount, "default")
}

// maxGrace is a year, in seconds. Kubernetes takes more than Go has durations.
const maxGrace = 365 * 24 * 60 * 60

// grace is how long Kubernetes gives the pod to end, in seconds.
func (p *pod) grace() int64 {
	if g := p.Spec.TerminationGracePeriodSeconds; g != nil {
		return min(max(*g, 0), maxGrace)
	}
	return 30
}

// runsOnce: a pod of a job, which has to end by itself.
func (p *pod) runsOnce() bool {
	return p.Spec.RestartPolicy == "Never" || p.Spec.RestartPolicy == "OnFailure"
}

func index(list []container, name string) int {
	return slices.IndexFunc(list, func(c container) bool { return c.Name == name })
}

// sidecar is the container that an earlier run put there, nil if none did.
func (p *pod) sidecar() *container {
	for _, list := range [][]container{p.Spec.Containers, p.Spec.InitContainers} {
		if i := index(list, containerName); i >= 0 {
			return &list[i]
		}
	}
	return nil
}

func (p *pod) hasVolume(name string) int {
	for i, v := range p.Spec.Volumes {
		if v.Name == name {
			return i
		}
	}
	return -1
}

// isOurs: volume names of this prefix are the sidecar's.
func isOurs(volume string) bool { return strings.HasPrefix(volume, volumePrefix) }
