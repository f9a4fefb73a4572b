package proxy_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"

	"github.com/wxproxy/wxproxy/internal/endpoint"
	"github.com/wxproxy/wxproxy/proxy"
)

const (
	boundary = "--------7da3c1"
	metaHead = "Content-Disposition: form-data; name=\"meta\"\r\nContent-Type: application/json"
	fileHead = "Content-Disposition: form-data; name=\"file\"; filename=\"a.jpg\"\r\nContent-Type: image/jpeg"
	end      = "--" + boundary + "--\r\n"
	file     = "\xff\xd8\x00\r\n--not-the-boundary\r\n\xff\n--" + boundary + "x"
	formType = "multipart/form-data; boundary=" + boundary
	uploadTo = "/v3/merchant/media/upload"
)

func part(headers, text string) string {
	return "--" + boundary + "\r\n" + headers + "\r\n\r\n" + text + "\r\n"
}

func sha256Hex(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// metaOf is a meta text with the spelling of an app of its own.
func metaOf(digest string) string {
	return "{ \"filename\": \"a.jpg\",\r\n \"sha256\": \"" + digest + "\" }"
}

var (
	metaText  = metaOf(sha256Hex(file))
	plainMeta = "{\"filename\":\"a.jpg\"}"
)

// fileSM3 is the SM3 digest of file, by openssl dgst -sm3.
const fileSM3 = "9f77456bc1a35db0512d1284794e33e16bc0555f60164b79a8024b4c669bbf87"

// post sends a form, with or without telling its length.
func (r *rig) post(body string, chunked bool, headers ...string) got {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), "POST", r.front.URL+uploadTo, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", formType)
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	if chunked {
		req.ContentLength = -1
	}
	return r.send(req)
}

// goodForms are uploads and the text that is signed of each.
func goodForms() map[string]struct{ body, meta string } {
	long := strings.Repeat(file, 4000)
	longMeta := metaOf(sha256Hex(long))
	named := func(name string) string { return strings.Replace(fileHead, "a.jpg", name, 1) }
	return map[string]struct{ body, meta string }{
		"meta first":        {part(metaHead, metaText) + part(fileHead, file) + end, metaText},
		"file first":        {part(fileHead, file) + part(metaHead, metaText) + end, metaText},
		"long":              {part(metaHead, longMeta) + part(fileHead, long) + end, longMeta},
		"long, file first":  {part(fileHead, long) + part(metaHead, longMeta) + end, longMeta},
		"upper-case digest": {part(metaHead, strings.ToUpper(metaText)) + part(fileHead, file) + end, strings.ToUpper(metaText)},
		"nothing promised":  {part(metaHead, plainMeta) + part(fileHead, file) + end, plainMeta},
		"meta alone":        {part(metaHead, plainMeta) + end, plainMeta},
		"meta not JSON":     {part(metaHead, "sha256") + part(fileHead, file) + end, "sha256"},
		"preamble":          {"hello\r\n" + part(metaHead, metaText) + part(fileHead, file) + end + "epilogue", metaText},
		"long epilogue":     {part(metaHead, metaText) + part(fileHead, file) + end + long, metaText},
		"no last newline":   {part(metaHead, metaText) + part(fileHead, file) + strings.TrimSuffix(end, "\r\n"), metaText},
		"spaces at the end": {part(metaHead, metaText) + part(fileHead, file) + strings.TrimSuffix(end, "\r\n") + " \t", metaText},
		"bare, no last one": {strings.ReplaceAll(part(metaHead, plainMeta)+part(fileHead, "x")+strings.TrimSuffix(end, "\r\n"), "\r\n", "\n"), plainMeta},
		"bare newlines":     {strings.ReplaceAll(part(metaHead, plainMeta)+part(fileHead, "x")+end, "\r\n", "\n"), plainMeta},
		"empty meta":        {part(metaHead, "") + end, ""},
		"empty file":        {part(metaHead, metaOf(sha256Hex(""))) + part(fileHead, "") + end, metaOf(sha256Hex(""))},
		"more fields":       {part(strings.Replace(metaHead, "meta", "note", 1), "x") + part(metaHead, metaText) + part(fileHead, file) + part(strings.Replace(metaHead, "meta", "more", 1), "y") + end, metaText},
		"quoted-printable":  {part(metaHead+"\r\nContent-Transfer-Encoding: quoted-printable", "=7B=7D") + end, "=7B=7D"},
		"meta as filename":  {part(metaHead, metaText) + part(named("meta"), file) + end, metaText},
		"Chinese filename":  {part(metaHead, metaText) + part(named("图片.jpg"), file) + end, metaText},
		"other part name":   {part(metaHead, metaText) + part(strings.Replace(fileHead, `"file"`, `"submission_file"`, 1), file) + end, metaText},
		"meta as a file":    {part(strings.Replace(metaHead, `"meta"`, `"meta"; filename="meta.json"`, 1), metaText) + part(fileHead, file) + end, metaText},
		"file like meta":    {part(metaHead, plainMeta) + part(fileHead, plainMeta) + end, plainMeta},
		"SM3, taxi":         sm3Form(`{"digest":"` + fileSM3 + `","digest_algorithm":"DIGEST_ALGORITHM_SM3"}`),
		"SM3, fapiao":       sm3Form(`{"file_type":"PDF","digest_alogrithm":"SM3","digest":"` + fileSM3 + `"}`),
		"unknown algorithm": sm3Form(`{"digest_algorithm":"CRC","digest":"1"}`),
	}
}

