// Package injector puts the sidecar into Kubernetes pods: as the admission
// webhook that an API server calls, and offline for a manifest.
//
// It answers with a patch that only adds to what the app's author wrote. What
// pods may ask for is in their annotations; what they get is in the Settings
// of the cluster's operators: keys, Vault, upstreams and images are never the
// pod's to choose. A pod that cannot have a safe, working sidecar is refused,
// with what to change.
package injector

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// Injector answers an API server. Make it with New.
type Injector struct {
	settings atomic.Pointer[Settings]
	native   func() bool
	log      *slog.Logger
	metrics  *Metrics
	gate     *gate
}

// Options makes an Injector.
type Options struct {
	// Settings to begin with; Use replaces them.
	Settings *Settings
	// Native tells whether the cluster runs init containers with restartPolicy Always.
	Native func() bool
	// Log gets one line for each pod. nil: none.
	Log *slog.Logger
	// Metrics may be nil.
	Metrics *Metrics
}

// New makes an Injector.
func New(o Options) (*Injector, error) {
	if o.Settings == nil || o.Native == nil {
		return nil, errors.New("an injector needs settings, and to know the cluster's version")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	i := &Injector{native: o.Native, log: o.Log, metrics: o.Metrics, gate: newGate()}
	i.settings.Store(o.Settings)
	return i, nil
}

// Use takes new settings over, for the pods that come from now on.
func (i *Injector) Use(s *Settings) { i.settings.Store(s) }

// maxUID is longer than any that an API server makes.
const maxUID = 128

// review is the part of an AdmissionReview (admission.k8s.io/v1) that we read.
type review struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Request    *request `json:"request"`
}

type request struct {
	UID  string `json:"uid"`
	Kind struct {
		Group string `json:"group"`
		Kind  string `json:"kind"`
	} `json:"kind"`
	SubResource string          `json:"subResource"`
	Name        string          `json:"name"`
	Namespace   string          `json:"namespace"`
	Operation   string          `json:"operation"`
	DryRun      bool            `json:"dryRun"`
	Object      json.RawMessage `json:"object"`
}

type answer struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Response   response `json:"response"`
}

type response struct {
	UID       string  `json:"uid"`
	Allowed   bool    `json:"allowed"`
	Status    *status `json:"status,omitempty"`
	PatchType string  `json:"patchType,omitempty"`
	Patch     []byte  `json:"patch,omitempty"`
}

type status struct {
	Code    int    `json:"code"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

// ServeHTTP answers one AdmissionReview. It has no side effects, so that a dry
// run is like any other.
func (i *Injector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		http.Error(w, "POST an AdmissionReview", http.StatusMethodNotAllowed)
		return
	}
	var v visit // until the answer is written: it holds memory
	defer v.leave()
	out, err := i.judge(w, r, &v)
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(maxWrite))
	if err != nil {
		i.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(out) //nolint:gosec // JSON, and said to be
}

// judge reads a review and makes its answer. Who does not read that keeps
// nobody from being judged.
func (i *Injector) judge(w http.ResponseWriter, r *http.Request, v *visit) ([]byte, error) {
	body, err := i.gate.receive(w, r, v)
	if err != nil {
		return nil, err
	}
	var turn visit
	defer turn.leave()
	if err := turn.enter(r.Context(), i.gate.working); err != nil {
		return nil, err
	}
	out, err := i.Review(r.Context(), body)
	if err == nil && len(out) > smallReview && !slices.Contains(*v, i.gate.large) {
		err = v.take(i.gate.large) // a small pod can have many containers to patch
	}
	return out, err
}

// fail answers that there is no answer.
func (i *Injector) fail(w http.ResponseWriter, r *http.Request, err error) {
	code, outcome := http.StatusBadRequest, "malformed"
	switch _, large := errors.AsType[*http.MaxBytesError](err); {
	case r.Context().Err() != nil:
		return // nobody waits any more
	case errors.Is(err, errBusy):
		code, outcome = http.StatusTooManyRequests, "busy"
		w.Header().Set("Retry-After", "1") // API servers call again by themselves
	case large:
		code = http.StatusRequestEntityTooLarge
	}
	i.metrics.count(outcome)
	i.log.Warn("admission review", "error", err)
	http.Error(w, err.Error(), code)
}

// Review answers the text of an AdmissionReview. The error is about the review;
// a pod that is refused is an answer. Work stops when ctx ends.
func (i *Injector) Review(ctx context.Context, body []byte) ([]byte, error) {
	var in review
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, errors.New("the body is no JSON of an AdmissionReview")
	}
	if in.Kind != "AdmissionReview" || in.APIVersion != "admission.k8s.io/v1" || in.Request == nil || in.Request.UID == "" || len(in.Request.UID) > maxUID {
		return nil, errors.New("the body is no AdmissionReview of admission.k8s.io/v1 with a request")
	}
	r := in.Request
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	ops, w, problems := i.decide(r)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	message := refusal(problems)
	out := response{UID: r.UID, Allowed: len(problems) == 0}
	outcome := "unchanged"
	if len(problems) > 0 {
		outcome = "refused"
		out.Status = &status{Code: http.StatusForbidden, Reason: "Forbidden", Message: message}
	}
	if len(ops) > 0 {
		patch, err := json.Marshal(ops)
		if err != nil {
			return nil, err
		}
		outcome, out.PatchType, out.Patch = "injected", "JSONPatch", patch
	}
	i.record(r, w, outcome, message)
	return json.Marshal(answer{in.APIVersion, in.Kind, out})
}

// decide looks at new pods, and at ephemeral containers that are added to
// them. Nothing else is asked, and nothing else is changed.
func (i *Injector) decide(r *request) ([]operation, wish, []string) {
	s := i.settings.Load()
	switch {
	case r.Kind.Group != "" || r.Kind.Kind != "Pod":
		return nil, wish{}, []string{"only pods are injected, not " + shown(r.Kind.Kind) + "; correct the webhook's rules"}
	case r.Operation == "CREATE" && r.SubResource == "":
		return s.inject(r.Object, r.Namespace, i.native())
	case r.Operation == "UPDATE" && r.SubResource == "ephemeralcontainers":
		return nil, wish{}, s.inspectEphemeral(r.Object, i.native())
	}
	return nil, wish{}, nil
}

func (i *Injector) record(r *request, w wish, outcome, message string) {
	i.metrics.count(outcome)
	level := slog.LevelInfo
	if message != "" {
		level = slog.LevelWarn
	}
	i.log.Log(context.Background(), level, "pod", "outcome", outcome, "namespace", cut(r.Namespace), "pod", cut(podName(r)),
		"merchants", cut(strings.Join(w.merchants, ",")), "dry_run", r.DryRun, "uid", cut(r.UID), "problems", message)
}

// podName: pods of a Deployment have none yet when they are admitted.
func podName(r *request) string {
	var p struct {
		Metadata struct{ Name, GenerateName string }
	}
	if r.Name == "" {
		_ = json.Unmarshal(r.Object, &p) // what is no pod has no name
	}
	return cmp.Or(r.Name, p.Metadata.Name, p.Metadata.GenerateName)
}

func cut(v string) string {
	if len(v) > 64 {
		return v[:64] + "…"
	}
	return v
}
