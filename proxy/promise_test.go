package proxy_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"

	"github.com/wxproxy/wxproxy/proxy"
)

func sha1Hex(b []byte) string {
	sum := sha1.Sum(b)
	return hex.EncodeToString(sum[:])
}

func zip(t testing.TB, parts ...[]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, part := range parts {
		z := gzip.NewWriter(&b)
		if _, err := z.Write(part); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

// noise does not compress, so that a GZIP file is as large as what it holds.
func noise(size int) []byte {
	b := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	b[0] = '`'
	return b
}

// fileCase is a file as WeChat Pay sends it, and what was promised of it.
type fileCase struct {
	sent  []byte
	sum   string
	whole bool // it keeps the promise
}

func fileCases(t testing.TB, size int) map[string]fileCase {
	t.Helper()
	plain := noise(size)
	sum, zipped := sha1Hex(plain), zip(t, plain)
	changed := func(b []byte, i int) []byte {
		c := bytes.Clone(b)
		c[(i+len(c))%len(c)] ^= 1
		return c
	}
	return map[string]fileCase{
		"plain":                       {plain, sum, true},
		"plain, first byte":           {changed(plain, 0), sum, false},
		"plain, middle":               {changed(plain, size/2), sum, false},
		"plain, last byte":            {changed(plain, -1), sum, false},
		"plain, a byte less":          {plain[:size-1], sum, false},
		"plain, half":                 {plain[:size/2], sum, false},
		"plain, nothing":              {nil, sum, false},
		"plain, a byte more":          {append(bytes.Clone(plain), '\n'), sum, false},
		"another file":                {noise(size + 1)[1:], sum, false},
		"GZIP":                        {zipped, sum, true},
		"GZIP, its own hash":          {zipped, sha1Hex(zipped), true},
		"GZIP, two members":           {zip(t, plain[:size/3], plain[size/3:]), sum, true},
		"GZIP, magic":                 {changed(zipped, 1), sum, false},
		"GZIP, middle":                {changed(zipped, len(zipped)/2), sum, false},
		"GZIP, checksum":              {changed(zipped, -8), sum, false},
		"GZIP, last byte":             {changed(zipped, -1), sum, false},
		"GZIP, a byte less":           {zipped[:len(zipped)-1], sum, false},
		"GZIP, half":                  {zipped[:len(zipped)/2], sum, false},
		"GZIP, header alone":          {zipped[:10], sum, false},
		"GZIP, one byte":              {zipped[:1], sum, false},
		"GZIP, garbage behind":        {append(bytes.Clone(zipped), "garbage"...), sum, false},
		"GZIP, zeros behind":          {append(bytes.Clone(zipped), 0, 0, 0), sum, false},
		"GZIP, a member too many":     {zip(t, plain, []byte("x")), sum, false},
		"GZIP of GZIP":                {zip(t, zipped), sum, false},
		"GZIP of another":             {zip(t, changed(plain, 1)), sum, false},
		"begins as GZIP, but is not":  {append([]byte{0x1f}, plain...), sha1Hex(append([]byte{0x1f}, plain...)), true},
		"begins as GZIP, another sum": {append([]byte{0x1f}, plain...), sum, false},
	}
}

// A file reaches the app whole exactly if it keeps the promise of the signed
// answer. A small one that does not is refused; of a large one less than all
// comes, and its end is an error, whatever told its length.
func TestPromise(t *testing.T) {
	t.Parallel()
	for _, size := range []int{500, proxy.HeldBack, proxy.HeldBack + 1, 300_000} {
		for name, file := range fileCases(t, size) {
			for _, chunked := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, %d bytes, chunked %v", name, size, chunked), func(t *testing.T) {
					t.Parallel()
					b := newBilling(t, `{"hash_type":"SHA1","hash_value":"`+file.sum+`","download_url":"{base}/v3/billdownload/file?token=a"}`,
						func(w http.ResponseWriter, _ *http.Request) {
							if !chunked {
								w.Header().Set("Content-Length", strconv.Itoa(len(file.sent)))
							} else {
								_ = http.NewResponseController(w).Flush()
							}
							_, _ = w.Write(file.sent)
						})
					r := newRig(t, b.wechat)
					g := r.do("GET", targetOf(t, linkOf(t, r.do("GET", tradeBill, ""))), "")
					file.judge(t, g)
				})
			}
		}
	}
}

func (f fileCase) judge(t *testing.T, g got) {
	t.Helper()
	switch {
	case f.whole:
		if g.passed(t, 200, "unsigned"); g.err != nil || g.body != string(f.sent) || g.header.Get("Wxproxy-Checked") != "sha1" {
			t.Errorf("%d of %d bytes, %v, %v", len(g.body), len(f.sent), g.err, g.header)
		}
	case g.status == 200:
		if g.err == nil {
			t.Errorf("%d bytes passed for the whole", len(g.body))
		}
		if len(g.body) > len(f.sent)-proxy.HeldBack || !strings.HasPrefix(string(f.sent), g.body) {
			t.Errorf("%d of %d bytes came out", len(g.body), len(f.sent))
		}
	default:
		g.refused(t, 502, proxy.ReasonDownload)
	}
}

// An app that speaks HTTP/1.0 and was told no length takes the end of the
// connection for the end of the file: it must see a reset.
func TestBrokenPromiseOverHTTP10(t *testing.T) {
	t.Parallel()
	plain := noise(300_000)
	b := newBilling(t, `{"hash_type":"SHA1","hash_value":"`+helloSHA1+`","download_url":"{base}/v3/billdownload/file?token=a"}`,
		func(w http.ResponseWriter, _ *http.Request) {
			_ = http.NewResponseController(w).Flush()
			_, _ = w.Write(plain)
		})
	r := newRig(t, b.wechat)
	target := targetOf(t, linkOf(t, r.do("GET", tradeBill, "")))
	conn := dial(t, r.address())
	if _, err := io.WriteString(conn, "GET "+target+" HTTP/1.0\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(conn); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%d bytes, then %v", len(text), err)
	}
}