func sm3Form(meta string) struct{ body, meta string } {
	return struct{ body, meta string }{part(metaHead, meta) + part(fileHead, file) + end, meta}
}

// Of an upload APIv3 signs the text of the part named meta, byte for byte; all
// else goes out as it came.
func TestUpload(t *testing.T) {
	t.Parallel()
	for name, test := range goodForms() {
		for _, chunked := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				w := newWechat(t, nil)
				r := newRig(t, w)
				g := r.post(test.body, chunked, "Content-Type", `multipart/form-data; boundary="`+boundary+`"`)
				g.passed(t, 200, "true")
				c := w.only(t)
				if string(c.Body) != test.body {
					t.Errorf("the body was changed: %q", c.Body)
				}
				if c.Chunked || c.ContentLength != int64(len(test.body)) {
					t.Errorf("sent with Content-Length %d, chunked %v", c.ContentLength, c.Chunked)
				}
				if _, err := authorized(c, []byte(test.meta), &keys().merchant.PublicKey); err != nil {
					t.Errorf("not signed over meta: %v", err)
				}
				r.settled(t)
			})
		}
	}
}

// badForms are uploads that must not be sent, and what the app is told.
func badForms() map[string]struct{ contentType, body, says string } {
	whole := part(metaHead, metaText) + part(fileHead, file) + end
	flipped := strings.Replace(whole, "\xff\xd8", "\xff\xd9", 1)
	const broken, boundaryLess = "malformed or cut short", "without a boundary"
	return map[string]struct{ contentType, body, says string }{
		"no meta":           {"", part(fileHead, file) + end, "has none"},
		"two metas":         {"", part(metaHead, plainMeta) + part(metaHead, "{}") + end, "has a second"},
		"meta after all":    {"", part(metaHead, metaText) + part(fileHead, file) + part(metaHead, "{}") + end, "has a second"},
		"case of meta":      {"", part(strings.Replace(metaHead, "meta", "Meta", 1), metaText) + end, "has none"},
		"cut in the file":   {"", strings.TrimSuffix(whole, end), broken},
		"cut in the meta":   {"", part(metaHead, metaText)[:120], broken},
		"cut in the end":    {"", strings.TrimSuffix(whole, "-\r\n"), broken},
		"cut before a part": {"", strings.TrimSuffix(whole, "--\r\n") + "\r\n", broken},
		"cut after spaces":  {"", strings.TrimSuffix(whole, "--\r\n") + " \r\n", broken},
		"cut in a header":   {"", strings.TrimSuffix(whole, "--\r\n") + "\r\n" + metaHead, broken},
		"cut after headers": {"", strings.TrimSuffix(whole, "--\r\n") + "\r\n" + metaHead + "\r\n", broken},
		"no end, bare":      {"", strings.ReplaceAll(part(metaHead, plainMeta)+part(fileHead, "x"), "\r\n", "\n") + "\n--" + boundary + "\n", broken},
		"another last line": {"", strings.TrimSuffix(whole, "--\r\n") + "\r\n--" + boundary + "--", broken},
		"empty":             {"", "", broken},
		"no part":           {"", end, "has none"},
		"other boundary":    {"multipart/form-data; boundary=other", whole, broken},
		"no boundary":       {"multipart/form-data", whole, boundaryLess},
		"empty boundary":    {`multipart/form-data; boundary=""`, whole, boundaryLess},
		"two boundaries":    {"multipart/form-data; boundary=" + boundary + "; boundary=x", whole, "parameters"},
		"broken parameters": {"multipart/form-data; boundary=" + boundary + "; =", whole, "parameters"},
		"upper case":        {"Multipart/Form-Data", whole, boundaryLess},
		"flipped byte":      {"", flipped, sha256Hex("\xff\xd9" + file[2:])},
		"flipped, file 1st": {"", part(fileHead, "x"+file) + part(metaHead, metaText) + end, sha256Hex("x" + file)},
		"longer by one":     {"", part(metaHead, metaText) + part(fileHead, file+"x") + end, "of the file is"},
		"no digest":         {"", part(metaHead, metaOf("")) + part(fileHead, file) + end, "of the file is"},
		"digest not text":   {"", part(metaHead, `{"sha256":1}`) + part(fileHead, file) + end, "of the file is"},
		"no file":           {"", part(metaHead, metaText) + end, "no form part has a filename"},
		"no filename":       {"", part(metaHead, metaText) + part(strings.Replace(fileHead, `; filename="a.jpg"`, "", 1), file) + end, "no form part has a filename"},
		"filename twice":    {"", part(metaHead, metaText) + part(strings.Replace(fileHead, `"a.jpg"`, `"a.jpg"; filename="b.jpg"`, 1), file) + end, "Content-Disposition"},
		"unquoted space":    {"", part(metaHead, metaText) + part(strings.Replace(fileHead, `"a.jpg"`, `a b.jpg`, 1), file) + end, "Content-Disposition"},
		"meta named twice":  {"", part(strings.Replace(metaHead, `"meta"`, `"meta"; name="x"`, 1), metaText) + part(fileHead, file) + end, "Content-Disposition"},
		"second file":       {"", part(metaHead, metaText) + part(fileHead, file) + part(fileHead, "x") + end, "of the file is"},
		"promised twice":    {"", part(metaHead, `{"sha256":"`+sha256Hex(file)+`","file_digest":"00"}`) + part(fileHead, file) + end, "file_digest"},
		"SHA-256 for SM3":   {"", sm3Form(`{"digest":"` + sha256Hex(file) + `","digest_algorithm":"SM3"}`).body, fileSM3},
		"SM3 for SHA-256":   {"", sm3Form(`{"digest":"` + fileSM3 + `"}`).body, sha256Hex(file)},
	}
}

