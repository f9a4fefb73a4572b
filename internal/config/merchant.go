package config

import (
	"cmp"

	"github.com/wxproxy/wxproxy/internal/secret"
)

// Ref is a reference to a secret or a key file: file:PATH or env:NAME.
type Ref = secret.Ref

// Merchant is one merchant account (商户号), or one brand (品牌), and where its keys are.
type Merchant struct {
	// Alias of the merchant, in headers, metrics and logs. Lower-case letters, digits, - and
	// _, at most 32. Required, unique.
	Name string `yaml:"name"`
	// Merchant number (商户号), 8 to 10 digits. Required unless certificate is given, which
	// contains it.
	MchID string `yaml:"mchid"`
	// Instead of mchid: the number of a brand (品牌ID). The entry then signs calls under /brand/,
	// and nothing else, with the brand's own API certificate (品牌商户API证书), private_key and
	// apiv3_key; platform.public_key is required. Default: none.
	BrandID string `yaml:"brand_id"`
	// Reference to the merchant API certificate (商户API证书, apiclient_cert.pem). The serial
	// number and mchid are read from it. Required unless serial_no is given.
	Certificate Ref `yaml:"certificate" kind:"public"`
	// Serial number of the merchant API certificate (商户API证书序列号) in hexadecimal. Required
	// unless certificate is given; when both are given they must agree.
	SerialNo string `yaml:"serial_no"`
	// Reference to the merchant API private key (商户API私钥, apiclient_key.pem). Required.
	PrivateKey Ref `yaml:"private_key"`
	// Reference to the private key that was in use before, with which answers, notifies and bills
	// still open that WeChat Pay encrypted for the certificate of before; it signs nothing. Needed
	// only where wxproxy is restarted to change the key: a running one keeps the key of before for
	// 48 hours by itself. Not with transit:. Default: none.
	PrivateKeyPrevious Ref `yaml:"private_key_previous"`
	// Reference to the APIv3 key (APIv3密钥), 32 bytes. Required.
	APIv3Key Ref `yaml:"apiv3_key"`
	// Reference to the APIv3 key that was valid before, tried when the current one cannot
	// decrypt. Set it while you change the key. Default: none.
	APIv3KeyPrevious Ref `yaml:"apiv3_key_previous"`
	// Reference to the APIv2 key (APIv2密钥), 32 bytes. Only the HMAC signatures of pay score and
	// coupons need it (docs/local-endpoints.md). Default: none.
	APIv2Key Ref `yaml:"apiv2_key"`
	// Name of one of outbound.upstream_groups, where the merchant's calls go that name no host of
	// WeChat Pay's. Default: outbound.upstreams.
	UpstreamGroup string `yaml:"upstream_group"`
	// How we know that an answer or a notify comes from WeChat Pay.
	Platform Platform `yaml:"platform"`
}

// Platform says which keys of WeChat Pay are trusted. The public key and the
// certificates may both be active: WeChat's switch from one to the other is
// gradual, in both directions.
type Platform struct {
	// Reference to the WeChat Pay public key (微信支付公钥, pub_key.pem). Given together with
	// public_key_id. Default: none.
	PublicKey Ref `yaml:"public_key" kind:"public"`
	// ID of the WeChat Pay public key (微信支付公钥ID), PUB_KEY_ID_…. Default: none.
	PublicKeyID string `yaml:"public_key_id"`
	// Platform certificates (平台证书): auto downloads and rotates them, and quietly stops when
	// WeChat says that the merchant has none; off needs public_key. Default: auto.
	Certificates string `yaml:"certificates" enum:"auto,off"`
	// Where platform certificates are downloaded from. Default: /v3/certificates, and
	// /v3/global/certificates with upstream_group.
	CertificatesPath string `yaml:"certificates_path" enum:"/v3/certificates,/v3/global/certificates,/hk/v3/certificates"`
}

func (m *Merchant) setDefaults() { m.Platform.Certificates = "auto" }

// ID is the number that signatures name: mchid, or brand_id.
func (m *Merchant) ID() string { return cmp.Or(m.MchID, m.BrandID) }

// IsBrand reports whether the entry is a brand.
func (m *Merchant) IsBrand() bool { return m.BrandID != "" }

// Downloads reports whether platform certificates are downloaded: brands have
// none.
func (m *Merchant) Downloads() bool { return m.Platform.Certificates == "auto" && !m.IsBrand() }

// CertificatesPath is where the merchant's platform certificates are.
func (m *Merchant) CertificatesPath() string {
	if m.UpstreamGroup != "" {
		return cmp.Or(m.Platform.CertificatesPath, "/v3/global/certificates")
	}
	return cmp.Or(m.Platform.CertificatesPath, "/v3/certificates")
}
