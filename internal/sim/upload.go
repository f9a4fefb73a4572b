package sim

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"
)

// form is one kind of upload: what its meta must have, what files it takes and
// what the answer calls them.
type form struct {
	template string
	name     string   // field of meta with the file's name; empty: it has none
	digest   string   // field of meta with the file's digest
	sm3      string   // field of meta that says SM3; empty: the digest is SHA-256
	required []string // other fields of meta
	part     string   // name of the file part
	suffixes []string // of the file's name; nil: any
	limit    int      // bytes
	answer   string   // field of the answer
}

var (
	pictures = []string{".jpg", ".jpeg", ".bmp", ".png"}
	videos   = []string{".avi", ".wmv", ".mpeg", ".mp4", ".mov", ".mkv", ".flv", ".f4v", ".m4v", ".rmvb"}
)

// forms are the uploads that the simulator takes. Signed is the meta alone,
// which promises the file's digest.
var forms = []form{
	{template: "/v3/merchant/media/upload", name: "filename", digest: "sha256", part: "file", suffixes: pictures, limit: 5 << 20, answer: "media_id"},
	{template: "/v3/merchant/media/video_upload", name: "filename", digest: "sha256", part: "file", suffixes: videos, limit: 5 << 20, answer: "media_id"},
	{template: "/v3/marketing/favor/media/image-upload", name: "filename", digest: "sha256", part: "file", suffixes: pictures, limit: 2 << 20, answer: "media_url"},
	{template: "/v3/merchant-service/images/upload", name: "filename", digest: "sha256", part: "file", suffixes: pictures, limit: 2 << 20, answer: "media_id"},
	{template: "/v3/global/merchant-storage/file/upload", name: "filename", digest: "digest", part: "file", suffixes: append([]string{".pdf"}, pictures...), limit: 5 << 20, answer: "file_id"},
	{template: "/v3/ecommerce/account/cancel-applications/media", name: "file_name", digest: "file_digest", part: "file", suffixes: pictures, limit: 5 << 20, answer: "media_id"},
	{template: "/v3/mch-manage/submission-files/sub-mchid/{sub_mchid}/upload", name: "file_name", digest: "file_digest", required: []string{"item_id"}, part: "submission_file", limit: 5 << 20, answer: "file_id"},
	{template: "/v3/marketing/bank/packages/{package_id}/tasks", name: "filename", digest: "sha256", required: []string{"bank_type"}, part: "file", suffixes: []string{".csv"}, limit: 5 << 20, answer: "task_id"},
	{template: "/v3/new-tax-control-fapiao/fapiao-applications/upload-fapiao-file", digest: "digest", sm3: "digest_alogrithm", required: []string{"file_type"}, part: "file", limit: 2 << 20, answer: "fapiao_media_id"},
	{template: "/v3/taxi-invoice/cards/upload-file", digest: "digest", sm3: "digest_algorithm", required: []string{"company_mchid"}, part: "file", limit: 2 << 20, answer: "media_id"},
}

// upload takes a file of one kind.
func (f *form) upload(c *call) (answer, error) {
	var meta map[string]any
	if json.Unmarshal(c.upload.meta, &meta) != nil {
		return answer{}, bodyError("/meta", "is not a JSON object")
	}
	text := func(name string) string { s, _ := meta[name].(string); return s }
	for _, name := range append([]string{f.name, f.digest}, f.required...) {
		if name != "" && text(name) == "" {
			return answer{}, bodyError("/meta/"+name, "is required")
		}
	}
	got := hex.EncodeToString(sha256Of(c.upload.file))
	if f.sm3 != "" {
		if !slices.Contains([]string{"SM3", "DIGEST_ALGORITHM_SM3"}, text(f.sm3)) {
			return answer{}, bodyError("/meta/"+f.sm3, "must name SM3")
		}
		got = sm3Hex(c.upload.file)
	}
	switch {
	case f.name != "" && f.suffixes != nil && !slices.Contains(f.suffixes, strings.ToLower(path.Ext(text(f.name)))):
		return answer{}, bodyError("/meta/"+f.name, "must end in one of "+strings.Join(f.suffixes, " "))
	case c.upload.part != f.part:
		return answer{}, bodyError("/"+f.part, "the form has no such part with a file")
	case len(c.upload.file) > f.limit:
		return answer{}, businessError(http.StatusBadRequest, "PARAM_ERROR", "文件大小超过限制", fmt.Sprintf("the file has more than %d bytes", f.limit))
	case !strings.EqualFold(text(f.digest), got):
		return answer{}, bodyError("/meta/"+f.digest, "is not the digest of the file part")
	}
	return ok(map[string]string{f.answer: randomHex(32) + got})
}

func sha256Of(b []byte) []byte {
	sum := sha256.Sum256(b)
	return sum[:]
}