func TestBadUpload(t *testing.T) {
	t.Parallel()
	for name, test := range badForms() {
		if test.contentType == "" {
			test.contentType = formType
		}
		for _, chunked := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				w := newWechat(t, nil)
				r := newRig(t, w)
				g := r.post(test.body, chunked, "Content-Type", test.contentType)
				g.refused(t, 400, proxy.ReasonBadUpload)
				if !strings.Contains(g.body, test.says) {
					t.Errorf("says %s, not %q", g.body, test.says)
				}
				if len(w.seen()) != 0 {
					t.Error("a bad upload was sent whole")
				}
				r.settled(t)
			})
		}
	}
}

// What is held beside the tape is bounded.
func TestMetaLimit(t *testing.T) {
	t.Parallel()
	r := newRig(t, newWechat(t, nil))
	const most = 256 << 10
	r.post(part(metaHead, strings.Repeat(" ", most))+end, false).passed(t, 200, "true")
	r.post(part(metaHead, strings.Repeat(" ", most+1))+end, false).refused(t, 400, proxy.ReasonBadUpload)
	r.settled(t)
}

func TestUploadWithTwoContentTypes(t *testing.T) {
	t.Parallel()
	w := newWechat(t, nil)
	body := part(metaHead, metaText) + part(fileHead, file) + end
	g := newRig(t, w).do("POST", uploadTo, body, "Content-Type", "application/json", "Content-Type", formType)
	g.refused(t, 400, proxy.ReasonBadUpload)
}

