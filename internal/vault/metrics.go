package vault

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts requests to Vault; a Client presents them as a Collector.
type metrics struct {
	requests *prometheus.CounterVec
	signing  *prometheus.HistogramVec
	up       *prometheus.Desc
	expiry   *prometheus.Desc
	open     *prometheus.Desc
}

func newMetrics() *metrics {
	return &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wxproxy_vault_requests_total", Help: "Requests to Vault by operation and outcome.",
		}, []string{"operation", "outcome"}),
		signing: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "wxproxy_transit_sign_duration_seconds", Help: "Time of one signature in Transit, waiting for a place included.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		}, []string{"outcome"}),
		up:     prometheus.NewDesc("wxproxy_vault_up", "1 while Vault answers and the login holds.", nil, nil),
		expiry: prometheus.NewDesc("wxproxy_vault_token_expiry_timestamp_seconds", "End of the token unless it is renewed; absent when it has none.", nil, nil),
		open:   prometheus.NewDesc("wxproxy_vault_breaker_open", "1 while no signature is asked for, because Vault failed repeatedly; not for what is wrong with one key.", nil, nil),
	}
}

var _ prometheus.Collector = (*Client)(nil)

// Describe implements prometheus.Collector.
func (c *Client) Describe(to chan<- *prometheus.Desc) {
	c.metrics.requests.Describe(to)
	c.metrics.signing.Describe(to)
	to <- c.metrics.up
	to <- c.metrics.expiry
	to <- c.metrics.open
}

// Collect implements prometheus.Collector.
func (c *Client) Collect(to chan<- prometheus.Metric) {
	c.metrics.requests.Collect(to)
	c.metrics.signing.Collect(to)
	s := c.State()
	to <- prometheus.MustNewConstMetric(c.metrics.up, prometheus.GaugeValue, number(s.LoggedIn && s.Problem == ""))
	to <- prometheus.MustNewConstMetric(c.metrics.open, prometheus.GaugeValue, number(s.Breaker == "open"))
	if !s.Expires.IsZero() {
		to <- prometheus.MustNewConstMetric(c.metrics.expiry, prometheus.GaugeValue, float64(s.Expires.Unix()))
	}
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func (m *metrics) request(operation string, err error) {
	m.requests.WithLabelValues(operation, outcomeOf(err)).Inc()
}

func (m *metrics) signed(took time.Duration, err error) {
	m.signing.WithLabelValues(outcomeOf(err)).Observe(took.Seconds())
}

// outcomeOf is the closed set of the label outcome.
func outcomeOf(err error) string {
	for _, row := range []struct {
		err  error
		name string
	}{
		{nil, "success"}, {ErrSealed, "sealed"}, {ErrUnreachable, "unreachable"}, {ErrTimeout, "timeout"},
		{ErrRateLimited, "rate_limited"}, {ErrUnavailable, "unavailable"}, {ErrInternal, "unavailable"}, {ErrDenied, "denied"}, {ErrNotFound, "not_found"},
		{ErrRefused, "refused"}, {ErrMinVersion, "refused"}, {ErrAnswer, "not_vault"}, {ErrBusy, "busy"}, {errGaveUp, "gave_up"}, {context.Canceled, "gave_up"},
	} {
		if errors.Is(err, row.err) {
			return row.name
		}
	}
	return "failed"
}
