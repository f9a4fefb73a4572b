package merchant

import "github.com/prometheus/client_golang/prometheus"

// Collector presents merchants' own keys to Prometheus: how old they are, when
// the certificate ends, and whether the last reload failed.
type Collector struct {
	merchants []*Merchant

	expiry, loaded, failed *prometheus.Desc
}

var _ prometheus.Collector = (*Collector)(nil)

// NewCollector presents the merchants given. Register it once for all.
func NewCollector(merchants ...*Merchant) *Collector {
	label := []string{"merchant"}
	return &Collector{
		merchants: merchants,
		expiry: prometheus.NewDesc("wxproxy_merchant_certificate_expiry_timestamp_seconds",
			"End of the merchant API certificate; absent when only serial_no is configured.", label, nil),
		loaded: prometheus.NewDesc("wxproxy_merchant_key_loaded_timestamp_seconds",
			"When the keys in use were first loaded.", label, nil),
		failed: prometheus.NewDesc("wxproxy_merchant_reload_failed",
			"1 while the newest key material could not be taken over and the old stays in use.", label, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(to chan<- *prometheus.Desc) {
	to <- c.expiry
	to <- c.loaded
	to <- c.failed
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(to chan<- prometheus.Metric) {
	for _, m := range c.merchants {
		failed := 0.0
		if m.Err() != nil {
			failed = 1
		}
		to <- prometheus.MustNewConstMetric(c.failed, prometheus.GaugeValue, failed, m.Name())
		current := m.Current()
		if current == nil {
			continue
		}
		to <- prometheus.MustNewConstMetric(c.loaded, prometheus.GaugeValue, float64(current.LoadedAt.Unix()), m.Name())
		if !current.CertificateNotAfter.IsZero() {
			to <- prometheus.MustNewConstMetric(c.expiry, prometheus.GaugeValue, float64(current.CertificateNotAfter.Unix()), m.Name())
		}
	}
}
