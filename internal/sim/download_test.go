package sim_test

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/wxproxy/wxproxy/internal/sim"
)

// fetch downloads what a link of the simulator leads to.
func fetch(t *testing.T, s *sim.Sim, link any) (status int, content []byte) {
	t.Helper()
	target, found := strings.CutPrefix(fmt.Sprint(link), "http://example.com")
	if !found {
		t.Fatalf("download_url %v is not on this host", link)
	}
	w := newRequest(s, "GET", target, "").do(s)
	if w.Header().Get("Wechatpay-Signature") != "" {
		t.Errorf("%s: a download is signed", target)
	}
	return w.Code, w.Body.Bytes()
}

// A merchant opens its encrypted bills: the key with its own key, the file with
// that, and the parts make the whole bill.
func TestEncryptedBills(t *testing.T) {
	t.Parallel()
	s := newSim(t, sim.Options{})
	for _, target := range []string{
		"/v3/bill/sub-merchant-fundflowbill?sub_mchid=1&bill_date=2026-01-31&account_type=BASIC&algorithm=AEAD_AES_256_GCM",
		"/v3/ecommerce/bill/fundflowbill?bill_date=2026-01-31&account_type=ALL&algorithm=AEAD_AES_256_GCM&tar_type=GZIP",
		"/v3/payscore/merchant-bill?bill_date=2026-01-31&service_id=1&encryption_algorithm=AEAD_AES_256_GCM&tar_type=GZIP",
	} {
		_, answer := call(t, s, "GET", target, "")
		lines := 0
		for _, item := range answer["download_bill_list"].([]any) {
			item := item.(map[string]any)
			_, file := fetch(t, s, item["download_url"])
			sealed, _ := base64.StdEncoding.DecodeString(item["encrypt_key"].(string))
			key, err := rsa.DecryptOAEP(sha1.New(), nil, s.Merchants()[0].PrivateKey, sealed, nil)
			if err != nil {
				t.Fatal(err)
			}
			block, err := aes.NewCipher(key)
			if err != nil {
				t.Fatal(err)
			}
			nonce := []byte(item["nonce"].(string))
			gcm, _ := cipher.NewGCMWithNonceSize(block, len(nonce))
			plain, err := gcm.Open(nil, nonce, file, nil)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(target, "GZIP") {
				plain = gunzip(t, plain)
			}
			sum := sha1.Sum(plain)
			if hex.EncodeToString(sum[:]) != item["hash_value"] {
				t.Errorf("%s: part %v does not have the promised hash", target, item["bill_sequence"])
			}
			lines += strings.Count(string(plain), "\n")
		}
		if lines < 1000 {
			t.Errorf("%s: %d lines", target, lines)
		}
	}
	play(t, s, []step{
		{"SM4", "GET", "/v3/bill/sub-merchant-fundflowbill?bill_date=2026-01-31&algorithm=SM4_GCM", "", 400, "PARAM_ERROR", nil},
		{"no algorithm", "GET", "/v3/payscore/merchant-bill?bill_date=2026-01-31&algorithm=AEAD_AES_256_GCM", "", 400, "PARAM_ERROR", nil},
		{"no date", "GET", "/v3/ecommerce/bill/fundflowbill?algorithm=AEAD_AES_256_GCM", "", 400, "PARAM_ERROR", nil},
	})
}

func TestReceiptAndImage(t *testing.T) {
	t.Parallel()
	s := newSim(t, sim.Options{})
	body := `{"appid":"wx1","out_bill_no":"B1","transfer_scene_id":"1000","openid":"o1","transfer_amount":100,"transfer_remark":"r","notify_url":"` + notifyURL + `"}`
	if status, answer := call(t, s, "POST", "/v3/fund-app/mch-transfer/transfer-bills", body); status != 200 {
		t.Fatal(status, answer)
	}
	_, answer := call(t, s, "GET", "/v3/fund-app/mch-transfer/elecsign/out-bill-no/B1", "")
	_, content := fetch(t, s, answer["download_url"])
	sum := sha256.Sum256(content)
	if answer["hash_type"] != "SHA256" || hex.EncodeToString(sum[:]) != answer["hash_value"] {
		t.Errorf("got %q, promised %v", content, answer)
	}
	if status, _ := fetch(t, s, strings.Replace(fmt.Sprint(answer["download_url"]), "/v3/transferbilldownload/elecvoucherfile", "/v3/billdownload/file", 1)); status != 400 {
		t.Errorf("the token of a receipt opens a bill: %d", status)
	}
	if status, picture := fetch(t, s, "http://example.com/v3/merchant-service/images/abc"); status != 200 || !strings.Contains(string(picture), "PNG") {
		t.Errorf("got %d %q", status, picture)
	}
	play(t, s, []step{{"no transfer", "GET", "/v3/fund-app/mch-transfer/elecsign/out-bill-no/B2", "", 404, "NOT_FOUND", nil}})
}

// A statement signs its SHA-1, as its header has it.
func TestStatement(t *testing.T) {
	t.Parallel()
	s := newSim(t, sim.Options{})
	_, key := s.PublicKey()
	if err := s.UsePublicKey(sim.PublicKeyOnly, 100); err != nil {
		t.Fatal(err)
	}
	w := newRequest(s, "GET", "/v3/global/statements?date=20260131", "").do(s)
	sum := sha1.Sum(w.Body.Bytes())
	text := `{"sha1":"` + hex.EncodeToString(sum[:]) + `"}`
	if got := w.Header().Get("Wechatpay-Statement-Sha1"); got != hex.EncodeToString(sum[:]) {
		t.Errorf("the header says %q", got)
	}
	h := w.Header()
	signature, _ := base64.StdEncoding.DecodeString(h.Get("Wechatpay-Signature"))
	digest := sha256.Sum256([]byte(h.Get("Wechatpay-Timestamp") + "\n" + h.Get("Wechatpay-Nonce") + "\n" + text + "\n"))
	if err := rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], signature); err != nil {
		t.Error(err)
	}
	play(t, s, []step{{"no date", "GET", "/v3/global/statements", "", 400, "PARAM_ERROR", nil}})
}

// Faults of files: what comes is not what was promised, though nothing else
// tells.
func TestFileFaults(t *testing.T) {
	t.Parallel()
	s := newSim(t, sim.Options{})
	_, answer := call(t, s, "GET", "/v3/bill/tradebill?bill_date=2026-01-31", "")
	_, whole := fetch(t, s, answer["download_url"])
	for kind, size := range map[string]int{sim.FaultCorrupt: len(whole), sim.FaultCut: len(whole) / 2} {
		if _, err := s.Fault(sim.Fault{Kind: kind}); err != nil {
			t.Fatal(err)
		}
		if status, _ := call(t, s, "GET", "/v3/certificates", ""); status != 200 {
			t.Errorf("%s: a signed answer is %d", kind, status)
		}
		status, file := fetch(t, s, answer["download_url"])
		if status != 200 || len(file) != size || string(file) == string(whole) {
			t.Errorf("%s: got %d, %d bytes", kind, status, len(file))
		}
	}
	if _, file := fetch(t, s, answer["download_url"]); string(file) != string(whole) {
		t.Error("a fault goes on")
	}
	if _, err := s.Fault(sim.Fault{Kind: sim.FaultCut, On: sim.OnNotify}); err == nil {
		t.Error("a fault of files was ordered for notifies")
	}
}
