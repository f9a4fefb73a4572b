package proxy_test

import (
	"strings"
	"testing"

	"github.com/wxproxy/wxproxy/proxy"
)

const (
	boundary = "--------7da3c1"
	metaText = "{ \"filename\": \"a.jpg\",\r\n \"sha256\": \"hjkahkjsjkfsjk78687dhjahdajhk\" }"
)

func part(headers, text string) string {
	return "--" + boundary + "\r\n" + headers + "\r\n\r\n" + text + "\r\n"
}

const (
	metaHead = "Content-Disposition: form-data; name=\"meta\"\r\nContent-Type: application/json"
	fileHead = "Content-Disposition: form-data; name=\"file\"; filename=\"a.jpg\"\r\nContent-Type: image/jpeg"
	end      = "--" + boundary + "--\r\n"
	file     = "\xff\xd8\x00\r\n--not-the-boundary\r\n\xff"
)

// Of an upload APIv3 signs the text of the part named meta, byte for byte.
func TestUpload(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ body, meta string }{
		"meta first":       {part(metaHead, metaText) + part(fileHead, file) + end, metaText},
		"file first":       {part(fileHead, file) + part(metaHead, metaText) + end, metaText},
		"meta alone":       {part(metaHead, metaText) + end, metaText},
		"preamble":         {"hello\r\n" + part(metaHead, metaText) + end + "epilogue", metaText},
		"empty meta":       {part(metaHead, "") + end, ""},
		"quoted-printable": {part(metaHead+"\r\nContent-Transfer-Encoding: quoted-printable", "=7B=7D") + end, "=7B=7D"},
		"meta as filename": {part(metaHead, metaText) + part(strings.Replace(fileHead, "a.jpg", "meta", 1), file) + end, metaText},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWechat(t, nil)
			g := newRig(t, w).do("POST", "/v3/merchant/media/upload", test.body, "Content-Type", `multipart/form-data; boundary="`+boundary+`"`)
			g.passed(t, 200, "true")
			c := w.only(t)
			if string(c.Body) != test.body {
				t.Errorf("the body was changed: %q", c.Body)
			}
			if _, err := authorized(c, []byte(test.meta), &keys().merchant.PublicKey); err != nil {
				t.Errorf("not signed over meta: %v", err)
			}
		})
	}
}

func TestBadUpload(t *testing.T) {
	t.Parallel()
	whole := part(metaHead, metaText) + part(fileHead, file) + end
	for name, test := range map[string]struct{ contentType, body string }{
		"no meta":           {"", part(fileHead, file) + end},
		"two metas":         {"", part(metaHead, metaText) + part(metaHead, "{}") + end},
		"case of meta":      {"", part(strings.Replace(metaHead, "meta", "Meta", 1), metaText) + end},
		"cut in the file":   {"", strings.TrimSuffix(whole, end)},
		"cut in the meta":   {"", part(metaHead, metaText)[:120]},
		"empty":             {"", ""},
		"other boundary":    {"multipart/form-data; boundary=other", whole},
		"no boundary":       {"multipart/form-data", whole},
		"empty boundary":    {`multipart/form-data; boundary=""`, whole},
		"two boundaries":    {"multipart/form-data; boundary=" + boundary + "; boundary=x", whole},
		"broken parameters": {"multipart/form-data; boundary=" + boundary + "; =", whole},
		"upper case":        {"Multipart/Form-Data", whole},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if test.contentType == "" {
				test.contentType = "multipart/form-data; boundary=" + boundary
			}
			w := newWechat(t, nil)
			newRig(t, w).do("POST", "/v3/merchant/media/upload", test.body, "Content-Type", test.contentType).refused(t, 400, proxy.ReasonBadUpload)
			if len(w.seen()) != 0 {
				t.Error("a bad upload was sent")
			}
		})
	}
}

// Another merchant in meta is refused as one in a plain body is.
func TestUploadOfAnotherMerchant(t *testing.T) {
	t.Parallel()
	newRig(t, newWechat(t, nil)).do("POST", "/v3/x", part(metaHead, `{"sp_mchid":"1"}`)+end, "Content-Type", "multipart/form-data; boundary="+boundary).
		refused(t, 400, proxy.ReasonMerchantMismatch)
}
