package sim

import (
	"encoding/json"
	"net/http"
	"path"
	"slices"
	"strings"
)

const maxImage = 5 << 20

// uploadMedia takes a picture: signed is its meta alone, which promises the
// picture's digest.
func (s *Sim) uploadMedia(c *call) (answer, error) {
	var meta struct {
		Filename string `json:"filename"`
		SHA256   string `json:"sha256"`
	}
	if json.Unmarshal(c.upload.meta, &meta) != nil {
		return answer{}, bodyError("/meta", "is not JSON with filename and sha256")
	}
	suffix := strings.ToLower(path.Ext(meta.Filename))
	switch {
	case meta.Filename == "" || meta.SHA256 == "":
		return answer{}, bodyError("/meta", "filename and sha256 are required")
	case !slices.Contains([]string{".jpg", ".jpeg", ".bmp", ".png"}, suffix):
		return answer{}, bodyError("/meta/filename", "must end in .jpg, .bmp or .png")
	case c.upload.name == "":
		return answer{}, bodyError("/file", "the form has no part with a file")
	case c.upload.size > maxImage:
		return answer{}, businessError(http.StatusBadRequest, "PARAM_ERROR", "图片大小超过限制", "the picture has more than 5 MiB")
	case !strings.EqualFold(meta.SHA256, c.upload.digest):
		return answer{}, bodyError("/meta/sha256", "is not the digest of the file part")
	}
	return ok(map[string]string{"media_id": randomHex(32) + c.upload.digest})
}