// Over the limit an upload is refused as one, with the limit.
func TestUploadOverTheLimit(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"meta first": part(metaHead, plainMeta) + part(fileHead, strings.Repeat("x", 1<<16)) + end,
		"file first": part(fileHead, strings.Repeat("x", 1<<16)) + part(metaHead, plainMeta) + end,
	} {
		for _, chunked := range []bool{false, true} {
			w := newWechat(t, nil)
			for limit, status := range map[int]int{len(body): 200, len(body) - 1: 400} {
				r := newRig(t, w, func(s *setup) { s.Limits.Request = int64(limit) })
				g := r.post(body, chunked)
				if g.status != status {
					t.Errorf("%s, chunked %v, %d of %d bytes: got %d %s", name, chunked, len(body), limit, g.status, g.body)
				}
				if status == 400 {
					g.refused(t, 400, proxy.ReasonBadUpload)
				}
				r.settled(t)
			}
		}
	}
}

// What is held before meta and of chunked uploads comes from the common budget.
func TestUploadOverTheBudget(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 300<<10)
	for name, test := range map[string]struct {
		body    string
		chunked bool
		status  int
	}{
		"streams":    {part(metaHead, plainMeta) + part(fileHead, long) + end, false, 200},
		"file first": {part(fileHead, long) + part(metaHead, plainMeta) + end, false, 503},
		"chunked":    {part(metaHead, plainMeta) + part(fileHead, long) + end, true, 503},
	} {
		r := newRig(t, newWechat(t, nil), func(s *setup) { s.Limits.InFlight = 128 << 10 })
		g := r.post(test.body, test.chunked)
		if test.status == 200 {
			g.passed(t, 200, "true")
		} else {
			g.refused(t, 503, proxy.ReasonBusy)
		}
		r.settled(t)
		if t.Failed() {
			t.Fatal(name)
		}
	}
}

// Another merchant in meta is refused as one in a plain body is.
func TestUploadOfAnotherMerchant(t *testing.T) {
	t.Parallel()
	for _, chunked := range []bool{false, true} {
		newRig(t, newWechat(t, nil)).post(part(metaHead, `{"sp_mchid":"1"}`)+part(fileHead, file)+end, chunked).
			refused(t, 400, proxy.ReasonMerchantMismatch)
	}
}

// A user who knows better can say that a file is not what meta's digest is of.
func TestUploadUnchecked(t *testing.T) {
	t.Parallel()
	w := newWechat(t, nil)
	table, err := endpoint.New([]endpoint.Override{{Method: "POST", Template: uploadTo, FileUnchecked: true}})
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, w, func(s *setup) { s.Table = table })
	body := part(metaHead, metaText) + part(fileHead, "another") + end
	r.post(body, false).passed(t, 200, "true")
	if !bytes.Equal(w.only(t).Body, []byte(body)) {
		t.Error("the body was changed")
	}
}
