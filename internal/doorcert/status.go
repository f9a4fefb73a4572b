package doorcert

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Status is the state of one name's certificate, as operators see it.
type Status struct {
	Name    string
	Expires time.Time // zero without a certificate
	Ready   bool      // false only when callbacks fail, or are about to
	Problem string    // why not, and what to do
	Warning string    // ready, but something wants a look
}

// The end is near when a tenth of the life is left, and at most a day: renewal
// has then failed for a quarter of the life. A name without a certificate is
// ready nevertheless: the authority's challenge may come through whatever asks
// for readiness first.
const (
	nearFraction = 10
	nearest      = 24 * time.Hour
)

// lateFraction of the life left is after the renewal, which begins at a third.
const lateFraction = 4

// Status tells of every name.
func (d *Door) Status() []Status {
	names := d.Names()
	list := make([]Status, 0, len(names))
	for _, name := range names {
		list = append(list, d.status(name))
	}
	return list
}

func (d *Door) status(name string) Status {
	s := Status{Name: name, Ready: true, Warning: d.source.problem(name)}
	leaf := d.source.leaf(name)
	if leaf == nil {
		if s.Warning == "" {
			s.Warning = "no certificate yet: callbacks fail until there is one"
		}
		return s
	}
	s.Expires = leaf.NotAfter
	life, left := leaf.NotAfter.Sub(leaf.NotBefore), leaf.NotAfter.Sub(d.opts.Now())
	ends := leaf.NotAfter.UTC().Format(time.DateTime) + " UTC"
	switch {
	case left <= 0:
		s.Ready, s.Problem = false, "the certificate expired at "+ends+": WeChat Pay refuses it"
	case left < min(life/nearFraction, nearest):
		s.Ready, s.Problem = false, "the certificate ends at "+ends+" and was not renewed"
	case left < life/lateFraction && s.Warning == "":
		s.Warning = fmt.Sprintf("the certificate ends at %s and was not renewed yet", ends)
	}
	if !s.Ready && s.Warning != "" {
		s.Problem, s.Warning = s.Problem+": "+s.Warning, ""
	}
	return s
}

// collector presents a Door to Prometheus.
type collector struct {
	door            *Door
	expiry, problem *prometheus.Desc
}

// Collector presents the certificates to Prometheus.
func (d *Door) Collector() prometheus.Collector {
	label := []string{"name"}
	return &collector{
		door:    d,
		expiry:  prometheus.NewDesc("wxproxy_tls_certificate_expiry_timestamp_seconds", "End of the certificate that the notify port shows; absent while there is none.", label, nil),
		problem: prometheus.NewDesc("wxproxy_tls_certificate_problem", "1 while the last renewal or reload failed, or the end is near, else 0.", label, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(to chan<- *prometheus.Desc) {
	to <- c.expiry
	to <- c.problem
	c.door.refused.Describe(to)
	if counted, ok := c.door.source.(prometheus.Collector); ok {
		counted.Describe(to)
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(to chan<- prometheus.Metric) {
	c.door.refused.Collect(to)
	if counted, ok := c.door.source.(prometheus.Collector); ok {
		counted.Collect(to)
	}
	for _, s := range c.door.Status() {
		problem := 0.0
		if s.Problem != "" || s.Warning != "" {
			problem = 1
		}
		to <- prometheus.MustNewConstMetric(c.problem, prometheus.GaugeValue, problem, s.Name)
		if !s.Expires.IsZero() {
			to <- prometheus.MustNewConstMetric(c.expiry, prometheus.GaugeValue, float64(s.Expires.Unix()), s.Name)
		}
	}
}
