package merchant

import "github.com/prometheus/client_golang/prometheus"

// Collector presents merchants' keys to Prometheus. Register it once for all.
type Collector struct {
	merchants                       []*Merchant
	loaded, expiry, failed, failing *prometheus.Desc
}

var _ prometheus.Collector = (*Collector)(nil)

// NewCollector presents the merchants given.
func NewCollector(merchants ...*Merchant) *Collector {
	label := []string{"merchant"}
	return &Collector{
		merchants: merchants,
		loaded: prometheus.NewDesc("wxproxy_merchant_keys_loaded_timestamp_seconds",
			"When the keys in use were first loaded.", label, nil),
		expiry: prometheus.NewDesc("wxproxy_merchant_certificate_expiry_timestamp_seconds",
			"End of the merchant API certificate in use; absent when only serial_no is configured.", label, nil),
		failed: prometheus.NewDesc("wxproxy_merchant_reload_failed",
			"1 while the last reload of the keys failed and those of before serve, else 0.", label, nil),
		failing: prometheus.NewDesc("wxproxy_merchant_signing_failed",
			"1 while the last signature that the key in Vault was asked for failed, else 0; absent for keys that are here.", label, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(to chan<- *prometheus.Desc) {
	to <- c.loaded
	to <- c.expiry
	to <- c.failed
	to <- c.failing
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(to chan<- prometheus.Metric) {
	for _, m := range c.merchants {
		gauge := func(desc *prometheus.Desc, v float64) {
			to <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, v, m.Name())
		}
		gauge(c.failed, number(m.Err() != nil))
		material := m.Current()
		if material == nil {
			continue
		}
		if material.remote != nil {
			_, err := material.Failing()
			gauge(c.failing, number(err != nil))
		}
		gauge(c.loaded, float64(material.LoadedAt.Unix()))
		if end := material.CertificateNotAfter; !end.IsZero() {
			gauge(c.expiry, float64(end.Unix()))
		}
	}
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
