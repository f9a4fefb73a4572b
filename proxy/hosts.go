package proxy

import (
	"errors"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sony/gobreaker/v2"
)

const (
	// downTime is how long a host that failed comes last. Then one call at a
	// time finds out whether it is back.
	downTime = 30 * time.Second
	// downAfter failures in a row; one connection that does not come about is
	// enough.
	downAfter = 5
)

// upstreamHost is one address of WeChat Pay, and whether it works.
type upstreamHost struct {
	base    *url.URL
	breaker *gobreaker.TwoStepCircuitBreaker[struct{}]
	refused atomic.Bool // the last attempt found no connection
}

// errNotItsFault: an attempt says nothing about the host.
var errNotItsFault = errors.New("not the host's fault")

// errHostFails: an answer that a host gives while it is in trouble.
var errHostFails = errors.New("the host fails")

func newUpstreamHost(base *url.URL) *upstreamHost {
	h := &upstreamHost{base: base}
	h.breaker = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Name: base.Host, Timeout: downTime,
		ReadyToTrip: func(n gobreaker.Counts) bool { return n.ConsecutiveFailures >= downAfter || h.refused.Load() },
		IsExcluded:  func(err error) bool { return errors.Is(err, errNotItsFault) },
	})
	return h
}

// down reports whether calls go elsewhere if they can. A host that was down is
// tried first by calls that may be repeated, so that it comes back at nobody's
// cost.
func (h *upstreamHost) down(repeatable bool) bool {
	switch h.breaker.State() {
	case gobreaker.StateClosed:
		return false
	case gobreaker.StateHalfOpen:
		return !repeatable || h.breaker.Counts().Requests > h.breaker.Counts().TotalExclusions // one is under way
	default:
		return true
	}
}

// begin announces an attempt; the func returned tells how it went. A host that
// is down is tried all the same where there is no other.
func (h *upstreamHost) begin() (done func(error)) {
	if done, err := h.breaker.Allow(); err == nil {
		return done
	}
	return func(error) {}
}

// verdict is what an attempt says about the host.
func (h *upstreamHost) verdict(answer *http.Response, err error, connected bool) error {
	switch {
	case err == nil && (answer.StatusCode == http.StatusBadGateway || answer.StatusCode == http.StatusServiceUnavailable || answer.StatusCode == http.StatusGatewayTimeout):
		h.refused.Store(false)
		return errHostFails
	case err == nil:
		h.refused.Store(false)
		return nil
	case errors.Is(err, ErrUnreachable) && !connected:
		h.refused.Store(true)
		return err
	case errors.Is(err, ErrBroken), errors.Is(err, ErrTimeout):
		return err
	default:
		// The key did not sign, the caller went away, or an idle connection was
		// closed that nothing was written to.
		return errNotItsFault
	}
}

// upstreamMetrics are what an Upstream tells Prometheus. Labels are the
// configured hosts and a closed set of outcomes.
type upstreamMetrics struct {
	attempts *prometheus.CounterVec
	open     *prometheus.Desc
}

func newUpstreamMetrics() upstreamMetrics {
	return upstreamMetrics{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wxproxy_upstream_attempts_total",
			Help: "Requests to a host of WeChat Pay by outcome: answered, unreachable, broken, timeout, not_sent (the key did not sign, or the caller went away).",
		}, []string{"upstream", "outcome"}),
		open: prometheus.NewDesc("wxproxy_upstream_breaker_open",
			"1 while a host of WeChat Pay fails and others take its calls, else 0.", []string{"upstream"}, nil),
	}
}

func attemptOutcome(err error) string {
	switch {
	case err == nil:
		return "answered"
	case errors.Is(err, ErrUnreachable):
		return "unreachable"
	case errors.Is(err, ErrBroken):
		return "broken"
	case errors.Is(err, ErrTimeout):
		return "timeout"
	default:
		return "not_sent"
	}
}

var _ prometheus.Collector = (*Upstream)(nil)

// Describe implements prometheus.Collector.
func (u *Upstream) Describe(to chan<- *prometheus.Desc) {
	u.metrics.attempts.Describe(to)
	to <- u.metrics.open
}

// Collect implements prometheus.Collector.
func (u *Upstream) Collect(to chan<- prometheus.Metric) {
	u.metrics.attempts.Collect(to)
	for _, hosts := range u.groups {
		for _, h := range hosts {
			open := 0.0
			if h.breaker.State() != gobreaker.StateClosed {
				open = 1
			}
			to <- prometheus.MustNewConstMetric(u.metrics.open, prometheus.GaugeValue, open, h.base.Host)
		}
	}
}
