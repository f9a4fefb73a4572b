package sim_test

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/wxproxy/wxproxy/internal/sim"
)

// encrypt is a sensitive field as the caller makes it.
func encrypt(t *testing.T, key *rsa.PublicKey, plain string) string {
	t.Helper()
	sealed, err := rsa.EncryptOAEP(sha1.New(), rand.Reader, key, []byte(plain), nil)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(sealed)
}

func TestTransfersDecryptTheName(t *testing.T) {
	t.Parallel()
	s := newSim(t, sim.Options{})
	id, key := s.PublicKey()
	const target = "/v3/fund-app/mch-transfer/transfer-bills"
	body := func(no, name string) string {
		return fmt.Sprintf(`{"appid":"wx1","out_bill_no":%q,"transfer_scene_id":"1000","openid":"o1","user_name":%q,"transfer_amount":200000,"transfer_remark":"r","notify_url":%q}`, no, name, notifyURL)
	}
	good, wrong := encrypt(t, key, "张三"), encrypt(t, s.Certificates()[0].PublicKey.(*rsa.PublicKey), "张三")
	for _, row := range []struct {
		name, body, serial string
		status             int
	}{
		{"encrypted", body("B1", good), id, 200},
		{"again", body("B1", good), id, 200},
		{"again, encrypted anew", body("B1", encrypt(t, key, "张三")), id, 200},
		{"other parameters", body("B1", encrypt(t, key, "李四")), id, 400},
		{"no serial", body("B2", good), "", 400},
		{"for another key", body("B2", wrong), id, 400},
		{"in the clear", body("B2", "张三"), id, 400},
		{"missing", body("B2", ""), id, 400},
	} {
		r := newRequest(s, "POST", target, row.body)
		r.header["Wechatpay-Serial"] = row.serial
		if w := r.do(s); w.Code != row.status {
			t.Errorf("%s: %d %s", row.name, w.Code, w.Body)
		}
	}
	if err := s.EndTransfer("B1", sim.TransferSuccess); err != nil {
		t.Fatal(err)
	}
	if err := s.EndTransfer("B1", sim.TransferFail); !errors.Is(err, sim.ErrState) {
		t.Error(err)
	}
	play(t, s, []step{
		{"query", "GET", target + "/out-bill-no/B1", "", 200, "", map[string]any{"state": "SUCCESS"}},
		{"unknown", "GET", target + "/transfer-bill-no/9", "", 404, "NOT_FOUND", nil},
	})
}

func TestEcho(t *testing.T) {
	t.Parallel()
	s := newSim(t, sim.Options{})
	id, key := s.PublicKey()
	r := newRequest(s, "POST", "/v3/security/echo", `{"echo_message":"hi","encrypted_echo_message":"`+encrypt(t, key, "secret")+`"}`)
	if w := r.do(s); w.Code != http.StatusBadRequest {
		t.Errorf("without Wechatpay-Serial: %d", w.Code)
	}
	r.header["Wechatpay-Serial"] = id
	w := r.do(s)
	var answer map[string]string
	decodeJSON(t, w.Body.Bytes(), &answer)
	sealed, err := base64.StdEncoding.DecodeString(answer["encrypted_echo_message"])
	if err != nil {
		t.Fatal(err)
	}
	plain, err := rsa.DecryptOAEP(sha1.New(), nil, s.Merchants()[0].PrivateKey, sealed, nil)
	if err != nil || string(plain) != "secret" || answer["echo_message"] != "hi" {
		t.Errorf("got %v, %q, %v", answer, plain, err)
	}
}

