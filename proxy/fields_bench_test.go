package proxy_test

import (
	"net/http"
	"testing"

	"github.com/wechatpay-apiv3/wechatpay-go/utils"

	"github.com/wxproxy/wxproxy/internal/wire"
	"github.com/wxproxy/wxproxy/proxy"
)

// BenchmarkFields encrypts one value of a request, decrypts one of an answer,
// and looks through an order that has none, in turns with the official SDK's
// functions for the value alone. The ratios are what finding and replacing cost
// on top.
func BenchmarkFields(b *testing.B) {
	o := newRig(b, newWechat(b, nil)).out
	receivers, orders := table(b).Lookup("POST", addReceiver), table(b).Lookup("POST", "/v3/pay/transactions/jsapi")
	paths := table(b).Lookup("GET", complaint).Sensitive.Response
	sealed := sealAlone(b, &keys().merchant.PublicKey, "张三")
	body, plain, answer := []byte(`{"appid":"wxd678efh567hg6787","name":"张三"}`), []byte(order), []byte(`{"payer_phone":"`+sealed+`"}`)
	var encrypt, decrypt, none, sdkEncrypt, sdkDecrypt cost
	for b.Loop() {
		encrypt.add(func() { _, _, _ = o.EncryptFields(receivers, http.Header{}, wire.Target{}, body) })
		sdkEncrypt.add(func() { _, _ = utils.EncryptOAEPWithPublicKey("张三", &keys().platform.PublicKey) })
		decrypt.add(func() { proxy.Reveal(answer, paths, keys().merchant) })
		sdkDecrypt.add(func() { _, _ = utils.DecryptOAEP(sealed, keys().merchant) })
		none.add(func() { _, _, _ = o.EncryptFields(orders, http.Header{}, wire.Target{}, plain) })
	}
	n := float64(b.N)
	b.ReportMetric(float64(encrypt.time.Nanoseconds())/n, "encrypt-ns/value")
	b.ReportMetric(float64(decrypt.time.Nanoseconds())/n, "decrypt-ns/value")
	b.ReportMetric(float64(none.time.Nanoseconds())/n, "no-field-ns/call")
	b.ReportMetric(float64(encrypt.time)/float64(sdkEncrypt.time), "encrypt-ratio")
	b.ReportMetric(float64(decrypt.time)/float64(sdkDecrypt.time), "decrypt-ratio")
}
