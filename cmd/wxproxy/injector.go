package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/wxproxy/wxproxy/internal/config"
	"github.com/wxproxy/wxproxy/internal/injector"
)

const injectorUsage = `wxproxy injector: put the sidecar into Kubernetes pods.

  wxproxy injector --settings FILE …                       the admission webhook
  wxproxy injector patch --settings FILE < pod.yaml        the same offline, for a manifest

The chart charts/wxproxy runs the webhook; docs/kubernetes.md says how. Patch
reads a YAML stream, injects the pods in it that have the label
wxproxy.dev/inject: "true" (of Deployments, Jobs and so on, too), and writes
the stream to standard output.

`

// injectorFlags is the command line of wxproxy injector.
type injectorFlags struct {
	settings string
	native   string

	listen, admin       string
	certificate, key    string
	secret, webhook     string
	names               string
	lifetimes           injector.Lifetimes
	every               time.Duration
	cluster             injector.ClusterOptions
	logFormat, logLevel string

	namespace string // of patch
}

func (f *injectorFlags) define(set *flag.FlagSet, offline bool) {
	set.StringVar(&f.settings, "settings", "/etc/wxproxy/injector.yaml", "settings `file`, the chart's ConfigMap")
	set.StringVar(&f.native, "native", "auto", "native sidecars: auto (by the cluster's version), true or false")
	if offline {
		set.StringVar(&f.namespace, "namespace", "default", "`namespace` of manifests that name none")
		return
	}
	set.StringVar(&f.listen, "listen", ":9443", "`address` of the webhook, HTTPS")
	set.StringVar(&f.admin, "admin", ":9090", "`address` of /healthz, /readyz and /metrics")
	set.StringVar(&f.certificate, "tls-cert", "", "`file` of a certificate that others renew; with --tls-key, instead of --secret")
	set.StringVar(&f.key, "tls-key", "", "`file` of its key")
	set.StringVar(&f.secret, "secret", "", "`namespace/name` of the Secret for a certificate that the injector makes itself")
	set.StringVar(&f.webhook, "webhook", "", "`name` of the MutatingWebhookConfiguration that gets the CA; with --secret")
	set.StringVar(&f.names, "dns-names", "", "`names` of the webhook's Service, with commas; with --secret")
	set.DurationVar(&f.lifetimes.CA, "ca-lifetime", 0, "of the CA that it makes; default 5 years")
	set.DurationVar(&f.lifetimes.Leaf, "certificate-lifetime", 0, "of the certificate that it makes; default 90 days")
	set.DurationVar(&f.lifetimes.Settle, "ca-settle", 0, "between publishing a new CA and signing with it; default 10m")
	set.DurationVar(&f.every, "certificate-check", 0, "between looks at the certificate; default 30s")
	set.StringVar(&f.cluster.URL, "kube-api", "", "`URL` of the Kubernetes API; default: the pod's own")
	set.StringVar(&f.cluster.TokenFile, "kube-token", "", "`file` of the token for it; default: the pod's own")
	set.StringVar(&f.cluster.CAFile, "kube-ca", "", "`file` of its CA; default: the pod's own")
	set.StringVar(&f.logFormat, "log-format", "text", "text or json")
	set.StringVar(&f.logLevel, "log-level", "info", "debug, info, warn or error")
}

func (f *injectorFlags) validate(offline bool) error {
	switch f.native {
	case "auto", "true", "false":
	default:
		return errors.New("--native is auto, true or false")
	}
	if offline {
		return nil
	}
	own := f.secret != "" || f.webhook != "" || f.names != ""
	files := f.certificate != "" || f.key != ""
	switch {
	case own == files:
		return errors.New("give either --tls-cert and --tls-key, or --secret, --webhook and --dns-names")
	case files && (f.certificate == "" || f.key == ""):
		return errors.New("--tls-cert and --tls-key go together")
	case own && (strings.Count(f.secret, "/") != 1 || f.webhook == "" || f.names == ""):
		return errors.New("--secret namespace/name, --webhook and --dns-names go together")
	case f.logFormat != "text" && f.logFormat != "json":
		return errors.New("--log-format is text or json")
	case f.logLevel != "debug" && f.logLevel != "info" && f.logLevel != "warn" && f.logLevel != "error":
		return errors.New("--log-level is debug, info, warn or error")
	}
	return nil
}

// runInjector is the webhook, or its patch offline.
func runInjector(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	offline := false
	if len(args) > 0 && args[0] == "patch" {
		offline, args = true, args[1:]
	}
	f := &injectorFlags{}
	set := newFlagSet("wxproxy injector", injectorUsage, stdout, stderr)
	f.define(set.FlagSet, offline)
	err := set.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return exitFine
	}
	if err == nil && set.NArg() > 0 {
		err = fmt.Errorf("unexpected argument %q", set.Arg(0))
	}
	if err == nil {
		err = f.validate(offline)
	}
	if err != nil {
		fmt.Fprintln(stderr, "wxproxy injector:", err)
		return exitUsage
	}
	settings, err := readSettings(f.settings)
	if err != nil {
		fmt.Fprintf(stderr, "wxproxy injector: %s:\n%v\n", f.settings, err)
		return exitUsage
	}
	if offline {
		return f.patch(settings, stdin, stdout, stderr)
	}
	return f.serve(ctx, settings, stderr)
}

func (f *injectorFlags) patch(s *injector.Settings, stdin io.Reader, stdout, stderr io.Writer) int {
	result, err := s.Manifest(stdin, stdout, injector.Target{Namespace: f.namespace, Native: f.native != "false"})
	if err != nil {
		fmt.Fprintln(stderr, "wxproxy injector patch:", err)
		return exitFailed
	}
	for _, w := range result.Warnings {
		fmt.Fprintln(stderr, "wxproxy injector patch:", w)
	}
	if result.Injected == 0 {
		fmt.Fprintln(stderr, `wxproxy injector patch: no pod has the label wxproxy.dev/inject: "true"; nothing was changed`)
	}
	return exitFine
}

func (f *injectorFlags) serve(ctx context.Context, s *injector.Settings, stderr io.Writer) int {
	log := newLogger(config.Log{Format: f.logFormat, Level: f.logLevel}, stderr)
	w, err := newWebhook(f, s, log)
	if err != nil {
		fmt.Fprintln(stderr, "wxproxy injector:", err)
		return exitUsage
	}
	if err := w.Run(ctx); err != nil {
		log.Error("stopped", "error", err)
		return exitFailed
	}
	log.Info("stopped")
	return exitFine
}

// readSettings also asks the config package about what sidecars would get, so
// that a mistake stops the injector and not every pod.
func readSettings(path string) (*injector.Settings, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return injector.ParseSettings(data, checkSidecarConfig)
}

func checkSidecarConfig(text []byte) error {
	_, err := config.Load("env:WXPROXY_CONFIG", config.Sources{
		Elsewhere: true,
		Env: func(name string) (string, bool) {
			if name == "WXPROXY_CONFIG" {
				return string(text), true
			}
			return "", false
		},
	})
	return err
}
