package proxy

import (
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts what passes. Labels come from closed sets: aliases, templates
// of the endpoint table, known event types, reasons. A nil *Metrics counts
// nothing.
type Metrics struct {
	requests  *prometheus.CounterVec
	duration  *prometheus.HistogramVec
	repeats   *prometheus.CounterVec
	notifies  *prometheus.CounterVec
	delivery  prometheus.Histogram
	skew      prometheus.Gauge
	delivered prometheus.Gauge
	sensitive *prometheus.CounterVec

	pairs    sync.Map // of merchant and endpoint that have a label of their own
	nPairs   atomic.Int64
	maxPairs int64
}

// maxPairs bounds the labels of many merchants that use many endpoints. Each
// pair has a handful of series, about 2 KB.
const maxPairs = 20_000

// NewMetrics registers the metrics with reg.
func NewMetrics(reg prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		maxPairs: maxPairs,
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wxproxy_outbound_requests_total",
			Help: "Calls of the app by merchant, endpoint template, outcome (verified, unsigned, unverified, local or the reason in Wxproxy-Error) and status.",
		}, []string{"merchant", "endpoint", "outcome", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "wxproxy_outbound_duration_seconds",
			Help:    "Time from the app's request to the end of the answer.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"merchant"}),
		repeats: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wxproxy_outbound_repeats_total",
			Help: "Attempts beyond the first by what made them: a reason in Wxproxy-Error, or the status of WeChat Pay's answer.",
		}, []string{"reason"}),
		notifies: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wxproxy_notify_requests_total",
			Help: "Notifies by merchant, event type and outcome; signtest_probe counts WeChat Pay's signature probes.",
		}, []string{"merchant", "event", "outcome"}),
		delivery: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "wxproxy_notify_delivery_duration_seconds",
			Help:    "Time the app took to answer a notify.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}),
		skew: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "wxproxy_clock_skew_seconds",
			Help: "WeChat Pay's clock minus ours, from the Date header of the last answer; 300 breaks every signature.",
		}),
		delivered: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "wxproxy_notify_in_flight",
			Help: "Notifies that the app has not answered yet.",
		}),
		sensitive: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wxproxy_sensitive_fields_total",
			Help: "Sensitive values by merchant, where they stood (request, answer or notify) and outcome (encrypted, decrypted, failed, or no_key where the private key cannot decrypt).",
		}, []string{"merchant", "in", "outcome"}),
	}
	for _, c := range []prometheus.Collector{m.requests, m.duration, m.repeats, m.notifies, m.delivery, m.skew, m.delivered, m.sensitive} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *Metrics) outbound(merchant, endpoint, outcome string, status int, took time.Duration) {
	if m == nil {
		return
	}
	m.requests.WithLabelValues(merchant, m.endpoint(merchant, endpoint), outcome, strconv.Itoa(status)).Inc()
	m.duration.WithLabelValues(merchant).Observe(took.Seconds())
}

// endpoint is the endpoint's label, or "other" once too many pairs have one.
func (m *Metrics) endpoint(merchant, endpoint string) string {
	pair := [2]string{merchant, endpoint}
	if _, known := m.pairs.Load(pair); known {
		return endpoint
	}
	if m.nPairs.Add(1) > m.maxPairs {
		m.nPairs.Add(-1)
		return "other"
	}
	if _, raced := m.pairs.LoadOrStore(pair, struct{}{}); raced {
		m.nPairs.Add(-1)
	}
	return endpoint
}

func (m *Metrics) repeat(reason string) {
	if m != nil {
		m.repeats.WithLabelValues(reason).Inc()
	}
}

func (m *Metrics) notify(merchant, event, outcome string) {
	if m != nil {
		m.notifies.WithLabelValues(merchant, event, outcome).Inc()
	}
}

// Labels of the metric of sensitive fields.
const (
	fieldsOfRequest = "request"
	fieldsOfAnswer  = "answer"
	fieldsOfNotify  = "notify"

	fieldsEncrypted = "encrypted"
	fieldsDecrypted = "decrypted"
	fieldsFailed    = "failed"
	fieldsNoKey     = "no_key"
)

func (m *Metrics) fields(merchant, in, outcome string, n int) {
	if m != nil && n > 0 {
		m.sensitive.WithLabelValues(merchant, in, outcome).Add(float64(n))
	}
}

func (m *Metrics) inFlight(change float64) {
	if m != nil {
		m.delivered.Add(change)
	}
}

func (m *Metrics) app(took time.Duration) {
	if m != nil {
		m.delivery.Observe(took.Seconds())
	}
}

// clockSkew notes how far WeChat Pay's clock is from ours. Date has whole
// seconds, so a second either way means nothing.
func (m *Metrics) clockSkew(date string, now time.Time) {
	if t, err := http.ParseTime(date); m != nil && err == nil {
		m.skew.Set(t.Sub(now).Round(time.Second).Seconds())
	}
}
