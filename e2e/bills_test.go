//go:build e2e

package e2e

import (
	"bytes"
	"compress/gzip"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// newBillShop has the simulator itself as second upstream: links have the host
// by which the relay reached it.
func newBillShop(t *testing.T) *shop {
	t.Helper()
	s := &shop{wechat: startWeChat(t, shortDir(t))}
	s.wire = newRelay(t, s.wechat.url)
	c := setup{merchants: s.wechat.merchant("shop"), upstream: s.wire.url + `", "` + s.wechat.url, routes: route("/notify/shop", "shop", "http://127.0.0.1:1/")}
	s.sidecar = startReady(t, c)
	return s
}

// save downloads as users do, and tells curl's exit code and what lies on the
// disk then.
func save(t *testing.T, args ...string) (code int, header string, content []byte) {
	t.Helper()
	dir := t.TempDir()
	file, head := filepath.Join(dir, "file"), filepath.Join(dir, "head")
	cmd := exec.CommandContext(t.Context(), "curl", append([]string{"--silent", "--max-time", "20", "--output", file, "--dump-header", head}, args...)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent"}
	_ = cmd.Run() // its exit code is what matters
	content, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	text, err := os.ReadFile(head)
	if err != nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(text), content
}

func unzip(t *testing.T, b []byte) []byte {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func sha1Hex(b []byte) string {
	sum := sha1.Sum(b)
	return hex.EncodeToString(sum[:])
}

// curl, the link as it came: whole files arrive, wrong ones never as whole.
func TestBills(t *testing.T) {
	t.Parallel()
	s := newBillShop(t)
	const plain, zipped = "/v3/bill/tradebill?bill_date=2026-01-01", "/v3/bill/fundflowbill?bill_date=2026-01-01&tar_type=GZIP"
	for _, target := range []string{plain, zipped} {
		apply := func() (link, sum string) {
			bill := curl(t, nil, s.outbound+target).verified(t, 200)
			return bill.field(t, "download_url"), bill.field(t, "hash_value")
		}
		name := "plain"
		if target == zipped {
			name = "GZIP"
		}
		t.Run(name+", whole", func(t *testing.T) {
			link, sum := apply()
			if !strings.HasPrefix(link, s.outbound+"/v3/billdownload/file?token=") {
				t.Fatalf("the link is %s", link)
			}
			code, header, content := save(t, link)
			if target == zipped {
				content = unzip(t, content)
			}
			if code != 0 || sha1Hex(content) != sum || !strings.Contains(header, "Wxproxy-Checked: sha1") {
				t.Errorf("curl exits %d, %d bytes\n%s", code, len(content), header)
			}
			if sent := s.wire.last(t).target; strings.Contains(sent, "wxproxy") {
				t.Errorf("WeChat Pay saw %s", sent)
			}
		})
		// A reset before the header, which is all that comes through the relay, is
		// tried again elsewhere.
		for fault, count := range map[string]string{"corrupt": "1", "cut": "1", "reset": "2"} {
			t.Run(name+", "+fault, func(t *testing.T) {
				link, sum := apply()
				s.wechat.fault(`{"kind":"` + fault + `","count":` + count + `,"match":"GET /v3/billdownload/"}`)
				code, header, content := save(t, "--fail", link)
				// 18: less than was promised; 56: reset; 22: --fail and a status.
				if !slices.Contains([]int{18, 22, 56}, code) || sha1Hex(content) == sum {
					t.Errorf("curl exits %d, %d bytes\n%s", code, len(content), header)
				}
				if fault == "corrupt" && target == plain && (code == 22 || len(content) == 0) {
					t.Errorf("a large file did not stream: curl exits %d\n%s", code, header)
				}
				again, _, content := save(t, link)
				if target == zipped {
					content = unzip(t, content)
				}
				if again != 0 || sha1Hex(content) != sum {
					t.Errorf("afterwards curl exits %d", again)
				}
			})
		}
	}
	t.Run("through http_proxy", func(t *testing.T) {
		env := "http_proxy=" + s.outbound
		bill := curl(t, []string{env}, "http://api.mch.weixin.qq.com"+plain).verified(t, 200)
		link := bill.field(t, "download_url")
		if !strings.HasPrefix(link, "http://api.mch.weixin.qq.com/v3/billdownload/file?") {
			t.Fatalf("the link is %s", link)
		}
		code, header, content := save(t, "--proxy", s.outbound, link)
		if code != 0 || sha1Hex(content) != bill.field(t, "hash_value") || !strings.Contains(header, "Wxproxy-Checked: sha1") {
			t.Errorf("curl exits %d\n%s", code, header)
		}
	})
	t.Run("through a Unix socket", func(t *testing.T) {
		socket := s.dir + "/api.sock"
		bill := curl(t, nil, "--unix-socket", socket, "http://any.name"+plain).verified(t, 200)
		code, header, content := save(t, "--unix-socket", socket, bill.field(t, "download_url"))
		if code != 0 || sha1Hex(content) != bill.field(t, "hash_value") || !strings.Contains(header, "Wxproxy-Checked: sha1") {
			t.Errorf("curl exits %d\n%s", code, header)
		}
		s.wechat.fault(`{"kind":"corrupt","match":"GET /v3/billdownload/"}`)
		if code, _, content := save(t, "--unix-socket", socket, bill.field(t, "download_url")); code == 0 {
			t.Errorf("a corrupt file passed: %d bytes", len(content))
		}
	})
	t.Run("altered", func(t *testing.T) {
		link := curl(t, nil, s.outbound+plain).field(t, "download_url")
		curl(t, nil, strings.Replace(link, "wxproxy_mac=", "wxproxy_mac=A", 1)).refused(t, 400, "bad_request")
	})
	t.Run("image", func(t *testing.T) {
		code, header, content := save(t, s.outbound+"/v3/merchant-service/images/abc")
		if code != 0 || !bytes.Contains(content, []byte("PNG")) || !strings.Contains(header, "Wxproxy-Verified: unsigned") {
			t.Errorf("curl exits %d\n%s", code, header)
		}
	})
	t.Run("statement", func(t *testing.T) {
		curl(t, nil, s.outbound+"/v3/global/statements?date=20260101").verified(t, 200)
		s.wechat.fault(`{"kind":"flip_body","match":"GET /v3/global/","count":3}`)
		curl(t, nil, s.outbound+"/v3/global/statements?date=20260101").refused(t, 502, "response_signature_invalid")
	})
}

// Node's crypto opens an encrypted bill with the merchant's key, and finds in it
// what wxproxy hands on in clear.
func TestEncryptedBill(t *testing.T) {
	t.Parallel()
	s := newBillShop(t)
	for _, target := range []string{
		"/v3/bill/sub-merchant-fundflowbill?sub_mchid=1900000109&bill_date=2026-01-01&account_type=BASIC&algorithm=AEAD_AES_256_GCM",
		"/v3/ecommerce/bill/fundflowbill?bill_date=2026-01-01&account_type=ALL&algorithm=AEAD_AES_256_GCM&tar_type=GZIP",
	} {
		var list struct {
			Bills []struct {
				URL   string `json:"download_url"`
				Key   string `json:"encrypt_key"`
				Nonce string `json:"nonce"`
				Hash  string `json:"hash_value"`
			} `json:"download_bill_list"`
		}
		read := func(more ...string) {
			answer := curl(t, nil, append([]string{s.outbound + target}, more...)...).verified(t, 200)
			if err := json.Unmarshal([]byte(answer.body), &list); err != nil || len(list.Bills) != 2 {
				t.Fatalf("%v\n%s", err, answer.raw)
			}
		}
		// For this one the app decrypts for itself, with every value as it came.
		read("-H", "Wxproxy-Rewrite: off")
		_, address, _ := strings.Cut(list.Bills[0].URL, "/v3/")
		_, _, sealed := save(t, s.outbound+"/v3/"+address)
		opened := nodeOpens(t, s.wechat.file("apiclient_key.pem"), list.Bills[0].Key, list.Bills[0].Nonce, sealed)

		read("-H", "Wxproxy-Decrypt: on")
		var whole []byte
		for _, bill := range list.Bills {
			code, header, content := save(t, bill.URL)
			if code != 0 || !strings.Contains(header, "Wxproxy-Checked: sha1") {
				t.Fatalf("curl exits %d\n%s", code, header)
			}
			if strings.Contains(target, "GZIP") {
				content = unzip(t, content)
			}
			if sha1Hex(content) != bill.Hash {
				t.Errorf("the file has not the promised hash")
			}
			whole = append(whole, content...)
		}
		if strings.Contains(target, "GZIP") {
			opened = unzip(t, opened)
		}
		if len(opened) == 0 || !bytes.HasPrefix(whole, opened) || bytes.Count(whole, []byte("\n")) < 1000 {
			t.Errorf("Node opened %d bytes, wxproxy %d", len(opened), len(whole))
		}
		s.wechat.fault(`{"kind":"corrupt","match":"GET /v3/bill/downloadurl"}`)
		curl(t, nil, list.Bills[0].URL).refused(t, 502, "download_corrupt")
	}
	curl(t, nil, s.outbound+"/v3/bill/sub-merchant-fundflowbill?algorithm=SM4_GCM", "-H", "Wxproxy-Decrypt: on").refused(t, 400, "bad_request")
}

// nodeOpens decrypts a bill with Node's crypto.
func nodeOpens(t *testing.T, keyFile, encryptKey, nonce string, sealed []byte) []byte {
	t.Helper()
	const script = `
const c = await import("node:crypto"), fs = await import("node:fs");
const [keyFile, encryptKey, nonce] = process.argv.slice(1);
const key = c.privateDecrypt({ key: fs.readFileSync(keyFile), padding: c.constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha1" }, Buffer.from(encryptKey, "base64"));
const sealed = fs.readFileSync(0);
const d = c.createDecipheriv("aes-256-gcm", key, nonce);
d.setAuthTag(sealed.subarray(sealed.length - 16));
process.stdout.write(Buffer.concat([d.update(sealed.subarray(0, sealed.length - 16)), d.final()]));`
	cmd := exec.CommandContext(t.Context(), "node", "--input-type=module", "-e", script, keyFile, encryptKey, nonce)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	cmd.Stdin = bytes.NewReader(sealed)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(fmt.Errorf("node: %w", err))
	}
	return out
}

// wechatpay-axios-plugin asks for a bill, verifies the answer, which reaches it
// untouched, and downloads the file with the token in it.
func TestBillOfAxiosPlugin(t *testing.T) {
	t.Parallel()
	s := newBillShop(t)
	throwAway := newCredentials(t, mchID)
	given := settings{
		Base: s.outbound, MchID: mchID, Serial: throwAway.serial(), PrivateKey: string(throwAway.keyPEM(t)),
		PlatformID: s.wechat.publicKeyID(), PlatformKey: string(s.wechat.read("pub_key.pem")),
	}
	s.wechat.command("public-key", `{"mode":"on","percent":100}`)
	answer, err := node("axios-plugin.mjs")(t, "bill", given)
	if err != nil {
		t.Fatal(err)
	}
	var bill struct{ Promised, Found string }
	if err := json.Unmarshal(answer, &bill); err != nil || bill.Found == "" || bill.Found != bill.Promised {
		t.Errorf("%v, %s", err, answer)
	}
}