// The same over a Unix socket, where HTTP/1.1 tells the end.
func TestBrokenPromiseOverUnixSocket(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "wx")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	b := newBilling(t, `{"hash_type":"SHA1","hash_value":"`+helloSHA1+`","download_url":"{base}/v3/billdownload/file?token=a"}`, content(string(noise(300_000))))
	r := newRig(t, b.wechat)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: r.out.Handler(proxy.Listener{Unix: true})}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", l.Addr().String())
	}}
	t.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport}
	answer, err := client.Get("http://any.name" + tradeBill)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(answer.Body)
	_ = answer.Body.Close()
	file, err := client.Get(linkOf(t, got{body: string(body)}))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Body.Close() }()
	if text, err := io.ReadAll(file.Body); err == nil {
		t.Errorf("%d bytes passed for the whole", len(text))
	}
}

// A part of a file cannot keep the promise, so the app gets all of it.
func TestPromiseNeedsTheWholeFile(t *testing.T) {
	t.Parallel()
	b := newBilling(t, `{"hash_type":"SHA1","hash_value":"`+helloSHA1+`","download_url":"{base}/v3/billdownload/file?token=a"}`, content("hello"))
	r := newRig(t, b.wechat)
	target := targetOf(t, linkOf(t, r.do("GET", tradeBill, "")))
	r.do("GET", target, "", "Range", "bytes=0-1", "If-None-Match", `"x"`).passed(t, 200, "unsigned")
	r.do("GET", "/v3/billdownload/file?token=a", "", "Range", "bytes=0-1").passed(t, 200, "unsigned")
	seen := b.seen()
	if h := seen[1].Header; h.Get("Range") != "" || h.Get("If-None-Match") != "" {
		t.Errorf("sent %v", h)
	}
	if seen[2].Header.Get("Range") == "" {
		t.Error("the Range of a download without promise was dropped")
	}
}

// What refuses the download is told as it came.
func TestRefusedDownload(t *testing.T) {
	t.Parallel()
	const text = `{"code":"NO_AUTH","message":"商户无权限"}`
	b := newBilling(t, `{"hash_type":"SHA1","hash_value":"`+helloSHA1+`","download_url":"{base}/v3/billdownload/file?token=a"}`,
		answer{bare: true, status: 403, body: text}.serve)
	r := newRig(t, b.wechat)
	g := r.do("GET", targetOf(t, linkOf(t, r.do("GET", tradeBill, ""))), "")
	if g.passed(t, 403, "false"); g.body != text || g.header.Get("Wxproxy-Checked") != "" {
		t.Errorf("got %s %v", g.body, g.header)
	}
}

// Whatever pieces a file comes in, what comes out is its beginning, and all of
// it exactly if the hash agrees.
func FuzzPromise(f *testing.F) {
	f.Add([]byte("hello"), []byte{1}, uint8(0))
	f.Add([]byte("hello"), []byte{2, 3}, uint8(1))
	f.Add(zip(f, []byte("hello"), []byte("more")), []byte{7}, uint8(2))
	f.Add(zip(f, noise(80_000)), []byte{255, 1}, uint8(2))
	f.Add(noise(80_000), []byte{200}, uint8(0))
	f.Add([]byte{0x1f, 0x8b}, []byte{1}, uint8(2))
	f.Fuzz(func(t *testing.T, file, sizes []byte, promised uint8) {
		kind, sum, whole := "sha1", sha1Hex(file), true
		switch promised % 4 {
		case 1:
			sum = helloSHA1
			whole = sum == sha1Hex(file) || inside(file) == sum
		case 2:
			if sum = inside(file); sum == "" {
				sum, whole = helloSHA1, sha1Hex(file) == helloSHA1
			}
		case 3:
			raw := sha256.Sum256(file)
			kind, sum = "sha256", hex.EncodeToString(raw[:])
		}
		r, end := proxy.Checked(&pieces{file, bytes.Clone(sizes)}, kind, sum)
		defer end()
		if len(file) < 10_000 {
			r = iotest.OneByteReader(r)
		}
		out, err := io.ReadAll(r)
		if !bytes.HasPrefix(file, out) {
			t.Fatal("what came out is not the file's beginning")
		}
		if whole != (err == nil) || (whole && len(out) != len(file)) || (!whole && len(out) > max(0, len(file)-proxy.HeldBack)) {
			t.Errorf("%d of %d bytes, %v, want whole %v", len(out), len(file), err, whole)
		}
	})
}

// inside is the hash of what a GZIP file holds, empty if it is none.
func inside(file []byte) string {
	z, err := gzip.NewReader(bytes.NewReader(file))
	if err != nil {
		return ""
	}
	text, err := io.ReadAll(io.LimitReader(z, 64<<20))
	if err != nil {
		return ""
	}
	return sha1Hex(text)
}

// pieces hands a text out in pieces of the given sizes, in turns.
type pieces struct {
	rest  []byte
	sizes []byte
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		return 0, io.EOF
	}
	size := len(p.rest)
	if len(p.sizes) > 0 {
		size = min(size, 1+int(p.sizes[0])*97)
		p.sizes = append(p.sizes[1:], p.sizes[0])
	}
	n := copy(b, p.rest[:size])
	p.rest = p.rest[n:]
	return n, nil
}