func TestProfitSharing(t *testing.T) {
	t.Parallel()
	s := newSim(t, sim.Options{})
	order(t, s, "ORDER001", notifyURL)
	if err := s.Pay("ORDER001"); err != nil {
		t.Fatal(err)
	}
	_, paid := call(t, s, "GET", orders+"out-trade-no/ORDER001"+mine, "")
	id := fmt.Sprint(paid["transaction_id"])
	body := `{"appid":"wx1","transaction_id":"` + id + `","out_order_no":"P1","unfreeze_unsplit":true,"receivers":[{"type":"MERCHANT_ID","account":"1900000009","amount":1,"description":"d"}]}`
	play(t, s, []step{
		{"share", "POST", "/v3/profitsharing/orders", body, 200, "", map[string]any{"state": "PROCESSING"}},
		{"again", "POST", "/v3/profitsharing/orders", body, 200, "", nil},
		{"other parameters", "POST", "/v3/profitsharing/orders", strings.Replace(body, ":1,", ":2,", 1), 400, "INVALID_REQUEST", nil},
		{"unknown order", "POST", "/v3/profitsharing/orders", strings.Replace(body, id, "1", 1), 400, "INVALID_REQUEST", nil},
		{"query", "GET", "/v3/profitsharing/orders/P1?transaction_id=" + id, "", 200, "", map[string]any{"state": "FINISHED"}},
	})
}

func TestBills(t *testing.T) {
	t.Parallel()
	second := sim.Merchant{MchID: "1900000002"}
	s := newSim(t, sim.Options{Merchants: []sim.Merchant{{MchID: sim.SimulatedMchID}, second}})
	for _, path := range []string{"tradebill?bill_date=2026-01-31", "fundflowbill?bill_date=2026-01-31", "tradebill?bill_date=2026-01-31&tar_type=GZIP"} {
		_, answer := call(t, s, "GET", "/v3/bill/"+path, "")
		link, found := strings.CutPrefix(fmt.Sprint(answer["download_url"]), "http://example.com")
		if !found {
			t.Fatalf("%s: download_url %v is not on this host", path, answer["download_url"])
		}
		r := newRequest(s, "GET", link, "")
		w := r.do(s)
		if w.Code != 200 || w.Header().Get("Wechatpay-Signature") != "" {
			t.Fatalf("%s: download answered %d, or signed", path, w.Code)
		}
		content := w.Body.Bytes()
		if strings.Contains(path, "GZIP") {
			content = gunzip(t, content)
		}
		sum := sha1.Sum(content)
		if hex.EncodeToString(sum[:]) != answer["hash_value"] || bytes.Count(content, []byte("\n")) < 300 {
			t.Errorf("%s: %d lines that do not have the promised hash", path, bytes.Count(content, []byte("\n")))
		}
		other := newRequest(s, "GET", link, "")
		m := s.Merchants()[1]
		other.merchant, other.mchID, other.serial = &m, m.MchID, fmt.Sprintf("%X", m.Certificate.SerialNumber)
		if w := other.do(s); w.Code != http.StatusForbidden {
			t.Errorf("%s: another merchant got %d", path, w.Code)
		}
	}
	play(t, s, []step{
		{"no date", "GET", "/v3/bill/tradebill", "", 400, "PARAM_ERROR", nil},
		{"tomorrow", "GET", "/v3/bill/tradebill?bill_date=2999-01-01", "", 400, "NO_STATEMENT_EXIST", nil},
		{"bad token", "GET", "/v3/billdownload/file?token=x", "", 400, "PARAM_ERROR", nil},
	})
}

