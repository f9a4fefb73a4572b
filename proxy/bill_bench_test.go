package proxy_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"testing"
	"time"
)

// BenchmarkBill downloads a bill of 100 MB whose hash is checked on the way, and
// prints all the memory that was allocated for it, by WeChat Pay's server and
// the app's client too, released or not: what is held at one time is less. Beside
// it, in turns, the same download without a promise, so that the ratio is what
// the check costs in time.
func BenchmarkBill(b *testing.B) {
	const size = 100_000_000
	line := []byte("`2026-01-01 00:00:00,`wxsimulated,`1900000001,`4200020260101,`ORDER1,`NATIVE,`SUCCESS,`1.00,`0.00000\r\n")
	text := bytes.Repeat(line, size/len(line)+1)[:size]
	for _, form := range []struct {
		name string
		file []byte
	}{{"plain", text}, {"GZIP", zip(b, text)}, {"GZIP that is as large", zip(b, noise(size))}} {
		b.Run(form.name, func(b *testing.B) {
			sum := sha1Hex(text)
			if form.name == "GZIP that is as large" {
				sum = sha1Hex(noise(size))
			}
			w := newBilling(b, fmt.Sprintf(`{"hash_type":"SHA1","hash_value":%q,"download_url":"{base}/v3/billdownload/file?token=a"}`, sum),
				func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(form.file) })
			r := newRig(b, w.wechat)
			link := r.front.URL + targetOf(b, linkOf(b, r.do("GET", tradeBill, "")))
			bare := r.front.URL + "/v3/billdownload/file?token=a"
			buf := make([]byte, 32<<10)
			fetch := func(url string) (time.Duration, uint64) {
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				start := time.Now()
				answer, err := r.front.Client().Get(url)
				if err != nil {
					b.Fatal(err)
				}
				n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, answer.Body, buf)
				_ = answer.Body.Close()
				if err != nil || n != int64(len(form.file)) {
					b.Fatalf("%d bytes, %v", n, err)
				}
				took := time.Since(start)
				runtime.ReadMemStats(&after)
				return took, after.TotalAlloc - before.TotalAlloc
			}
			fetch(link)
			var checked, unchecked time.Duration
			var allocated uint64
			for b.Loop() {
				t, n := fetch(link)
				checked, allocated = checked+t, allocated+n
				t, _ = fetch(bare)
				unchecked += t
			}
			b.ReportMetric(float64(allocated)/float64(b.N)/(1<<20), "MiB-allocated/bill")
			b.ReportMetric(float64(len(form.file))*float64(b.N)/checked.Seconds()/1e6, "MB/s")
			b.ReportMetric(float64(checked)/float64(unchecked), "time-ratio-checked/unchecked")
		})
	}
}
