package proxy_test

import (
	"context"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/wechatpay-apiv3/wechatpay-go/core"
	"github.com/wechatpay-apiv3/wechatpay-go/core/auth/verifiers"
	"github.com/wechatpay-apiv3/wechatpay-go/core/option"

	"github.com/wxproxy/wxproxy/proxy"
)

const order = `{"mchid":"1900000001","out_trade_no":"T1","appid":"wxd678efh567hg6787","description":"d","notify_url":"https://example.com","amount":{"total":1},"payer":{"openid":"o"}}`

// BenchmarkCall makes one call after the other against the same upstream on
// loopback: through the outbound face (handler called in-process, so that what
// is compared is what the sidecar itself costs) and by the official SDK in the
// app. Both sign, send and verify. The ratios are wxproxy's share of the SDK's;
// times are of the same run, and the machine's noise is in them.
func BenchmarkCall(b *testing.B) {
	upstream := benchUpstream(b)
	r := newRig(b, nil, func(s *setup) { s.bases = []string{upstream} })
	handler := r.out.Handler(proxy.Listener{})
	ours := func() {
		req := httptest.NewRequest("POST", "/v3/pay/transactions/jsapi", strings.NewReader(order))
		req.Host = "localhost"
		req.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, req)
		if w.Code != 200 || w.Header().Get("Wxproxy-Verified") != "true" {
			b.Fatalf("got %d %s", w.Code, w.Body)
		}
	}
	client := sdk(b)
	theirs := func() {
		result, err := client.Post(context.Background(), upstream+"/v3/pay/transactions/jsapi", []byte(order))
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, result.Response.Body)
		_ = result.Response.Body.Close()
	}
	ours()
	theirs()
	var spent, sdkSpent cost
	for b.Loop() { // in turns, so that both meet the same machine
		spent.add(ours)
		sdkSpent.add(theirs)
	}
	n := float64(b.N)
	b.ReportMetric(float64(spent.time.Nanoseconds())/n, "wxproxy-ns/call")
	b.ReportMetric(float64(sdkSpent.time.Nanoseconds())/n, "sdk-ns/call")
	b.ReportMetric(float64(spent.allocs)/n, "wxproxy-allocs/call")
	b.ReportMetric(float64(sdkSpent.allocs)/n, "sdk-allocs/call")
	b.ReportMetric(float64(spent.time)/float64(sdkSpent.time), "time-ratio")
	b.ReportMetric(float64(spent.allocs)/float64(sdkSpent.allocs), "allocs-ratio")
}

// cost is wall time and allocations, the upstream's own among them.
type cost struct {
	time   time.Duration
	allocs uint64
}

func (c *cost) add(f func()) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	f()
	c.time += time.Since(start)
	runtime.ReadMemStats(&after)
	c.allocs += after.Mallocs - before.Mallocs
}

// benchUpstream answers with a signature made once, so that its own cost is
// small beside what is measured.
func benchUpstream(b *testing.B) string {
	b.Helper()
	const body = `{"prepay_id":"wx26112221580621e9b071c00d9e093b0000"}`
	h := make(http.Header)
	var made time.Time
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if time.Since(made) > time.Minute {
			made = time.Now()
			stamp(h, keys().platform, platformSerial, made, []byte(body))
		}
		maps.Copy(w.Header(), h)
		_, _ = io.WriteString(w, body)
	}))
	b.Cleanup(server.Close)
	return server.URL
}

func sdk(b *testing.B) *core.Client {
	b.Helper()
	transport := &http.Transport{}
	b.Cleanup(transport.CloseIdleConnections)
	client, err := core.NewClient(context.Background(),
		option.WithMerchantCredential(mchID, merchantSerial, keys().merchant),
		option.WithVerifier(verifiers.NewSHA256WithRSAPubkeyVerifier(platformSerial, keys().platform.PublicKey)),
		option.WithHTTPClient(&http.Client{Transport: transport}))
	if err != nil {
		b.Fatal(err)
	}
	return client
}
