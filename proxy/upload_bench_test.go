package proxy_test

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wxproxy/wxproxy/proxy"
)

// BenchmarkUploadMemory has 16 uploads of 2 MB in flight at once, stopped in the
// middle: once streamed, once with the file before meta, which must be held. It
// tells for each the memory that is live then and, which bounds the rest, all
// that was allocated from its beginning to its end. App and WeChat Pay are bare
// connections that allocate next to nothing, but what they do is in it.
func BenchmarkUploadMemory(b *testing.B) {
	const size, count = 2 << 20, 16
	long := strings.Repeat("0123456789abcde\n", size/16)
	meta, file := part(metaHead, metaOf(sha256Hex(long))), part(fileHead, long)
	live, total := make(map[string]float64), make(map[string]float64)
	bodies := map[string]string{"streamed": meta + file + end, "held": file + meta + end}
	for b.Loop() {
		for name, body := range bodies {
			l, t := measureUploads(b, body, count)
			live[name] += l
			total[name] += t
		}
	}
	for name := range bodies {
		b.ReportMetric(live[name]/float64(b.N), name+"-live-MiB/upload")
		b.ReportMetric(total[name]/float64(b.N), name+"-allocated-MiB/upload")
	}
	b.ReportMetric(live["streamed"]/live["held"], "live-ratio")
	if per := total["streamed"] / float64(b.N); per > 0.25 {
		b.Errorf("%.3f MiB are allocated for an upload of 2 MB, more than 0.25", per)
	}
}

// measureUploads runs count uploads at once and returns what each holds in its
// middle and allocates in all, in MiB.
func measureUploads(b *testing.B, body string, count int) (live, allocated float64) {
	b.Helper()
	u := newSilentUpstream(b)
	r := newRig(b, nil, func(s *setup) {
		s.bases = []string{u.url()}
		s.Limits = proxy.Limits{Request: 8 << 20, Response: 1 << 20, InFlight: 128 << 20}
	})
	warm := part(metaHead, plainMeta) + end
	head := []byte(formHead(len(body)))
	half := len(body) / 2
	first, last := []byte(body[:half]), []byte(body[half:])
	var ready, middle, done sync.WaitGroup
	ready.Add(count)
	begin, goOn := make(chan struct{}), make(chan struct{})
	for range count {
		conn := dial(b, r.address())
		rd := bufio.NewReaderSize(conn, 4<<10)
		done.Go(func() {
			_, _ = io.WriteString(conn, formHead(len(warm))+warm) // connections and pools are there now
			bareAnswer(b, rd)
			ready.Done()
			<-begin
			_, _ = conn.Write(head)
			_, _ = conn.Write(first)
			middle.Done()
			<-goOn
			_, _ = conn.Write(last)
			bareAnswer(b, rd)
		})
	}
	ready.Wait()
	u.taken.Store(0)
	before := memory()
	middle.Add(count)
	close(begin)
	middle.Wait()
	const slack = 128 << 10 // in the buffers of sockets and parsers
	for tick := time.Tick(time.Millisecond); u.taken.Load()+r.out.HeldBytes() < int64(count*(half-slack)); {
		<-tick
	}
	inMiddle := memory()
	close(goOn)
	done.Wait()
	after := memory()
	perUpload := 1 / float64(count) / (1 << 20)
	return float64(int64(inMiddle.HeapAlloc+inMiddle.StackInuse)-int64(before.HeapAlloc+before.StackInuse)) * perUpload,
		float64(after.TotalAlloc-before.TotalAlloc) * perUpload
}

func memory() (m runtime.MemStats) {
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m
}

// bareAnswer reads an answer and wants it to be a 200.
func bareAnswer(b *testing.B, rd *bufio.Reader) {
	b.Helper()
	line, err := rd.ReadSlice('\n')
	if err != nil || string(line) != "HTTP/1.1 200 OK\r\n" {
		b.Errorf("got %q, %v", line, err)
	}
	if _, err := rd.Discard(headerLength(b, rd)); err != nil {
		b.Error(err)
	}
}

// headerLength reads the rest of a header and returns its Content-Length.
func headerLength(b *testing.B, rd *bufio.Reader) (length int) {
	b.Helper()
	for {
		line, err := rd.ReadSlice('\n')
		if err != nil || len(line) == 2 {
			return length
		}
		if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			for _, c := range bytes.TrimSpace(value) {
				length = 10*length + int(c-'0')
			}
		}
	}
}

// silentUpstream takes requests and answers {}, without allocating for them.
type silentUpstream struct {
	*rawUpstream

	taken atomic.Int64
}

func newSilentUpstream(b *testing.B) *silentUpstream {
	b.Helper()
	u := &silentUpstream{}
	h := make(http.Header)
	stamp(h, keys().platform, platformSerial, time.Now(), []byte("{}"))
	var answer bytes.Buffer
	_ = (&http.Response{StatusCode: 200, ProtoMajor: 1, ProtoMinor: 1, Header: h, ContentLength: 2, Body: io.NopCloser(strings.NewReader("{}"))}).Write(&answer)
	u.rawUpstream = newRawUpstream(b, func(_ *rawUpstream, _ int, conn net.Conn, rd *bufio.Reader) {
		for {
			if _, err := rd.ReadSlice('\n'); err != nil {
				return
			}
			for left := headerLength(b, rd); left > 0; {
				n, err := rd.Discard(min(left, 4<<10))
				u.taken.Add(int64(n))
				if left -= n; err != nil {
					return
				}
			}
			_, _ = conn.Write(answer.Bytes())
		}
	})
	return u
}
