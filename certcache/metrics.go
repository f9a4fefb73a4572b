package certcache

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// outcome is how a wish for a refresh ended: a closed set, for a label.
type outcome int

const (
	succeeded outcome = iota
	none              // WeChat Pay lists no certificates
	failed            // no answer, or an error
	refused           // an answer that is not believed
	limited           // not tried: the budget was used up
	outcomes
)

func (o outcome) String() string {
	return [...]string{"success", "none", "failed", "refused", "limited"}[o]
}

func outcomeOf(err error) outcome {
	switch {
	case err == nil:
		return succeeded
	case errors.Is(err, ErrNoCertificates):
		return none
	case errors.Is(err, ErrAnswer):
		return refused
	default:
		return failed
	}
}

// Collector presents caches to Prometheus. Register it once for all merchants.
type Collector struct {
	caches                      []*Cache
	expiry, refreshes, lastTime *prometheus.Desc
}

var _ prometheus.Collector = (*Collector)(nil)

// NewCollector presents the caches given.
func NewCollector(caches ...*Cache) *Collector {
	return &Collector{
		caches: caches,
		expiry: prometheus.NewDesc("wxproxy_platform_certificate_expiry_timestamp_seconds",
			"When a trusted platform certificate of WeChat Pay ceases to verify.", []string{"merchant", "serial"}, nil),
		refreshes: prometheus.NewDesc("wxproxy_platform_refresh_total",
			"Refreshes of the platform certificates by outcome: success, none, failed, refused, limited.", []string{"merchant", "outcome"}, nil),
		lastTime: prometheus.NewDesc("wxproxy_platform_last_refresh_timestamp_seconds",
			"When the platform certificates were last downloaded successfully.", []string{"merchant"}, nil),
	}
}

// Describe implements prometheus.Collector.
func (m *Collector) Describe(to chan<- *prometheus.Desc) {
	to <- m.expiry
	to <- m.refreshes
	to <- m.lastTime
}

// Collect implements prometheus.Collector.
func (m *Collector) Collect(to chan<- prometheus.Metric) {
	for _, c := range m.caches {
		s := c.Status()
		for _, k := range s.Keys {
			if k.Source == SourceCertificate {
				to <- prometheus.MustNewConstMetric(m.expiry, prometheus.GaugeValue, float64(k.NotAfter.Unix()), s.Name, k.Serial)
			}
		}
		if s.Mode == ModeOff {
			continue
		}
		for o := range outcomes {
			to <- prometheus.MustNewConstMetric(m.refreshes, prometheus.CounterValue, float64(c.outcomes[o].Load()), s.Name, o.String())
		}
		if !s.LastRefresh.IsZero() {
			to <- prometheus.MustNewConstMetric(m.lastTime, prometheus.GaugeValue, float64(s.LastRefresh.Unix()), s.Name)
		}
	}
}
