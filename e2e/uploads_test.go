//go:build e2e

package e2e

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"

	"github.com/wechatpay-apiv3/wechatpay-go/core"
	"github.com/wechatpay-apiv3/wechatpay-go/services/fileuploader"
)

// uploader is what a client with a throw-away key has to know, with the public
// key of WeChat Pay.
func uploader(t *testing.T, s *shop) settings {
	t.Helper()
	s.wechat.command("public-key", `{"mode":"on","percent":100}`)
	throwAway := newCredentials(t, mchID)
	return settings{
		Base: s.outbound, MchID: mchID, Serial: throwAway.serial(), PrivateKey: string(throwAway.keyPEM(t)), Certificate: string(throwAway.certPEM()),
		PlatformID: s.wechat.publicKeyID(), PlatformKey: string(s.wechat.read("pub_key.pem")), throwAway: throwAway,
	}
}

// The official SDK's four uploaders, each verifying its answer.
func TestUploadsOfGoSDK(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	c, err := newGoSDK(t, uploader(t, s))
	if err != nil {
		t.Fatal(err)
	}
	content := bytes.Repeat([]byte("not really a picture "), 50000)
	image := fileuploader.ImageUploader{Client: c}
	video := fileuploader.VideoUploader{Client: c}
	favor := fileuploader.MarketingImageUploader{Client: c}
	complaint := fileuploader.MchBizUploader{Client: c}
	for name, upload := range map[string]func() (*string, *core.APIResult, error){
		"image": func() (*string, *core.APIResult, error) {
			answer, result, err := image.Upload(t.Context(), bytes.NewReader(content), "图片.jpg", "image/jpeg")
			return answer.MediaId, result, err
		},
		"video": func() (*string, *core.APIResult, error) {
			answer, result, err := video.Upload(t.Context(), bytes.NewReader(content), "a.mp4", "video/mp4")
			return answer.MediaId, result, err
		},
		"favor": func() (*string, *core.APIResult, error) {
			answer, result, err := favor.Upload(t.Context(), bytes.NewReader(content), "a.png", "image/png")
			return answer.MediaUrl, result, err
		},
		"complaint": func() (*string, *core.APIResult, error) {
			answer, result, err := complaint.Upload(t.Context(), bytes.NewReader(content), "a.png", "image/png")
			return answer.MediaId, result, err
		},
	} {
		id, result, err := upload()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if id == nil || result.Response.Header.Get("Wxproxy-Verified") != "true" {
			t.Errorf("%s: got %v %v", name, id, result.Response.Header)
		}
	}
}

// Node's fetch and wechatpay-axios-plugin, with meta first and last, and without
// a length.
func TestUploadsOfNode(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	given := uploader(t, s)
	for step, want := range map[string]string{
		"fetch":              `"status":200,"verified":"true","media_id"`,
		"fetch-file-first":   `"status":200,"verified":"true","media_id"`,
		"fetch-chunked":      `"status":200,"verified":"true","media_id"`,
		"fetch-other-digest": `"status":400,"verified":null,"code":"PARAM_ERROR"`,
		"axios":              `"media_id"`,
		"axios-file-first":   `"media_id"`,
		"axios-multipart":    `"media_id"`,
	} {
		answer, err := node("uploads.mjs")(t, step, given)
		if err != nil || !bytes.Contains(answer, []byte(want)) {
			t.Errorf("%s: got %s, %v; want %s", step, answer, err, want)
		}
	}
}

// curl, with the parts in the order of the command line, for one endpoint of
// each kind of meta. The SM3 digest is openssl's.
func TestUploadsOfCurl(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	content := strings.Repeat("not really a file\r\n", 100000)
	file := s.dir + "/file"
	writeFile(t, file, []byte(content))
	sha := sha256Hex(content)
	out, err := exec.CommandContext(t.Context(), "openssl", "dgst", "-sm3", "-r", file).Output()
	if err != nil {
		t.Fatal("these tests need openssl with SM3: ", err)
	}
	sm3, _, _ := strings.Cut(string(out), " ")
	for _, row := range []struct{ target, meta, part, field string }{
		{"/v3/merchant/media/upload", `{"filename":"a.jpg","sha256":"` + sha + `"}`, "file", "media_id"},
		{"/v3/ecommerce/account/cancel-applications/media", `{"file_name":"a.jpg","file_digest":"` + sha + `"}`, "file", "media_id"},
		{"/v3/mch-manage/submission-files/sub-mchid/1900000109/upload", `{"file_name":"a.jpg","item_id":"1","file_digest":"` + sha + `"}`, "submission_file", "file_id"},
		{"/v3/global/merchant-storage/file/upload", `{"filename":"a.pdf","digest":"` + sha + `"}`, "file", "file_id"},
		{"/v3/new-tax-control-fapiao/fapiao-applications/upload-fapiao-file", `{"file_type":"PDF","digest_alogrithm":"SM3","digest":"` + sm3 + `"}`, "file", "fapiao_media_id"},
		{"/v3/taxi-invoice/cards/upload-file", `{"company_mchid":"1900000109","region_id":1,"digest_algorithm":"DIGEST_ALGORITHM_SM3","digest":"` + sm3 + `"}`, "file", "media_id"},
	} {
		meta, part := "meta="+row.meta+";type=application/json", row.part+"=@"+file
		for _, args := range [][]string{
			{"-F", meta, "-F", part},
			{"-F", part, "-F", meta},
			{"-F", meta, "-F", part, "-H", "Transfer-Encoding: chunked"},
			{"-F", meta, "-F", part, "-H", "Expect: 100-continue"},
		} {
			got := curl(t, nil, append([]string{s.outbound + row.target}, args...)...)
			if got.verified(t, 200).field(t, row.field) == "" {
				t.Errorf("got\n%s", got.raw)
			}
			if sent := s.wire.last(t).header; sent.Get("Transfer-Encoding") != "" {
				t.Errorf("sent %v", sent)
			}
		}
		before := len(s.wire.all())
		writeFile(t, s.dir+"/other", []byte("X"+content[1:]))
		got := curl(t, nil, s.outbound+row.target, "-F", meta, "-F", row.part+"=@"+s.dir+"/other").refused(t, 400, "bad_upload")
		if !strings.Contains(got.body, "of the file is") {
			t.Errorf("got\n%s", got.raw)
		}
		if after := len(s.wire.all()); after != before {
			t.Error("a bad upload reached WeChat Pay whole")
		}
	}
}