func gunzip(t *testing.T, b []byte) []byte {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// Of an upload the meta is signed, and promises the file.
func TestUploadRefusals(t *testing.T) {
	t.Parallel()
	s := newSim(t, sim.Options{})
	sum := sha256.Sum256([]byte("picture"))
	meta := fmt.Sprintf(`{"filename":"a.png","sha256":"%x"}`, sum)
	form := func(meta, file string) string {
		return "--X\r\nContent-Disposition: form-data; name=\"meta\"\r\nContent-Type: application/json\r\n\r\n" + meta +
			"\r\n--X\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.png\"\r\nContent-Type: image/png\r\n\r\n" + file + "\r\n--X--\r\n"
	}
	for _, row := range []struct {
		name, body, signed, kind string
		status                   int
	}{
		{"good", form(meta, "picture"), meta, "multipart/form-data; boundary=X", 200},
		{"other file", form(meta, "Picture"), meta, "multipart/form-data; boundary=X", 400},
		{"other meta signed", form(meta, "picture"), meta + " ", "multipart/form-data; boundary=X", 401},
		{"whole body signed", form(meta, "picture"), form(meta, "picture"), "multipart/form-data; boundary=X", 401},
		{"other file type", form(strings.Replace(meta, "png", "exe", 1), "picture"), strings.Replace(meta, "png", "exe", 1), "multipart/form-data; boundary=X", 400},
		{"no boundary", form(meta, "picture"), meta, "multipart/form-data", 400},
		{"no meta", "--X\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\ny\r\n--X--\r\n", "", "multipart/form-data; boundary=X", 400},
		{"cut off", form(meta, "picture")[:200], meta, "multipart/form-data; boundary=X", 400},
		{"JSON", meta, meta, "application/json", 400},
	} {
		r := newRequest(s, "POST", "/v3/merchant/media/upload", row.body)
		r.signed, r.header["Content-Type"] = row.signed, row.kind
		if w := r.do(s); w.Code != row.status {
			t.Errorf("%s: got %d %s, want %d", row.name, w.Code, w.Body, row.status)
		}
	}
}

// Every kind of upload is taken with what its meta must have, and refused when
// one thing of it is wrong. The SM3 digests are openssl's.
func TestUploads(t *testing.T) {
	t.Parallel()
	s := newSim(t, sim.Options{})
	const file, sm3 = "file", "08b00717ea37c68584e406b093566e12ed3514324c76e16f442ddb72d3a2bd30"
	sha := fmt.Sprintf("%x", sha256.Sum256([]byte(file)))
	for _, row := range []struct{ target, meta, part, digest, field string }{
		{"/v3/merchant/media/upload", `{"filename":"a.png","sha256":"%s"}`, "file", sha, "media_id"},
		{"/v3/merchant/media/video_upload", `{"filename":"a.mp4","sha256":"%s"}`, "file", sha, "media_id"},
		{"/v3/marketing/favor/media/image-upload", `{"filename":"a.jpg","sha256":"%s"}`, "file", sha, "media_url"},
		{"/v3/merchant-service/images/upload", `{"filename":"a.jpg","sha256":"%s"}`, "file", sha, "media_id"},
		{"/v3/global/merchant-storage/file/upload", `{"filename":"a.pdf","digest":"%s"}`, "file", sha, "file_id"},
		{"/v3/ecommerce/account/cancel-applications/media", `{"file_name":"a.jpg","file_digest":"%s"}`, "file", sha, "media_id"},
		{"/v3/mch-manage/submission-files/sub-mchid/1900000109/upload", `{"file_name":"a","item_id":"1","file_digest":"%s"}`, "submission_file", sha, "file_id"},
		{"/v3/marketing/bank/packages/1/tasks", `{"bank_type":"CFT","filename":"a.csv","sha256":"%s"}`, "file", sha, "task_id"},
		{"/v3/new-tax-control-fapiao/fapiao-applications/upload-fapiao-file", `{"file_type":"PDF","digest_alogrithm":"SM3","digest":"%s"}`, "file", sm3, "fapiao_media_id"},
		{"/v3/taxi-invoice/cards/upload-file", `{"company_mchid":"1","region_id":1,"digest_algorithm":"DIGEST_ALGORITHM_SM3","digest":"%s"}`, "file", sm3, "media_id"},
	} {
		for name, change := range map[string]struct{ part, digest, file string }{
			"good": {}, "other part": {part: "x"}, "other digest": {digest: "00"}, "other file": {file: "File"},
		} {
			meta := fmt.Sprintf(row.meta, cmp.Or(change.digest, row.digest))
			r := newRequest(s, "POST", row.target, "--X\r\nContent-Disposition: form-data; name=\"meta\"\r\n\r\n"+meta+
				"\r\n--X\r\nContent-Disposition: form-data; name=\""+cmp.Or(change.part, row.part)+"\"; filename=\"a\"\r\n\r\n"+cmp.Or(change.file, file)+"\r\n--X--\r\n")
			r.signed, r.header["Content-Type"] = meta, "multipart/form-data; boundary=X"
			w := r.do(s)
			if good := name == "good"; good != (w.Code == 200) || good != strings.Contains(w.Body.String(), `"`+row.field+`"`) {
				t.Errorf("%s, %s: got %d %s", row.target, name, w.Code, w.Body)
			}
		}
	}
}
