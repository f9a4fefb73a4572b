package injector

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts what the injector did. A nil *Metrics counts nothing.
type Metrics struct {
	admissions *prometheus.CounterVec
	expiry     prometheus.Gauge
	failing    *prometheus.GaugeVec
}

// NewMetrics registers the injector's metrics.
func NewMetrics(r prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		admissions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wxproxy_injector_admissions_total", Help: "Admission reviews by outcome: injected, unchanged, refused, malformed, or busy, which API servers repeat.",
		}, []string{"outcome"}),
		expiry: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "wxproxy_injector_certificate_expiry_timestamp_seconds", Help: "When the webhook's own certificate ends; 0 while there is none.",
		}),
		failing: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "wxproxy_injector_failing", Help: "1 while a task of the injector fails: settings (the last good ones serve) or certificate (the last good one serves).",
		}, []string{"task"}),
	}
	for _, c := range []prometheus.Collector{m.admissions, m.expiry, m.failing} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	for _, outcome := range []string{"injected", "unchanged", "refused", "malformed", "busy"} {
		m.admissions.WithLabelValues(outcome)
	}
	return m, nil
}

func (m *Metrics) count(outcome string) {
	if m != nil {
		m.admissions.WithLabelValues(outcome).Inc()
	}
}

// Failing notes whether a task, settings or certificate, fails.
func (m *Metrics) Failing(task string, failing bool) {
	if m == nil {
		return
	}
	value := 0.0
	if failing {
		value = 1
	}
	m.failing.WithLabelValues(task).Set(value)
}

func (m *Metrics) expires(t time.Time) {
	if m != nil {
		m.expiry.Set(float64(t.Unix()))
	}
}
